"""Finds the bad files of a dataset."""

import os
import re
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
    """One thing that is wrong with one file. `str` gives "file: kind: detail".

    Attributes:
        file: The path of the file, or its name in the records of `tensorflow_datasets`.
        kind: "missing" if an image has no mask, a mask has no image, or a listed file is not
            there; "unreadable" if the file cannot be decoded; "misaligned" if a mask differs in
            size from its image; "mislabelled" if a mask has labels that stand for no class or,
            for Oxford-IIIT Pet, no pixel of the pet.
        detail: What is wrong, to be read after the name of the file.
    """

    file: str
    kind: Literal["missing", "unreadable"] | MaskFault
    detail: str

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}: {self.detail}"


def verify_folder(
    root: str | os.PathLike[str], *, class_names: Sequence[str] | None = None
) -> list[Problem]:
    """Opens all images and masks of a folder and lists what is wrong with them.

    Args:
        root: The folder, as `petseg.load_folder` takes it.
        class_names: Name of each class in your own masks, in the order of the labels. None for the
            official archives of Oxford-IIIT Pet.

    Returns:
        The problems. Empty if every file is good.

    Raises:
        FileNotFoundError: If `root` or one of the folders that it must hold is missing.
        ValueError: If `class_names` does not fit the folder, or two files differ by the suffix
            alone.
    """
    layout = find_layout(root, class_names)
    unpaired = [Problem(str(file), "missing", fault) for file, fault in layout.unpaired.items()]
    pairs = [pair for pairs in layout.pairs.values() for pair in pairs]
    with ThreadPoolExecutor() as threads:
        problems = threads.map(lambda pair: list(_pair_problems(pair[0], pair[1], layout)), pairs)
        return unpaired + [problem for found in problems for problem in found]


def verify_pets(*, data_dir: str | os.PathLike[str] | None = None) -> list[Problem]:
    """Decodes all examples of Oxford-IIIT Pet and lists what is wrong with them.

    Unless the dataset is already prepared, see `petseg.load_pets`, this downloads 800 MB.

    Args:
        data_dir: Folder that holds `oxford_iiit_pet/`, or None for the default of
            `tensorflow_datasets`.

    Returns:
        The problems. Empty if every example is good.

    Raises:
        FileNotFoundError: If the dataset is not there and cannot be downloaded or prepared.
        ValueError: If `data_dir` is a file.
    """
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
            # The file is named once, by the problem.
            yield Problem(str(path), "unreadable", str(error).removeprefix(f"{path} "))
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
        yield Problem(name, "unreadable", f"cannot be decoded: {_without_op(error.message)}")
    else:
        yield from _mask_problems(name, trimap.numpy(), image, TRIMAP_LABELS)


def _mask_problems(
    file: str | Path, labels: np.ndarray, image: np.ndarray, expected: range
) -> Iterator[Problem]:
    for kind, detail in mask_faults(labels, image, expected).items():
        yield Problem(str(file), kind, detail)
    if expected == TRIMAP_LABELS and not np.any(labels == TRIMAP_LABELS.start):
        yield Problem(str(file), "mislabelled", "has no pixel of the pet")


def _without_op(message: str) -> str:
    """Removes what names TensorFlow's operation from its error message."""
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", message)
