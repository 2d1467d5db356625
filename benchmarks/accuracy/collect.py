"""Puts the records and pictures of `examples/benchmark.py` into `docs/results`.

    python benchmarks/collect.py runs/benchmark

Each finished row goes to a folder of its name, what compares them to `comparison`;
`benchmarks/tables.py` makes the tables from them.
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RECORDS = ("result.json", "history.csv")
PICTURES = ("curves", "overlays")
COMPARING = ("classes", "latency", "confusion", "masks")
WIDEST = 1280  # pixels across


def collect(run: Path, out: Path, records: tuple[str, ...], pictures: tuple[str, ...]) -> None:
    """Copies the records, and the pictures as they suit a page."""
    out.mkdir(parents=True, exist_ok=True)
    for name in records:
        shutil.copy(run / name, out)
    for name in pictures:
        with Image.open(run / f"{name}.png") as picture:
            picture.thumbnail((WIDEST, picture.height))
            picture.convert("RGB").save(out / f"{name}.jpg", quality=88, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    for result in folder.glob("*/result.json"):
        collect(result.parent, RESULTS / result.parent.name, RECORDS, PICTURES)
    collect(folder, RESULTS / "comparison", ("latency.json",), COMPARING)


if __name__ == "__main__":
    main()
