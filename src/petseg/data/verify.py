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

from petseg.data.folder_layout import find_layout
from petseg.data.folder_names import IMAGES, MASKS
from petseg.data.label_checks import LabelFault, colour_faults, label_faults
from petseg.data.label_counts import LabelCounts, add_counts, count_colours, count_labels
from petseg.data.label_scheme import TRIMAPS, UNLABELLED, LabelScheme
from petseg.data.label_tables import Labels, label_files
from petseg.data.masks import (
    COLOUR_REMEDY,
    ColouredMaskError,
    MaskFault,
    mask_faults,
    read_labels,
)
from petseg.data.oxford_pets import decode, prepared_builder, read_records
from petseg_runtime.image_io import read_image


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with a file or a dataset. `str` gives "file: kind: detail".

    Attributes:
        file: The path of the file, or its name in the records of `tensorflow_datasets`. The folder
            if something is wrong with the dataset as a whole.
        kind: "missing" if an image has no mask, a mask has no image, a listed file is not there, or
            a split has no image; "misplaced" if a folder holds images and is not read; "unreadable"
            if the file cannot be decoded, or is a mask that is a JPEG file, or has several channels
            where no table lists colours; "misaligned" if a mask differs in size from its image;
            "mislabelled" if a mask has labels that stand for nothing or, for Oxford-IIIT Pet, no
            pixel of the pet. Of the dataset: "unknown" if masks have a label that stands for
            nothing, or a colour and there is no table; "absent" if no mask, or no training mask,
            has a pixel of a class; "unscored" if training masks have a class but no mask of val or
            of test has it, or the index of a class is also the label of no class; "unlabelled" if
            more than a quarter of all pixels have no class.
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
    images: str = IMAGES,
    masks: str = MASKS,
    ignore_class: int | None = UNLABELLED,
    labels: Labels | None = None,
    channels: int = 3,
) -> list[Problem]:
    """Opens all images and masks of a folder and lists what is wrong with them.

    Each file is read once. Besides bad files, the result lists what is wrong with the labels of the
    dataset as a whole: labels that stand for nothing, classes that do not occur, and many
    unlabelled pixels. See `Problem`.

    Args:
        root: The folder, as `petseg.load_folder` takes it.
        class_names: Name of each class in your own masks, in the order of the labels. None for the
            official archives of Oxford-IIIT Pet, or where a table has the names.
        images: Name of the folder of images, see `petseg.load_folder`.
        masks: Name of the folder of masks.
        ignore_class: Label of pixels without a class, or None.
        labels: What the labels or colours in the masks mean.
        channels: Number of channels of your own images, as for `petseg.load_folder`.

    Returns:
        The problems: first those of files, then those of the dataset. Empty if nothing is wrong.

    Raises:
        FileNotFoundError: If `root` or one of the folders that it must hold is missing.
        ValueError: If an argument does not fit the folder, or two files differ by the suffix
            alone.
    """
    layout = find_layout(
        root,
        class_names,
        images=images,
        masks=masks,
        ignore_class=ignore_class,
        labels=labels,
        channels=channels,
    )
    scheme = layout.scheme
    problems = [Problem(str(file), "missing", fault) for file, fault in layout.unpaired.items()]
    problems += [Problem(str(f), "misplaced", fault) for f, fault in layout.misplaced.items()]
    folder = str(Path(root).expanduser())
    problems += [Problem(folder, "missing", fault) for fault in layout.empty_splits]
    counts: dict[str, LabelCounts] = {}
    coloured: list[LabelCounts] = []
    with ThreadPoolExecutor() as threads:
        for split, pairs in layout.pairs.items():
            checked = list(
                threads.map(lambda pair: _check_pair(pair[0], pair[1], scheme, channels), pairs)
            )
            problems += [problem for each in checked for problem in each.problems]
            found_counts = [each.labels for each in checked if each.labels is not None]
            counts[split] = add_counts(found_counts, scheme.num_classes)
            found_colours = [each.colours for each in checked if each.colours is not None]
            coloured.append(add_counts(found_colours, 0))
    if scheme is not TRIMAPS:
        faults = colour_faults(add_counts(coloured, 0))
        problems += [Problem(folder, *fault) for fault in faults]
    problems = _with_table(problems, Path(folder), scheme)
    return problems + [Problem(folder, *fault) for fault in label_faults(counts, scheme)]


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


@dataclass(frozen=True)
class _Checked:
    """The problems of two files, and what the mask holds: labels, or colours without a table."""

    problems: list[Problem]
    labels: LabelCounts | None = None
    colours: LabelCounts | None = None


def _check_pair(image_path: Path, mask_path: Path, scheme: LabelScheme, channels: int) -> _Checked:
    problems: list[Problem] = []
    image = None
    try:
        image = read_image(image_path, channels)
    except (ValueError, OSError) as error:
        problems.append(_unreadable(image_path, error))
    try:
        labels = read_labels(mask_path, colours=scheme.is_colour)
    except ColouredMaskError as error:
        problems.append(_unreadable(mask_path, error))
        return _Checked(problems, colours=count_colours(error.colours))
    except (ValueError, OSError) as error:
        problems.append(_unreadable(mask_path, error))
        return _Checked(problems)
    encoded = scheme.encode(labels)
    if image is not None:
        files = (mask_path, image_path)
        faults = mask_faults(labels, image, scheme, encoded=encoded, files=files)
        problems += [Problem(str(mask_path), *fault) for fault in faults.items()]
        if scheme is TRIMAPS and not np.any(encoded == 0):
            problems.append(_without_pet(str(mask_path)))
    return _Checked(problems, count_labels(labels, scheme, encoded))


def _with_table(problems: list[Problem], root: Path, scheme: LabelScheme) -> list[Problem]:
    """Names the table that is beside masks of colours, where class names were given instead."""
    paths = label_files(root)
    if scheme.first_label is None or not paths:
        return problems
    remedy = f"Pass `labels={paths[0]}`, or leave `class_names` out, so that this file is read."
    return [
        Problem(each.file, each.kind, each.detail.replace(COLOUR_REMEDY, remedy))
        for each in problems
    ]


def _unreadable(path: Path, error: Exception) -> Problem:
    # The file is named once, by the problem.
    return Problem(str(path), "unreadable", str(error).removeprefix(f"{path} "))


def _record_problems(
    record: dict[str, tf.Tensor], features: tfds.features.FeaturesDict
) -> Iterator[Problem]:
    name = record["file_name"].numpy().decode()
    try:
        image, trimap = decode(record, features)
    except tf.errors.OpError as error:
        yield Problem(name, "unreadable", f"cannot be decoded: {_without_op(error.message)}")
    else:
        labels = trimap.numpy()
        for fault in mask_faults(labels, image, TRIMAPS).items():
            yield Problem(name, *fault)
        if not np.any(labels == TRIMAPS.first_label):
            yield _without_pet(name)


def _without_pet(file: str) -> Problem:
    return Problem(file, "mislabelled", "has no pixel of the pet")


def _without_op(message: str) -> str:
    """Removes what names TensorFlow's operation from its error message."""
    return re.sub(r"\{\{.*?\}\}\s*|\s*\[Op:.*", "", message)
