"""Writes the images and masks of a folder into shards."""

import csv
import io
import os
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import numpy as np
import tensorflow as tf

from petseg.data.folder import checked_pairs
from petseg.data.folder_layout import find_layout
from petseg.data.folder_names import IMAGES, MASKS
from petseg.data.label_scheme import UNLABELLED, LabelScheme, unpack_colour
from petseg.data.label_tables import Labels
from petseg.data.pairing import Pairs
from petseg.data.shard_files import (
    IMAGE_FEATURE,
    INDEX,
    MASK,
    MASK_FEATURE,
    NAME_FEATURE,
    TAR,
    TFRECORD,
)
from petseg_runtime import validation
from petseg_runtime.atomic_files import write_json
from petseg_runtime.part_folders import part_folder

FORMATS = (TAR, TFRECORD)

# Seed of the order in which training examples are written, so that neighbours differ.
ORDER_SEED = 0


class Writer(Protocol):
    """Function that adds the files of an image and its mask to a shard, under a key."""

    def __call__(self, key: str, image: Path, mask: Path) -> None: ...


def write_shards(
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    format: str = TAR,  # noqa: A002 -- as in `petseg.export`
    size: int = 1000,
    class_names: Sequence[str] | None = None,
    images: str = IMAGES,
    masks: str = MASKS,
    ignore_class: int | None = UNLABELLED,
    labels: Labels | None = None,
    channels: int = 3,
) -> Path:
    """Writes the images and masks of a folder into shards, for `petseg.load_shards`.

    `out` gets files such as `train-000000.tar`, and the same for `val` and `test`. The bytes of
    images and masks are copied. Training examples are put into a random order, the same each time.
    `classes.csv` says what the labels mean, so that `load_shards` needs no `class_names`, and
    `shards.json` holds the number of examples of each shard.

    Args:
        root: The folder, as `petseg.load_folder` takes it.
        out: The new folder. Nothing is left of it if writing fails.
        format: "tar", for the members `NAME.jpg` and `NAME.mask.png` of each example as WebDataset
            has them, or "tfrecord", for the features `image`, `mask` and `file_name`.
        size: Number of examples in a shard. The last one of a split may hold fewer.
        class_names: Name of each class in your own masks, as for `petseg.load_folder`.
        images: Name of the folder of images.
        masks: Name of the folder of masks.
        ignore_class: Label of pixels without a class, or None.
        labels: What the labels or colours in the masks mean.
        channels: Number of channels of the images.

    Returns:
        `out`.

    Raises:
        FileExistsError: If `out` exists and is not empty.
        FileNotFoundError: If a folder is missing, or an image or a mask lacks its partner.
        ValueError: If an argument is out of its range or does not fit the folder.

    Example:
        >>> petseg.data.write_shards("streets", "shards", class_names=("road", "car", "sky"))
        >>> streets = petseg.load_shards("shards")
    """
    kind = validation.choice("format", format, FORMATS)
    size = validation.integer("size", size, 1)
    channels = validation.integer("channels", channels, 1)
    out = Path(out).expanduser()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(
            f"`out` must be a new or an empty folder. Received: {out}, which is there already. "
            "Choose another name or remove it."
        )
    layout = find_layout(
        root,
        class_names,
        images=images,
        masks=masks,
        ignore_class=ignore_class,
        labels=labels,
        channels=channels,
    )
    pairs = checked_pairs(root, layout)
    order = np.random.default_rng(ORDER_SEED).permutation(len(pairs["train"]))
    pairs = {**pairs, "train": [pairs["train"][number] for number in order]}
    out.parent.mkdir(parents=True, exist_ok=True)
    with part_folder(out.parent) as parts:
        new = parts / "new"
        new.mkdir()
        index: dict[str, dict[str, int]] = {}
        for split, of_split in pairs.items():
            for start in range(0, len(of_split), size):
                path = new / f"{split}-{start // size:06d}.{kind}"
                chosen = of_split[start : start + size]
                _write_shard(path, chosen, kind)
                index[path.name] = {"examples": len(chosen), "bytes": path.stat().st_size}
        _write_table(new / "classes.csv", layout.scheme)
        write_json(new / INDEX, index)
        if out.exists():
            out.rmdir()
        new.rename(out)
    return out


def _write_shard(path: Path, pairs: Pairs, kind: str) -> None:
    with (_tar_writer if kind == TAR else _record_writer)(path) as write:
        for number, (image, mask) in enumerate(pairs):
            # A key ends at its first dot.
            key = f"{image.stem.replace('.', '_')}-{number}" if "." in image.stem else image.stem
            write(key, image, mask)


@contextmanager
def _tar_writer(path: Path) -> Iterator[Writer]:
    with tarfile.open(path, "w") as tar:

        def write(key: str, image: Path, mask: Path) -> None:
            for name, file in ((image.suffix, image), (f".{MASK}{mask.suffix[1:]}", mask)):
                content = file.read_bytes()
                member = tarfile.TarInfo(f"{key}{name}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))

        yield write


@contextmanager
def _record_writer(path: Path) -> Iterator[Writer]:
    with tf.io.TFRecordWriter(str(path)) as writer:

        def write(key: str, image: Path, mask: Path) -> None:
            values = {
                IMAGE_FEATURE: image.read_bytes(),
                MASK_FEATURE: mask.read_bytes(),
                NAME_FEATURE: os.fsencode(f"{key}{image.suffix}"),
            }
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                for name, value in values.items()
            }
            example = tf.train.Example(features=tf.train.Features(feature=features))
            writer.write(example.SerializeToString())

        yield write


def _write_table(path: Path, scheme: LabelScheme) -> None:
    """Writes what the stored labels or colours mean, in the order of the classes."""
    rows = []
    for label, index in sorted(scheme.stored.items(), key=lambda pair: pair[1]):
        name = scheme.class_names[index] if index < scheme.num_classes else ""
        stored = unpack_colour(label) if scheme.is_colour else (label,)
        rows.append((name, *stored))
    columns = ("name", "r", "g", "b") if scheme.is_colour else ("name", "label")
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
