"""The long run, and single cases again.

    python tests/robustness [--seed 0] [--jobs 2] [--scale 1]
    python tests/robustness --again "kill: predict"
    python tests/robustness --case '{"reader": "image", ...}'
    python tests/robustness --interrupt '{"command": "predict", ...}'
    python tests/robustness --check concurrent train_twice

The long run writes docs/results/robustness.json; with `--scale 0.1` it does a tenth. Each failure
is listed there with the command that repeats it. `--again` replaces one part after a fix, and the
record lists it under "run_again".
"""

import argparse
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from robustness import commands, fuzz, interruptions, processes, readers
from robustness.interruptions import Campaign

RESULT = Path(__file__).parents[2] / "docs" / "results" / "robustness.json"

FILES = 10_500
INTERRUPTIONS = {
    "kill": {
        "predict": 600,
        "train": 26,
        "export onnx": 52,
        "export litert": 24,
        "export openvino": 12,
        "export saved_model": 60,
    },
    "full": {
        "predict": 40,
        "train": 6,
        "export onnx": 8,
        "export litert": 6,
        "export openvino": 4,
        "export saved_model": 10,
    },
}
SLICE = {"predict": 55, "train": 7}  # interruptions for which TensorFlow is imported once

# What one slice of the run gives: its part, how much was done, and what failed.
Outcome = tuple[str, int, list[fuzz.Failure]]


def _fuzzed(reader: str, count: int, seed: int) -> Outcome:
    found = fuzz.cases(reader, count, seed)
    return f"damaged files: {reader}", len(found), fuzz.run_in_process(found)


def _interrupted(campaign: Campaign, models: Path) -> Outcome:
    part = f"{campaign.kind}: {campaign.command}"
    try:
        found = interruptions.run_in_process(campaign, models)
    except RuntimeError as error:
        return part, 0, [fuzz.Failure(part, str(error), "")]
    failures = [fuzz.Failure(**row) for row in found["failures"]]
    return part, int(found["done"]), failures


def _checked(part: str, name: str, models: Path) -> Outcome:
    return f"{part}: {name}", 1, processes.check(part, name, models)


def _slices(
    scale: float, seed: int, models: Path, only: str | None = None
) -> list[Callable[[], Outcome]]:
    slices: list[tuple[str, Callable[[], Outcome]]] = []

    def add(part: str, run: Callable[[], Outcome]) -> None:
        if only in (None, part):
            slices.append((part, run))

    for kind, counts in INTERRUPTIONS.items():
        for command, wanted in counts.items():
            left, number = max(1, round(wanted * scale)), 0
            while left > 0:
                count = min(left, SLICE.get(command, 12))
                campaign = Campaign(command, kind, count, seed, skip=number)
                add(f"{kind}: {command}", partial(_interrupted, campaign, models))
                left, number = left - count, number + count
    for reader, row in readers.READERS.items():
        count = max(1, round(FILES * scale * row.share))
        add(f"damaged files: {reader}", partial(_fuzzed, reader, count, seed))
    for part, names in (
        ("concurrent", [check.__name__ for check in processes.CONCURRENT]),
        ("memory", list(processes.MEMORY)),
    ):
        for name in names:
            add(f"{part}: {name}", partial(_checked, part, name, models))
    random.Random(seed).shuffle(slices)  # so that a run that is stopped has a bit of everything
    return [run for _, run in slices]


def again(part: str, scale: float, seed: int, models: Path, out: Path) -> bool:
    """Runs one part again, after a fix, and replaces it in the record, which says so.

    Returns:
        Whether nothing failed.
    """
    record = json.loads(out.read_text(encoding="utf-8"))
    record["run_again"] = list(dict.fromkeys([*record.get("run_again", []), part]))
    record["failures"] = [row for row in record["failures"] if row["part"] != part]
    row = record["parts"][part] = {"done": 0, "failures": 0}
    for run in _slices(scale, seed, models, only=part):
        _, count, found = run()
        row["done"] += count
        row["failures"] += len(found)
        record["failures"] += [asdict(failure) for failure in found]
    record |= _sums(record["parts"])
    out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return not row["failures"]


def long_run(scale: float, seed: int, jobs: int, models: Path, out: Path, resume: bool) -> bool:
    """Runs everything, and writes the record of it after each slice.

    With `resume`, it continues an incomplete record of the same seed and scale.

    Returns:
        Whether nothing failed.
    """
    from petseg.environment import environment

    begun = time.time()
    done: dict[str, dict[str, int]] = {}
    failures: list[dict[str, str]] = []
    slices = _slices(scale, seed, models)
    skipped = 0
    if resume:
        old = json.loads(out.read_text(encoding="utf-8"))
        if (old["seed"], old["scale"]) != (seed, scale):
            sys.exit(f"{out} is the record of another seed or scale.")
        done, failures, skipped = old["parts"], old["failures"], old["slices"]
        begun -= old["seconds"]
    with ThreadPoolExecutor(jobs) as threads:
        futures = [threads.submit(run) for run in slices[skipped:]]
        for number, future in enumerate(futures, skipped):
            part, count, found = future.result()
            row = done.setdefault(part, {"done": 0, "failures": 0})
            row["done"] += count
            row["failures"] += len(found)
            failures += [asdict(failure) for failure in found]
            told = f"{number + 1}/{len(slices)} {part}: {count}, {len(found)} failures"
            print(told, f"({time.time() - begun:.0f} s)", flush=True)
            record = {
                "seed": seed,
                "scale": scale,
                "complete": number + 1 == len(slices),
                "slices": number + 1,
                "seconds": round(time.time() - begun),
                "environment": environment(),
                **_sums(done),
                "parts": dict(sorted(done.items())),
                "failures": failures,
            }
            out.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    return not failures


def _sums(done: dict[str, dict[str, int]]) -> dict[str, int]:
    kinds = {"damaged_files": "damaged files:", "kills": "kill:", "full_disks": "full:"}
    return {
        name: sum(row["done"] for part, row in done.items() if part.startswith(kind))
        for name, kind in kinds.items()
    }


def _interrupt_again(text: str, models: Path, result: Path | None) -> None:
    import matplotlib.pyplot as plt  # noqa: F401 -- once, not in every fork

    import petseg.experiment  # noqa: F401

    found = json.dumps(interruptions.run_here(Campaign(**json.loads(text)), models), indent=1)
    if result is None:
        print(found)
    else:
        result.write_text(found)


def _petseg(arguments: list[str]) -> None:
    from petseg_cli import main as petseg_main

    if arguments[0] == "train":
        commands.register_tiny_architecture()
    petseg_main(arguments)


def main() -> None:
    if sys.argv[1:2] == ["--petseg"]:
        _petseg(sys.argv[2:])
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the whole run")
    parser.add_argument("--out", type=Path, default=RESULT, help="the record to write")
    parser.add_argument("--resume", action="store_true", help="continue an incomplete record")
    parser.add_argument("--again", metavar="PART", help="run one part of the record again")
    parser.add_argument("--case", metavar="JSON", help="read one damaged file again")
    parser.add_argument("--interrupt", metavar="JSON", help="interrupt a command again")
    parser.add_argument("--check", nargs=2, metavar=("PART", "NAME"), help="run one check again")
    parser.add_argument("--work", nargs=2, type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--flat", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--models", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--result", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.work:
        fuzz.work(*options.work)
        return
    if options.flat:
        processes.check_flat()
        return
    if options.interrupt and options.models:
        _interrupt_again(options.interrupt, options.models, options.result)
        return
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        # In a process of its own: this one must not run TensorFlow before it forks.
        fuzz.make_models_in_process(models)
        os.environ["PETSEG_ROBUSTNESS_MODELS"] = folder
        readers.MODELS = models
        if options.case:
            print(fuzz.run_here(fuzz.Case(**json.loads(options.case))) or "as promised")
        elif options.interrupt:
            _interrupt_again(options.interrupt, models, None)
        elif options.check:
            print(processes.check(*options.check, models) or "as promised")
        else:
            if options.again:
                arguments = (options.again, options.scale, options.seed, models, options.out)
                sys.exit(not again(*arguments))
            arguments = (options.scale, options.seed, options.jobs, models, options.out)
            sys.exit(not long_run(*arguments, options.resume))


if __name__ == "__main__":
    main()
