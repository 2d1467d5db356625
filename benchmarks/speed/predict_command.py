"""`petseg predict` as a process: one photo from a cold start, and a folder of photos.

A folder is compared with the runtime alone, which gets the same photos as arrays of the model's
size. Each measurement is a process of its own; they take turns.

    python -m benchmarks.speed.predict_command --out docs/results/predict_command.json
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path

from benchmarks.common import ROOT, Record, argument_parser, median, median_ratio, take_turns

SAMPLES = ROOT / "docs" / "try" / "samples"
PETSEG = str(Path(sys.executable).with_name("petseg"))
SAVE = "import sys, petseg; petseg.unet(weights='pets').save(sys.argv[1])"
# Prints the seconds that the model takes for all photos, without reading and writing.
RUNTIME_ALONE = """
import sys, time
from pathlib import Path
import numpy as np
from petseg_runtime import Runtime
from petseg_runtime.image_io import read_image
from petseg_runtime.resizing import resize
runtime = Runtime.pretrained()
photos = {}
for path in sorted(Path(sys.argv[1]).iterdir()):
    key = path.name.split("-")[1]
    if key not in photos:
        photo = resize(read_image(path), runtime.info.image_size)
        photos[key] = photo[np.newaxis].astype(np.float32)
arrays = [photos[path.name.split("-")[1]] for path in sorted(Path(sys.argv[1]).iterdir())]
runtime(arrays[0])
start = time.perf_counter()
for array in arrays:
    runtime(array)
print(time.perf_counter() - start)
"""


def run(command: list[str]) -> tuple[float, float]:
    """Runs a command.

    Args:
        command: The command.

    Returns:
        Its seconds, and the most megabytes that it held.
    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{command} failed.")
    return time.perf_counter() - start, usage.ru_maxrss / 1000


def predict(folder: Path, photos: Path, *options: str) -> tuple[float, float]:
    """Runs `petseg predict` with a new output folder.

    Args:
        folder: A temporary folder.
        photos: A photo or a folder.
        *options: Further options.

    Returns:
        Its seconds, and the most megabytes that it held.
    """
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    return run([PETSEG, "predict", str(photos), "--out", str(out), *options])


def cold_starts(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Measures one photo in a process.

    Args:
        folder: A temporary folder.
        rounds: Number of rounds.

    Returns:
        Median seconds and megabytes by the name of the measurement.
    """
    photo = next(SAMPLES.glob("*.jpg"))
    model = folder / "unet.keras"
    subprocess.run([sys.executable, "-c", SAVE, model], check=True, capture_output=True)
    commands = {
        "one photo": ("--cutout",),
        "one photo, the same model in Keras": ("--cutout", "--model", str(model)),
    }
    turns = {
        name: functools.partial(predict, folder, photo, *options)
        for name, options in commands.items()
    }
    for measure in turns.values():
        measure()  # reads the files into memory, compiles them
    found = take_turns(turns, rounds)
    return {
        name: {
            "seconds": median((seconds for seconds, _ in values), 2),
            "megabytes": median((most for _, most in values), 0),
        }
        for name, values in found.items()
    }


def folders(folder: Path, count: int, rounds: int) -> dict[str, dict[str, float]]:
    """Measures a folder of photos.

    Args:
        folder: A temporary folder.
        count: Number of photos.
        rounds: Number of rounds.

    Returns:
        Photos per second, the share of what the runtime alone reaches, and megabytes.
    """
    photos = folder / "photos"
    photos.mkdir()
    for number, (_, sample) in enumerate(zip(range(count), cycle(sorted(SAMPLES.glob("*.jpg"))))):
        shutil.copy(sample, photos / f"{number:05}-{sample.stem}-.jpg")
    peaks: dict[str, float] = {}

    def command(name: str, *options: str) -> float:
        seconds, peaks[name] = predict(folder, photos, *options)
        return seconds

    def alone() -> float:
        words = [sys.executable, "-c", RUNTIME_ALONE, str(photos)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        return float(done.stdout)

    base = f"{count} photos, the runtime alone"
    # The runtime alone sees each photo once.
    once = ("--scales", "1")
    options = {"masks": ("--no-overlay", *once), "masks and overlays": once}
    turns: dict[str, Callable[[], float]] = {base: alone} | {
        f"{count} photos, {name}": functools.partial(command, f"{count} photos, {name}", *given)
        for name, given in options.items()
    }
    times = take_turns(turns, rounds)
    return {
        name: {
            "photos_per_second": round(count / median(values, 3), 1),
            "of_the_runtime": median_ratio(times[base], values),
            **({"megabytes": round(peaks[name])} if name in peaks else {}),
        }
        for name, values in times.items()
    }


def main() -> None:
    """Measures all commands."""
    parser = argument_parser(__doc__, seed=False, rounds=5)
    parser.add_argument("--photos", type=int, default=1000)
    args = parser.parse_args()
    record = Record(
        args.out,
        {"rounds": args.rounds, "photos": args.photos},
        rows="results",
        resume=False,
        unit="medians; a process of its own each",
    )
    with tempfile.TemporaryDirectory() as name:
        found = cold_starts(Path(name), args.rounds)
        found |= folders(Path(name), args.photos, args.rounds)
        for title, row in found.items():
            record.add(title, row)


if __name__ == "__main__":
    main()
