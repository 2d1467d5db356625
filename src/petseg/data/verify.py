"""Every bad file of a dataset, listed."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from petseg.data.folder import MaskFault, mask_faults, read_labels
from petseg.data.folder_layout import Layout, find_layout
from petseg.data.oxford_pets import decode, prepared_builder, read_records
from petseg_runtime.image_io import read_image

TRIMAP_LABELS = range(1, 4)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with one file.

    `missing`: without it an image has no mask, or a mask no image. `unreadable`: it can't be
    decoded. `misaligned`: a mask of another size than its image. `mislabelled`: a mask with labels
    that stand for no class or, for pets, with no pixel of the pet.
    """

    file: str
    kind: Literal["missing", "unreadable"] | MaskFault
    detail: str

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}, {self.detail}"


def verify_folder(
    root: str | os.PathLike[str], *, class_names: Sequence[str] | None = None
) -> list[Problem]:
    """The problems of all images and masks in a folder, as `load_folder` takes it."""
    layout = find_layout(root, class_names)
    unpaired = [Problem(str(file), "missing", fault) for file, fault in layout.unpaired.items()]
    pairs = [pair for pairs in layout.pairs.values() for pair in pairs]
    with ThreadPoolExecutor() as threads:
        problems = threads.map(lambda pair: list(_pair_problems(pair[0], pair[1], layout)), pairs)
        return unpaired + [problem for found in problems for problem in found]


def verify_pets(*, data_dir: str | os.PathLike[str] | None = None) -> list[Problem]:
    """The problems of all examples of Oxford-IIIT Pet, as `load_pets` reads it."""
    builder = prepared_builder(data_dir)
    return [
        problem
        for split in ("train", "test")
        for record in read_records(builder, split)
        for problem in _record_problems(record, builder.info.features)
    ]


def _pair_problems(image_path: Path, mask_path: Path, layout: Layout) -> Iterator[Problem]:
    read = {}
    for path, reader in ((image_path, read_image), (mask_path, read_labels)):
        try:
            read[path] = reader(path)
        except (ValueError, OSError) as error:
            yield Problem(str(path), "unreadable", str(error))
    if len(read) == 2:
        labels = read[mask_path]
        yield from _mask_problems(mask_path, labels, read[image_path], layout.labels)


def _record_problems(
    record: dict[str, tf.Tensor], features: tfds.features.FeaturesDict
) -> Iterator[Problem]:
    name = record["file_name"].numpy().decode()
    try:
        image, trimap = decode(record, features)
    except tf.errors.OpError as error:
        yield Problem(name, "unreadable", error.message)
    else:
        yield from _mask_problems(name, trimap.numpy(), image, TRIMAP_LABELS)


def _mask_problems(
    file: str | Path, labels: np.ndarray, image: np.ndarray, expected: range
) -> Iterator[Problem]:
    for kind, detail in mask_faults(labels, image, expected).items():
        yield Problem(str(file), kind, detail)
    if expected == TRIMAP_LABELS and not np.any(labels == TRIMAP_LABELS.start):
        yield Problem(str(file), "mislabelled", "has no pixel of the pet")
