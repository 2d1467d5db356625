"""Copies the records and figures of a finished accuracy benchmark to `docs/results`.

Each complete row goes to a folder of its name. The folder may hold all rows or only some of them,
such as one new row: latencies are merged by the name of the row, and the figures of scores and
latencies are drawn again from the records of all rows. `benchmarks.accuracy.latency` times all rows
in one run. `masks.jpg` needs the models, so it is copied only if the folder holds all rows.
`python -m benchmarks.docs.tables` then makes the tables.

    python -m benchmarks.accuracy.collect runs/benchmark
"""

import json
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from benchmarks.accuracy.benchmark_figures import draw_figures
from benchmarks.accuracy.result_rows import PHOTO_SCORES, result_rows, weights_of_any_machine
from benchmarks.common import RESULTS, bare_parser
from petseg.experiment import RunFiles
from petseg_runtime.atomic_files import whole_file, write_json

LATENCY = "latency.json"
MASKS = "masks.jpg"
MAX_WIDTH = 1280  # pixels


def copy(files: Iterable[Path], out: Path) -> None:
    """Copies files, and PNG figures as smaller JPEG files.

    Args:
        files: The files.
        out: Folder to copy to.
    """
    out.mkdir(parents=True, exist_ok=True)
    for path in files:
        if path.suffix == ".png":
            with (
                Image.open(path) as figure,
                whole_file(out / f"{path.stem}.jpg") as part,
            ):
                figure.thumbnail((MAX_WIDTH, figure.height))
                figure.convert("RGB").save(part, quality=88, optimize=True)
        else:
            shutil.copy(path, out)


def collect(folder: Path, results: Path = RESULTS) -> None:
    """Copies every complete row and updates the comparison.

    Args:
        folder: The folder that the benchmark wrote.
        results: The folder of the published results.

    Raises:
        SystemExit: If a complete row was not timed. Nothing is copied then.
    """
    comparison = results / "comparison"
    latency = {**_read(comparison / LATENCY), **_read(folder / LATENCY)}
    names = [path.parent.name for path in sorted(folder.glob("*/result.json"))]
    untimed = [name for name in names if name not in latency]
    if untimed:
        sys.exit(
            f"{folder / LATENCY} must have all complete rows. Received: none of "
            f"{', '.join(untimed)}. Run benchmarks.accuracy.benchmark again with --out {folder}."
        )
    for name in names:
        files = RunFiles(folder / name)
        scored = folder / name / PHOTO_SCORES
        copy((files.history, files.curves, files.masks, scored), results / name)
        record = json.loads(files.result.read_text(encoding="utf-8"))
        settings = record["settings"]
        settings["weights"] = weights_of_any_machine(settings["weights"])
        write_json(results / name / files.result.name, record)
    comparison.mkdir(parents=True, exist_ok=True)
    write_json(comparison / LATENCY, latency)
    rows = result_rows(results)
    draw_figures(rows, latency, comparison)
    missing = [row.name for row in rows if row.name not in names]
    if missing:
        print(f"{comparison / MASKS} is unchanged: {folder} has no {', '.join(missing)}.")
    else:
        copy([folder / MASKS], comparison)


def _read(path: Path) -> dict[str, float]:
    if not path.exists():
        return {}
    latency: dict[str, float] = json.loads(path.read_text(encoding="utf-8"))
    return latency


def main() -> None:
    """Collects the folder given on the command line."""
    parser = bare_parser(__doc__)
    parser.add_argument("folder", type=Path, help="folder that `benchmark --out` wrote")
    collect(parser.parse_args().folder)


if __name__ == "__main__":
    main()
