"""Finds the bad files of a dataset, and what is wrong with its labels as a whole."""

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

from petseg.data.folder_layout import Layout, find_layout
from petseg.data.label_checks import LabelFault, label_faults
from petseg.data.label_counts import LabelCounts, add_counts, count_labels
from petseg.data.masks import MaskFault, mask_faults, read_labels
from petseg.data.oxford_pets import decode, prepared_builder, read_records
from petseg_runtime.image_io import read_image

TRIMAP_LABELS = range(1, 4)


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file or a dataset. `str` gives "file: kind: detail".

    Attributes:
        file: The path of the file, or its name in the records of `tensorflow_datasets`. The folder
            if something is wrong with the dataset as a whole.
        kind: "missing" if an image has no mask, a mask has no image, a listed file is not there, or
            a split has no image; "misplaced" if a folder holds images and is not read; "unreadable"
            if the file cannot be decoded, or is a mask that is a JPEG file or has several channels;
            "misaligned" if a mask differs in size from its image; "mislabelled" if a mask has
            labels that stand for no class or, for Oxford-IIIT Pet, no pixel of the pet. Of the
            dataset: "absent" if no mask, or no training mask, has a pixel of a class; "unscored" if
            training masks have a class but no mask of val or of test has it; "unlabelled" if more
            than a quarter of all pixels have the label 255, no class.
        detail: What is wrong, to be read after the name of the file, and in most cases a remedy.
    """

    file: str
    kind: Literal["missing", "misplaced", "unreadable"] | MaskFault | LabelFault
    detail: str

    @property
    def severity(self) -> Literal["error", "warning"]:
        """How serious the problem is: "error" or "warning".

        An error makes training fail or learn wrong classes. The kinds "unscored" and "unlabelled"
        are warnings, because they also occur in valid data with rare classes or sparse labels.
        """
        return "warning" if self.kind in ("unscored", "unlabelled") else "error"

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}: {self.detail}"


def verify_folder(
    root: str | os.PathLike[str],
    *,
    class_names: Sequence[str] | None = None,
    channels: int = 3,
) -> list[Problem]:
    """Opens all images and masks of a folder and lists what is wrong with them.

    Each file is read once. Besides bad files, the result lists what is wrong with the labels of the
    dataset as a whole: classes that do not occur, and many unlabelled pixels. See `Problem`.

    Args:
        root: The folder, as `petseg.load_folder` takes it.
        class_names: Name of each class in your own masks, in the order of the labels. None for the
            official archives of Oxford-IIIT Pet.
        channels: Number of channels of your own images, as for `petseg.load_folder`.

    Returns:
        The problems: first those of files, then those of the dataset. Empty if nothing is wrong.

    Raises:
        FileNotFoundError: If `root` or one of the folders that it must hold is missing.
        ValueError: If `class_names` does not fit the folder, or two files differ by the suffix
            alone.
    """
    layout = find_layout(root, class_names, channels)
    problems = [Problem(str(file), "missing", fault) for file, fault in layout.unpaired.items()]
    problems += [Problem(str(f), "misplaced", fault) for f, fault in layout.misplaced.items()]
    folder = str(Path(root).expanduser())
    problems += [Problem(folder, "missing", fault) for fault in layout.empty_splits]
    counts: dict[str, LabelCounts] = {}
    with ThreadPoolExecutor() as threads:
        for split, pairs in layout.pairs.items():
            checked = list(
                threads.map(lambda pair: _check_pair(pair[0], pair[1], layout, channels), pairs)
            )
            problems += [problem for found, _ in checked for problem in found]
            found_counts = [count for _, count in checked if count is not None]
            counts[split] = add_counts(found_counts, len(layout.class_names))
    return problems + [Problem(folder, *fault) for fault in label_faults(counts, layout)]


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


def _check_pair(
    image_path: Path, mask_path: Path, layout: Layout, channels: int
) -> tuple[list[Problem], LabelCounts | None]:
    """Returns the problems of two files, and the counts of the mask where it can be read."""
    problems: list[Problem] = []
    read = {}

    def read_pixels(path: Path) -> np.ndarray:
        return read_image(path, channels)

    for path, reader in ((image_path, read_pixels), (mask_path, read_labels)):
        try:
            read[path] = reader(path)
        except (ValueError, OSError) as error:
            # The file is named once, by the problem.
            problems.append(Problem(str(path), "unreadable", str(error).removeprefix(f"{path} ")))
    if mask_path not in read:
        return problems, None
    labels = read[mask_path]
    if image_path in read:
        problems += _mask_problems(mask_path, labels, read[image_path], layout.labels, image_path)
    return problems, count_labels(labels, layout.labels)


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
    file: str | Path,
    labels: np.ndarray,
    image: np.ndarray,
    expected: range,
    image_path: Path | None = None,
) -> Iterator[Problem]:
    files = None if image_path is None else (file, image_path)
    for kind, detail in mask_faults(labels, image, expected, files=files).items():
        yield Problem(str(file), kind, detail)
    if expected == TRIMAP_LABELS and not np.any(labels == TRIMAP_LABELS.start):
        yield Problem(str(file), "mislabelled", "has no pixel of the pet")


def _without_op(message: str) -> str:
    """Removes what names TensorFlow's operation from its error message."""
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", message)
