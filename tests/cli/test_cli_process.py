"""`petseg` as a process: its streams, its silence, its memory, kills, and two at once."""

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from memory import peak_of_petseg
from PIL import Image

from petseg.data import draw_pet

PETSEG = [sys.executable, "-c", "from petseg_cli import main; main()"]

# Stops a process in the middle of writing an overlay, once it has told so.
STOPS_WHILE_WRITING = """
import sys, time
from pathlib import Path
from PIL import Image
import petseg_cli
reached = Path(sys.argv.pop())
def stop(self, file, *args, **options):
    file.write(b"half")
    file.flush()
    reached.touch()
    time.sleep(600)
Image.Image.save = stop
petseg_cli.main(sys.argv[1:])
"""


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def test_it_works_with_closed_streams(model_file, photos, tmp_path):
    command = [*PETSEG, "predict", photos, "--model", model_file, "--out", tmp_path / "out"]
    script = '"$@" <&- >&- 2>&-'
    done = subprocess.run(["sh", "-c", script, "sh", *command], timeout=300)
    assert done.returncode == 0
    assert len(list((tmp_path / "out").iterdir())) == 6
    with Image.open(tmp_path / "out" / "a_overlay.png") as image:
        image.load()


def test_an_error_with_closed_stderr_is_an_exit_status(tmp_path):
    command = [*PETSEG, "evaluate", tmp_path / "nothing.keras"]
    done = subprocess.run(["sh", "-c", '"$@" 2>&-', "sh", *command], timeout=300)
    assert done.returncode == 1


@pytest.mark.parametrize("level", [None, "0", "3"])
def test_tensorflow_is_quiet_whatever_its_log_level(
    process, model_file, photos, tmp_path, level, monkeypatch
):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    env = {} if level is None else {"TF_CPP_MIN_LOG_LEVEL": level}
    out = tmp_path / "out"
    done = process("predict", photos / "a.png", "--model", model_file, "--out", out, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"{photos / 'a.png'} -> a_mask.png, a_overlay.png\n"


def test_an_error_is_one_line_and_status_1(process, tmp_path):
    (tmp_path / "images").mkdir()
    done = process("data", "--source", tmp_path, "--classes", "a,b")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"petseg: error: {tmp_path / 'masks'} is missing.")
    assert done.stderr.count("\n") == 1
    assert "--data must hold images/" in done.stderr


def test_names_are_printed_where_the_terminal_knows_only_ascii(
    process, model_file, photos, tmp_path
):
    (photos / "a.png").rename(photos / "Kätzchen.png")
    env = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "LC_ALL": "C.UTF-8"}
    out = tmp_path / "out"
    done = process("predict", photos, "--model", model_file, "--out", out, env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("_mask.png") == 3


def test_what_a_killed_run_left_is_removed_by_the_next(predict, model_file, photos, tmp_path):
    out, reached = tmp_path / "out", tmp_path / "reached"
    arguments = ["predict", photos, "--model", model_file, "--out", out, reached]
    process = subprocess.Popen([sys.executable, "-c", STOPS_WHILE_WRITING, *arguments])
    try:
        while not reached.exists():
            assert process.poll() is None
            time.sleep(0.05)
        (parts,) = out.glob(".part-*")
        half = parts / "0-overlay.part"
        # A run beside it leaves its files alone.
        assert predict(photos / "c.png", "--out", out)[0] == 0
        assert half in out.glob(".part-*/*")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert half.read_bytes() == b"half"
    code, told, _ = predict(photos, "--out", out)
    assert code == 0
    assert told.startswith(f"Already in {out}: 1 photo\n")
    assert {path.name for path in out.iterdir()} == {
        f"{name}_{kind}.png" for name in "abc" for kind in ("mask", "overlay")
    }


def test_two_runs_into_one_folder_lose_nothing(model_file, photos, tmp_path):
    """Both have a photo of each name: one half from their own folder, one half from the same."""
    out = tmp_path / "out"
    others = []
    for number in range(2):
        folder = tmp_path / f"other-{number}"
        folder.mkdir()
        for index in range(4):
            image, _ = draw_pet((number, index))
            Image.fromarray(image).save(folder / f"{index}.png")
        others.append(folder)
    command = [*PETSEG, "predict", photos, "--model", model_file, "--out", out]
    runs = [
        subprocess.Popen([*command, folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for folder in others
    ]
    for run in runs:
        _, err = run.communicate(timeout=300)
        assert (run.returncode, err) == (0, b"")
    names = [*"abc", *"0123", *(f"{index}-2" for index in range(4))]
    assert {path.name for path in out.iterdir()} == {
        f"{name}_{kind}.png" for name in names for kind in ("mask", "overlay")
    }
    for index in range(4):
        masks = {size_of(out / f"{name}_mask.png") for name in (f"{index}", f"{index}-2")}
        assert masks == {size_of(folder / f"{index}.png") for folder in others}


def test_a_terminal_shows_one_redrawn_line(model_file, photos, tmp_path):
    reader, terminal = pty.openpty()
    command = [*PETSEG, "predict", photos, "--model", model_file, "--out", tmp_path / "out"]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    shown = b""
    while True:
        try:
            part = os.read(reader, 4096)
        except OSError:  # how Linux says that the other side was closed
            break
        if not part:
            break
        shown += part
    os.close(reader)
    assert process.wait(timeout=300) == 0
    assert b"3/3" in shown
    # Nothing but the summary stays: one line for the redrawn one, which is erased, and one for it.
    assert shown.count(b"\n") <= 2
    assert f"Wrote 3 photos to {tmp_path / 'out'}".encode() in shown


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_photo_takes_little_memory(model_file, tmp_path):
    """The photo alone has 3 bytes a pixel."""

    def peak(size: tuple[int, int]) -> int:
        photo = tmp_path / f"{size[0]}.jpg"
        Image.new("RGB", size, (200, 90, 30)).save(photo)
        options = ("--model", model_file, "--out", tmp_path / "out", "--cutout")
        return peak_of_petseg("predict", photo, *options)

    side = 5000
    more = peak((side, side)) - peak((64, 64))
    assert more < 15 * side * side
    assert Path(tmp_path / "out" / f"{side}_overlay.png").exists()
