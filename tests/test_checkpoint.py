"""A run's folder after a kill at any write, after damage, and in two processes."""

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from petseg.checkpoint import Run
from petseg.run_lock import RunLock
from petseg.run_state import RunFiles, RunState


def model_of(value):
    """A compiled model whose three weights have a value, its optimizer built."""
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="dense")])
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    model.set_weights([np.full_like(weight, value) for weight in model.get_weights()])
    return model


def value_of(path):
    """The value in a weights file of `model_of`."""
    model = model_of(math.nan)
    keras.Model(model.inputs, model.outputs).load_weights(path)
    return float(model.get_weights()[1][0])


def row(stage, mean_iou, **logs):
    return {"stage": stage, "loss": 1.0, "val_mean_iou": mean_iou, **logs}


def add(run, epoch, mean_iou, stage="frozen"):
    """Records an epoch after which all weights have the number of the epoch."""
    model = model_of(epoch)
    run.keep_best(model, row(stage, mean_iou))
    run.add(model, row(stage, mean_iou))


SCORES = (0.2, 0.5, 0.3, 0.6)
STAGES = ("frozen", "frozen", "thawed", "thawed")


@pytest.mark.parametrize(
    ("last", "states"),
    [
        (0, {(0, "training"), (1, "training")}),
        (1, {(1, "training"), (2, "training")}),
        (2, {(2, "training"), (3, "training")}),
        (3, {(3, "training"), (4, "training")}),
        (4, {(4, "training"), (4, "trained")}),
    ],
)
def test_a_kill_at_any_write_leaves_a_whole_state(tmp_path, monkeypatch, last, states):
    """Copies the folder before each change of a file: what a kill there would leave."""
    folder = tmp_path / "run"
    with Run.open(folder) as run:
        for epoch in range(last):
            add(run, epoch, SCORES[epoch], STAGES[epoch])

    copies = []
    for name in ("replace", "unlink"):
        original = getattr(Path, name)

        def copied(path, *arguments, original=original, **options):
            if folder in path.parents:
                copies.append(tmp_path / f"copy-{len(copies)}")
                shutil.copytree(folder, copies[-1])
            return original(path, *arguments, **options)

        monkeypatch.setattr(Path, name, copied)
    with Run.open(folder) as run:
        if last < len(SCORES):
            add(run, last, SCORES[last], STAGES[last])
        else:
            run.finish(model_of(0))
    monkeypatch.undo()

    assert len(copies) >= 4
    found, restored = set(), set()
    for copy in copies:
        with Run.open(copy) as run:
            done = run.epoch
            found.add((done, run.state.status))
            files = run.files
            names = {path.name for path in copy.iterdir()} - {".lock"}
            if not done:
                assert not names
                continue
            assert value_of(files.best) == np.argmax(SCORES[:done])
            assert value_of(files.frozen) == np.argmax(SCORES[: min(done, 2)])
            backups = {f"epoch-{done:03d}.weights.h5"} if run.state.status == "training" else set()
            assert {name for name in names if name.startswith("epoch")} == backups
            assert names - backups == {
                "best.weights.h5",
                "frozen.weights.h5",
                "history.csv",
                "run.json",
            }
            lines = files.history.read_text().splitlines()
            assert len(lines) == 1 + done
            if backups:
                model = model_of(math.nan)
                run.restore(model, optimizer=True)
                assert float(model.get_weights()[1][0]) == done - 1
                restored.add(done)
    assert found == states
    assert restored == {done for done, status in states if done and status == "training"}


def test_the_state_survives_the_file(tmp_path):
    state = RunState(
        settings={"training": {"epochs": 3}},
        stage="thawed",
        epochs=[row("frozen", 0.5, iou_cat=math.nan, note="text"), row("thawed", 0.6)],
        stopped=["frozen"],
        seeds=[[1, 2]],
        files={"best.weights.h5": "abc"},
    )
    state.write(tmp_path / "run.json")
    record = json.loads(
        (tmp_path / "run.json").read_text(), parse_constant=lambda name: pytest.fail(name)
    )
    assert record["status"] == "training"
    assert record["stage"] == "thawed"
    assert record["stages"] == {
        "frozen": {"epochs": 1, "stopped": True},
        "thawed": {"epochs": 1, "stopped": False},
    }
    assert record["epochs"][0]["iou_cat"] is None
    again = RunState.read(tmp_path / "run.json")
    assert math.isnan(again.epochs[0].pop("iou_cat"))
    del state.epochs[0]["iou_cat"]
    assert again == state


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda record: record[:100], "run.json is damaged"),
        (lambda _: "", "run.json is damaged"),
        (lambda _: "[1]", "run.json is damaged"),
        (lambda _: "{}", "run.json is damaged"),
        (lambda record: record.replace('"training"', '"done"'), "run.json is damaged"),
        (lambda record: record.replace('"epochs": 1', '"epochs": 2'), "number of epochs is wrong"),
        (lambda record: record.replace("val_mean_iou", "iou"), "run.json is damaged"),
        (lambda record: record.replace('"schema": 2', '"schema": 3'), "another version of petseg"),
        (lambda _: '{"finished": true, "epochs": []}', "another version of petseg"),
    ],
)
def test_a_damaged_state_is_answered(tmp_path, change, message):
    with Run.open(tmp_path) as run:
        add(run, 0, 0.5)
    path = tmp_path / "run.json"
    path.write_text(change(path.read_text()))
    with pytest.raises(ValueError, match=message) as caught:
        Run.open(tmp_path)
    assert str(path) in str(caught.value)
    assert "new folder" in str(caught.value)
    assert not (tmp_path / ".lock").exists()


@pytest.mark.parametrize("name", ["best.weights.h5", "frozen.weights.h5", "epoch-001.weights.h5"])
def test_one_changed_byte_of_weights_is_found(tmp_path, name):
    with Run.open(tmp_path) as run:
        add(run, 0, 0.5)
    content = bytearray((tmp_path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} is damaged: its content is not what"):
        Run.open(tmp_path)


def test_settings_count_only_after_an_epoch(tmp_path):
    with Run.open(tmp_path) as run:
        run.use_settings("training", {"epochs": 1, "size": (2, 3)})
        run.use_settings("training", {"epochs": 2, "size": (2, 3)})
        add(run, 0, 0.5)
    with Run.open(tmp_path) as run:
        run.use_settings("training", {"epochs": 2, "size": (2, 3)})
        with pytest.raises(ValueError, match=r"size was \[2, 3\], is \[2, 4\]; new was None, is 1"):
            run.use_settings("training", {"epochs": 2, "size": (2, 4), "new": 1})


def test_a_folder_in_which_nothing_was_written_goes_away(tmp_path):
    with Run.open(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").exists()
    assert not (tmp_path / "run").exists()
    with Run.open(tmp_path):
        pass
    assert tmp_path.exists()


@pytest.mark.parametrize("name", ["best.weights.h5", "model.keras", "result.json"])
def test_results_of_something_else_are_not_replaced(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ValueError, match=f"which has {name} but no run.json"):
        Run.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "mine"


HOLDER = """
import fcntl, os, sys
file = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(file, fcntl.LOCK_EX)
os.write(file, f"{os.getpid()} somewhere\\n".encode())
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_process_is_refused_and_a_dead_one_holds_nothing(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    with pytest.raises(BlockingIOError, match=f"in use by process {holder.pid} on somewhere"):
        Run.open(tmp_path)
    holder.kill()
    holder.communicate()
    with Run.open(tmp_path) as run:
        add(run, 0, 0.5)
    assert not (tmp_path / ".lock").exists()


def test_two_runs_of_one_process_are_refused_too(tmp_path):
    with Run.open(tmp_path), pytest.raises(BlockingIOError, match="in use by process"):
        Run.open(tmp_path)


def test_a_lock_file_that_was_removed_meanwhile_is_not_enough(tmp_path, monkeypatch):
    """The holder removes its file between another's `open` and lock: that one must begin again."""
    path, removed = tmp_path / ".lock", []
    original = __import__("fcntl").flock

    def flock(file, how):
        if not removed:
            removed.append(path.stat().st_ino)
            path.rename(tmp_path / "removed")
        original(file, how)

    monkeypatch.setattr("fcntl.flock", flock)
    lock = RunLock(path)
    lock.acquire()
    assert path.stat().st_ino != removed[0]
    with pytest.raises(BlockingIOError):
        RunLock(path).acquire()
    lock.release()
    assert not path.exists()


def test_a_file_system_without_locks_is_announced(tmp_path, monkeypatch):
    def flock(_file, _how):
        raise OSError(__import__("errno").ENOLCK, "no locks")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.warns(UserWarning, match="no locks"):
        RunLock(tmp_path / ".lock").acquire()


def test_every_file_has_its_own_name(tmp_path):
    files = RunFiles(tmp_path)
    names = [name for name, value in vars(RunFiles).items() if isinstance(value, property)]
    names.remove("results")
    paths = {getattr(files, name) for name in names} | {files.backup(1)}
    assert len(paths) == len(names) + 1
    assert all(path.parent == tmp_path for path in paths)
