"""Several commands at once in one folder, and the memory of a command."""

import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from memory import peak_memory, peak_of_petseg
from PIL import Image
from robustness import corpus, damage
from robustness.commands import COMMANDS, contents
from robustness.fuzz import Failure

PETSEG = [sys.executable, str(Path(__file__).parent), "--petseg"]
MIB = 2**20
PIXEL = 8.5  # bytes: Pillow needs four, the array three, the mask one
WORK = 96 * MIB  # for the tiles and the file that is written, whatever the size


def _started(arguments: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*PETSEG, *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )


def _ended(*runs: subprocess.Popen[str]) -> list[tuple[int, str]]:
    found = []
    for run in runs:
        _, errors = run.communicate(timeout=300)
        found.append((run.returncode, errors))
    return found


def _prepared(command: str, folder: Path, models: Path) -> list[str]:
    folder.mkdir(parents=True)
    COMMANDS[command].prepare(folder, models)
    return COMMANDS[command].arguments(folder)


def predict_same_photos(root: Path, models: Path) -> list[str]:
    """Two runs over the same photos give what one gives."""
    alone = _prepared("predict", root / "one" / "home", models)
    both = _prepared("predict", root / "two" / "home", models)
    ended = _ended(_started(alone), _started(both), _started(both))
    problems = [f"ended with {status}: {errors}" for status, errors in ended if status]
    found = [contents(root / name / "home" / "out") for name in ("one", "two")]
    if found[0] != found[1]:
        problems.append("the results differ from those of one run")
    return problems


def predict_other_photos(root: Path, models: Path) -> list[str]:
    """Two runs over other photos of the same names replace nothing of each other."""
    arguments = _prepared("predict", root / "home", models)
    other = root / "home" / "other"
    for name in ("a.png", "b.jpg"):
        other.mkdir(exist_ok=True)
        Image.fromarray(np.full((70, 80, 3), 90, np.uint8)).save(other / name)
    second = [str(other) if word.endswith("/photos") else word for word in arguments]
    second[second.index("--json") + 1] += ".other"
    ended = _ended(_started(arguments), _started(second))
    problems = [f"ended with {status}: {errors}" for status, errors in ended if status]
    written = list((root / "home" / "out").glob("*_cutout.png"))
    if len(written) != 5 or any((root / "home" / "out").glob(".part-*")):
        problems.append(f"{len(written)} results of 5 photos")
    return problems


def train_twice(root: Path, models: Path) -> list[str]:
    """Of two trainings in one folder, one is refused by name; the result is that of one."""
    alone = _prepared("train", root / "one" / "home", models)
    both = _prepared("train", root / "two" / "home", models)
    one, *two = _ended(_started(alone), _started(both), _started(both))
    problems = [f"ended with {status}: {errors}" for status, errors in (one,) if status]
    if not any(status == 0 for status, _ in two):
        problems.append(f"none of two trainings succeeds: {two}")
    problems += [
        f"is not refused clearly: {errors[-300:]}"
        for status, errors in two
        if status and (status != 1 or "is in use by process" not in errors)
    ]
    wanted = {name.replace("one/", "two/"): v for name, v in contents(root / "one").items()}
    wanted = _without_paths(wanted)
    if _without_paths(contents(root / "two")) != wanted:
        problems.append("the results differ from those of one run")
    return problems


def _without_paths(found: dict[str, str]) -> dict[str, str]:
    """Leaves out the files that hold the path of the data."""
    return {n: v for n, v in found.items() if not n.endswith(("run.json", "result.json"))}


def evaluate_while_training(root: Path, models: Path) -> list[str]:
    """A model can be evaluated on the data of a training, and while its run folder is used."""
    arguments = _prepared("train", root / "home", models)
    first = _ended(_started(arguments))
    model = root / "home" / "run" / "model.keras"
    words = ["evaluate", str(model), "--data", str(root / "home" / "data")]
    words += ["--classes", "a,background", "--json", str(root / "home" / "scores.json")]
    other = [word.replace("/run", "/run2") for word in arguments]
    ended = first + _ended(_started(other), _started(arguments), _started(words))
    return [f"ended with {status}: {errors}" for status, errors in ended if status]


def photo_memory(megapixels: int) -> Callable[[Path, Path], list[str]]:
    """Makes the check that the memory for a large photo is bounded.

    Measured against a small photo: what TensorFlow itself takes depends on the machine.
    """

    def check(root: Path, models: Path) -> list[str]:
        side = round((megapixels * 1e6) ** 0.5)
        peaks = []
        for name, length in (("small", 256), ("large", side)):
            photo = root / f"{name}.jpg"
            Image.new("RGB", (length, length), (200, 90, 30)).save(photo)
            options = ("--out", root / name, "--model", models / "small.keras")
            peaks.append(peak_of_petseg("predict", photo, *options))
        grown, limit = peaks[1] - peaks[0], WORK + int(PIXEL * side * side)
        return [] if grown < limit else [f"took {grown // MIB} MiB, more than {limit // MIB}"]

    return check


def images_memory(_root: Path, _models: Path) -> list[str]:
    """300 damaged images leave the memory as it was."""
    words = [sys.executable, str(Path(__file__).parent), "--flat"]
    done = subprocess.run(words, capture_output=True, text=True)
    return [] if done.returncode == 0 else [done.stderr[-300:]]


def check_flat() -> None:
    """Reads 900 damaged images. Ends with an error where the last 300 need more memory."""
    from petseg_runtime.image_io import read_image

    warnings.simplefilter("ignore")
    files = corpus.images()
    found = damage.draw(damage.damages(damage.BYTES), 900, 0)
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        for index, one in enumerate(found):
            good = files[index % len(files)]
            path = Path(folder) / good.name
            path.write_bytes(damage.apply(good.data, one))
            with suppress(ValueError, OSError):
                read_image(path)
            peaks.append(peak_memory())
    grown = peaks[-1] - peaks[len(peaks) * 2 // 3]
    if grown > 20 * MIB:
        sys.exit(f"300 damaged images took {grown // MIB} MiB")


CONCURRENT = (predict_same_photos, predict_other_photos, train_twice, evaluate_while_training)
MEMORY = {"24": photo_memory(24), "100": photo_memory(100), "images": images_memory}


def check(part: str, name: str, models: Path) -> list[Failure]:
    """Runs one of the checks of this module by name."""
    run = {f.__name__: f for f in CONCURRENT} if part == "concurrent" else MEMORY
    with tempfile.TemporaryDirectory() as root:
        command = f"python tests/robustness --check {part} {name}"
        return [Failure(f"{part}: {name}", p, command) for p in run[name](Path(root), models)]
