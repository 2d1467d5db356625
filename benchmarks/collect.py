"""Puts the records and pictures of finished runs of `petseg train` into `docs/results`.

    python benchmarks/collect.py runs/unet-mobilenetv2-224 ...

Each goes to a folder of the run's name; `benchmarks/tables.py` makes the tables from them.
"""

import argparse
import shutil
from pathlib import Path

from PIL import Image

RESULTS = Path(__file__).parents[1] / "docs" / "results"
RECORDS = ("result.json", "history.csv")
PICTURES = ("curves", "overlays")
WIDEST = 1280  # pixels of a picture


def collect(run: Path, out: Path) -> None:
    """Copies the records of a run, and its pictures as they suit a page."""
    out.mkdir(parents=True, exist_ok=True)
    for name in RECORDS:
        shutil.copy(run / name, out)
    for name in PICTURES:
        with Image.open(run / f"{name}.png") as picture:
            picture.thumbnail((WIDEST, WIDEST))
            picture.convert("RGB").save(out / f"{name}.jpg", quality=88, optimize=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", type=Path, nargs="+")
    for run in parser.parse_args().runs:
        collect(run, RESULTS / run.name)


if __name__ == "__main__":
    main()
