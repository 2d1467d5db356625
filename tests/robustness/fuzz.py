"""Damaged files for every reader: a result or one clear error, in bounded time and memory.

A damaged file is told by its reader, the number of the good file and the damage, which is JSON. A
process of its own reads them, one after the other, so that a crash or a hang costs one case.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from memory import peak_memory
from robustness import damage
from robustness.readers import READERS, Reader

SECONDS = 20  # for one case
SILENCE = 90  # seconds after which a process that tells of no case is stopped


@dataclass(frozen=True)
class Case:
    """A damaged file: number `file` of the good files of a reader, with a damage."""

    reader: str
    file: int
    damage: list[Any]

    @property
    def command(self) -> str:
        """How to read this file again."""
        return f"python tests/robustness --case '{json.dumps(asdict(self))}'"


@dataclass(frozen=True)
class Failure:
    """What went wrong, and how to see it again."""

    part: str
    what: str
    command: str


def cases(reader: str, count: int, seed: int) -> list[Case]:
    """Draws damaged files."""
    row = READERS[reader]
    pairs = damage.st.tuples(
        damage.st.integers(0, len(row.files()) - 1), damage.damages(row.operations)
    )
    return [Case(reader, file, found) for file, found in damage.draw(pairs, count, seed)]


def run_here(case: Case) -> str | None:
    """Reads a damaged file in this process. Returns what broke the contract, or None."""
    importlib.import_module("petseg")  # Not while the time runs: stopped halfway, it stays broken.
    row = READERS[case.reader]
    good = _good_files(row)[case.file]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / good.name
        try:
            good.write(path, damage.apply(good.data, case.damage))
        except Exception:  # the format cannot even hold this damage
            return None
        memory, start = peak_memory(), time.monotonic()
        problem = _problem_in(row, path)
        grown, seconds = peak_memory() - memory, time.monotonic() - start
        if grown > row.memory:
            return f"took {grown / 2**20:.0f} MiB of memory"
        if seconds > SECONDS:
            return f"took {seconds:.0f} seconds"
        return problem


def _problem_in(row: Reader, path: Path) -> str | None:
    try:
        row.read(path)
    except (ValueError, OSError) as error:
        # The folder counts too: what is damaged may be the file beside.
        if path.name not in str(error) and path.parent.name not in str(error):
            return f"does not name the file: {type(error).__name__}: {error!s:.300}"
    except BaseException as error:
        return f"{type(error).__name__}: {error!s:.300}"
    return None


_FILES: dict[int, Any] = {}


def _good_files(row: Reader) -> Any:
    if id(row) not in _FILES:
        _FILES[id(row)] = row.files()
    return _FILES[id(row)]


def run_in_process(found: list[Case]) -> list[Failure]:
    """Reads damaged files in processes of their own."""
    failures: list[Failure] = []
    start = 0
    while start < len(found):
        with tempfile.TemporaryDirectory() as folder:
            work, told = Path(folder) / "cases.json", Path(folder) / "told.jsonl"
            work.write_text(json.dumps([asdict(case) for case in found[start:]]))
            told.touch()
            words = [sys.executable, str(Path(__file__).parent), "--work", str(work), str(told)]
            with (Path(folder) / "log").open("wb") as errors:
                process = subprocess.Popen(
                    words,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    env={**os.environ, "TMPDIR": folder, "TF_CPP_MIN_LOG_LEVEL": "3"},
                )
            ending = wait(process, told)
            rows = [json.loads(line) for line in told.read_text().splitlines()]
            log = (Path(folder) / "log").read_text(errors="replace")[-300:]
        for index, problem in enumerate(rows):
            if problem is not None:
                case = found[start + index]
                failures.append(Failure(f"damaged files: {case.reader}", problem, case.command))
        start += len(rows)
        if start < len(found):
            case = found[start]
            failures.append(
                Failure(f"damaged files: {case.reader}", f"{ending} {log}", case.command)
            )
            start += 1
    return failures


def wait(process: subprocess.Popen[bytes], told: Path) -> str:
    """Waits for a process that writes a line for each case. Returns how it ended."""
    size, since = 0, time.monotonic()
    while process.poll() is None:
        time.sleep(0.05)
        if told.stat().st_size != size:
            size, since = told.stat().st_size, time.monotonic()
        elif time.monotonic() - since > SILENCE:
            process.kill()
            process.wait()
            return f"hung for {SILENCE} seconds"
    code = process.returncode
    return f"ended with {signal.Signals(-code).name if code < 0 else code}"


def work(source: Path, told: Path) -> None:
    """Reads the damaged files of a list, and writes a line for each."""
    warnings.simplefilter("ignore")
    with told.open("a", encoding="utf-8") as file:
        for record in json.loads(source.read_text()):
            problem = run_here(Case(**record))
            file.write(json.dumps(problem) + "\n")
            file.flush()


def make_models_in_process(folder: Path) -> None:
    """Makes the model files in a process of its own."""
    script = "import sys; from robustness.fuzz import *; make_models(Path(sys.argv[1]))"
    paths = [str(Path(__file__).parents[1]), *sys.path]
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(done.stderr)


def make_models(folder: Path) -> None:
    """Makes the model files that are damaged."""
    import keras
    import numpy as np
    import onnx
    from robustness import corpus

    import petseg
    from petseg import ModelInfo
    from petseg.checkpoint import Run
    from petseg.models.layers import SegmentationOutput

    images = keras.Input((None, None, 3))
    logits = keras.layers.Conv2D(3, 1)(keras.layers.Rescaling(1 / 255)(images))
    info = ModelInfo.from_json(corpus.record())
    model = keras.Model(images, SegmentationOutput(info.to_dict())(logits, images))
    model.save(folder / "small.keras")
    for name in ("model.onnx", "model.tflite", "model.xml", "saved_model"):
        petseg.export(model, folder / name)
    (folder / "old").mkdir()
    bias = model.layers[-2]
    bias.set_weights([weight + 0.125 for weight in bias.get_weights()])
    for name in ("model.onnx", "model.tflite", "model.xml", "saved"):
        petseg.export(model, folder / "old" / name)
    bare = onnx.load(folder / "model.onnx")
    del bare.metadata_props[:]
    onnx.save(bare, folder / "bare.onnx")

    keras.utils.set_random_seed(0)
    dense = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)], name="dense")
    dense.save_weights(folder / "dense.weights.h5")
    dense.compile("sgd", "mse")
    dense.optimizer.build(dense.trainable_variables)
    with Run.open(folder / "run") as run:
        run.use_settings("training", {"epochs": 3, "seed": None})
        for number, stage in enumerate(("frozen", "thawed")):
            row = {"stage": stage, "loss": 1.0, "val_mean_iou": 0.2 + 0.1 * number}
            dense.set_weights([np.full_like(weight, number) for weight in dense.get_weights()])
            run.keep_best(dense, row)
            run.add(dense, row)
