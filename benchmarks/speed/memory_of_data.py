r"""Memory of a data pipeline without a cache, for few and for many images.

Images of 64 x 64 pixels are written into tar shards and read for one epoch without a cache, with
augmentation, by a process of its own for each number of images. What the process holds above its
memory before the first batch must not grow with the number. Numbers that are in the JSON already
are not measured again.

    python -m benchmarks.speed.memory_of_data --out docs/results/data_memory.json
"""

import argparse
import io
import itertools
import json
import re
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.common import Record, Worker, argument_parser

COUNTS = (1_000, 10_000, 100_000)
SIZE = (64, 64)
BATCH_SIZE = 32
SHARD_SIZE = 1000
DIFFERENT = 300
HELD_OUT = 8  # images of val and of test
CLASSES = ("pet", "background", "border")


def write(folder: Path, count: int, different: int = DIFFERENT) -> None:
    """Writes shards of synthetic pets.

    Args:
        folder: An empty folder.
        count: Number of training images.
        different: Number of images that are drawn; the others repeat them.
    """
    from petseg.data import draw_pet

    drawn = []
    for number in range(min(count, different)):
        parts = []
        for pixels, kind in zip(draw_pet(number), ("JPEG", "PNG"), strict=True):
            file = io.BytesIO()
            image = Image.fromarray(pixels[..., 0] if kind == "PNG" else pixels)
            image.resize(SIZE, Image.Resampling.NEAREST).save(file, kind)
            parts.append(file.getvalue())
        drawn.append(parts)
    again = itertools.cycle(drawn)
    for split, total in (("train", count), ("val", HELD_OUT), ("test", HELD_OUT)):
        for start in range(0, total, SHARD_SIZE):
            path = folder / f"{split}-{start // SHARD_SIZE:06d}.tar"
            with tarfile.open(path, "w") as tar:
                for number in range(start, min(start + SHARD_SIZE, total)):
                    for suffix, content in zip(("jpg", "png"), next(again), strict=True):
                        member = tarfile.TarInfo(f"{number}.{suffix}")
                        member.size = len(content)
                        tar.addfile(member, io.BytesIO(content))


def read(folder: Path, **arguments: Any) -> dict[str, Any]:
    """Reads one epoch of shards and measures the memory of this process.

    Args:
        folder: The folder of the shards.
        **arguments: Further arguments of `petseg.load_shards`.

    Returns:
        MiB before the first batch, the most MiB above that, and images per second.
    """
    import petseg

    arguments = {"image_size": SIZE, "batch_size": BATCH_SIZE, **arguments}
    train = petseg.load_shards(folder, class_names=CLASSES, **arguments).train
    before = _mib("VmRSS")
    start = time.perf_counter()
    images = sum(len(images) for images, _ in train)
    seconds = time.perf_counter() - start
    return {
        "images": images,
        "mib_before": before,
        "mib_above": _mib("VmHWM") - before,
        "images_per_second": round(images / seconds),
    }


def cached_mib(count: int) -> int:
    """Computes what a cache in memory would hold: the resized images and masks.

    Args:
        count: Number of images.

    Returns:
        MiB.
    """
    from petseg.data.pipeline import CROP_MARGIN

    sides = np.ceil(CROP_MARGIN * np.array(SIZE))
    return round(count * int(sides.prod()) * 4 / 2**20)


def _mib(name: str) -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(rf"{name}:\s+(\d+)", status)
    assert found is not None
    return round(int(found[1]) / 1024)


def main() -> None:
    """Measures the numbers of images that are missing, or reads a folder for that."""
    if sys.argv[1:2] == ["--read"]:
        print(json.dumps(read(Path(sys.argv[2]))))
        return
    parser: argparse.ArgumentParser = argument_parser(__doc__, seed=False)
    parser.add_argument("--counts", type=int, nargs="*", default=COUNTS)
    args = parser.parse_args()
    record = Record(
        args.out,
        {"image_size": SIZE, "batch_size": BATCH_SIZE, "shard_size": SHARD_SIZE},
        unit="MiB of resident memory before the first batch and above that; images a second",
    )
    counts = {f"{count:,}": count for count in args.counts}
    for name in record.missing(counts):
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), counts[name])
            worker = Worker(
                sys.executable, "-m", "benchmarks.speed.memory_of_data", "--read", folder
            )
            worker.stop()
            record.add(name, {**worker.about, "mib_of_a_cache": cached_mib(counts[name])})


if __name__ == "__main__":
    main()
