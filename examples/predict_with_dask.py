"""Predicts the masks of a folder of photos with Dask, and writes the share of each class.

    python predict_with_dask.py PHOTOS OUT

A mask has the relative path of its photo, so that a partition that runs twice writes the same
files. Each partition uses all cores: let a machine compute one at a time.
"""

import argparse
import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import dask.bag
from PIL import Image

from petseg_runtime import Runtime
from petseg_runtime.atomic_files import whole_file
from petseg_runtime.image_io import find_images
from petseg_runtime.output_files import class_shares
from petseg_runtime.path_text import as_text


def predict_partition(files: Iterator[Path], photos: Path, out: Path) -> list[dict[str, object]]:
    runtime = Runtime.pretrained()  # once for each partition
    rows: list[dict[str, object]] = []
    for found in runtime.predict(list(files)):
        row: dict[str, object] = {
            "path": as_text(found.path),
            "error": found.error and as_text(str(found.error)),
        }
        if found.mask is not None:
            mask = out / found.path.relative_to(photos).with_suffix(f"{found.path.suffix}.png")
            mask.parent.mkdir(parents=True, exist_ok=True)
            with whole_file(mask) as part:
                Image.fromarray(found.mask).save(part)
            row |= {"mask": as_text(mask), **class_shares(found.mask, runtime.class_names)}
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", type=Path, help="folder of photos")
    parser.add_argument("out", type=Path, help="folder to write to")
    parser.add_argument("--partition", type=int, default=1000, help="photos in a partition")
    args = parser.parse_args()
    try:
        paths = find_images(args.photos)
    except OSError as error:  # there is no such folder, or no photo in it
        sys.exit(str(error))
    args.out.mkdir(parents=True, exist_ok=True)
    files = dask.bag.from_sequence(paths, partition_size=args.partition)
    predicted = files.map_partitions(predict_partition, args.photos, args.out)
    # With dask.distributed, connect a `Client` before: `compute` then runs on its workers.
    rows = predicted.compute(scheduler="processes", num_workers=1)
    columns = ("path", "mask", "error", *Runtime.pretrained().class_names)
    with (
        whole_file(args.out / "index.csv") as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} photos")


if __name__ == "__main__":
    main()
