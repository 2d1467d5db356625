"""Copies the records and figures of a finished accuracy benchmark to `docs/results`.

Each complete row goes to a folder of its name, the comparison of all rows to `comparison`.
`python -m benchmarks.docs.tables` then makes the tables from them.

    python -m benchmarks.accuracy.collect runs/benchmark
"""

import argparse
import shutil
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from benchmarks.common import RESULTS
from petseg.atomic_files import whole_file
from petseg.experiment import RunFiles

COMPARISON = ("latency.json", "classes.jpg", "latency.jpg", "confusion.jpg", "masks.jpg")
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


def main() -> None:
    """Copies every complete row and the comparison."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what `benchmark --out` wrote")
    folder = parser.parse_args().folder
    for run in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = RunFiles(run)
        if files.result.exists():
            copy((files.result, files.history, files.curves, files.masks), RESULTS / run.name)
    copy((folder / name for name in COMPARISON), RESULTS / "comparison")


if __name__ == "__main__":
    main()
