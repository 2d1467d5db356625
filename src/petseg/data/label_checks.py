"""Finds what is wrong with the labels of a dataset, in its masks as a whole.

A mask can be correct by itself while the dataset is not: where 255 marks the second class of a
binary dataset, every file is valid, and every pixel of that class is ignored.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from petseg.data.folder_layout import UNLABELLED, Layout
from petseg.data.label_counts import LabelCounts, add_counts, count_labels
from petseg.data.masks import REPLACE_LABEL, SUBTRACT_ONE, read_labels

LabelFault = Literal["absent", "unscored", "unlabelled"]

# Unlabelled outlines and objects of no class leave most of a densely labelled image. Above this
# share, 255 more likely marks a class, or the labels are sparse and the user knows it.
UNLABELLED_LIMIT = 0.25

# `load_folder` looks at 32 masks, fewer where these are large: decoding so many pixels takes a
# fraction of a second. Eight are looked at in any case, because one mask says little.
SAMPLED_MASKS, SAMPLED_PIXELS, LEAST_SAMPLED_MASKS = 32, 2**24, 8


class LabelWarning(UserWarning):
    """Masks in which the label 255, no class, probably stands for a class.

    `petseg.load_folder` warns of it. If the pixels are unlabelled on purpose, switch the warning
    off.

    Example:
        >>> warnings.simplefilter("ignore", petseg.data.LabelWarning)
    """


def label_faults(splits: Mapping[str, LabelCounts], layout: Layout) -> list[tuple[LabelFault, str]]:
    """Finds what is wrong with the labels of a dataset.

    Args:
        splits: The counts of each split.
        layout: The layout of the folder, for the names of the classes and their labels.

    Returns:
        A kind and a description for each fault. "absent": no mask, or no mask of train, holds a
        class. "unscored": no mask of val or of test holds a class that train holds.
        "unlabelled": more than a quarter of the pixels have no class.
    """
    filled = {split: counts for split, counts in splits.items() if counts.masks}
    if not filled:
        return []
    total = add_counts(filled.values(), len(layout.class_names))
    masks = _number(total.masks, "mask")
    mistaken = _class_taken_for_void(total, layout.class_names, masks)
    if mistaken is not None:
        return [("absent", mistaken)]
    faults: list[tuple[LabelFault, str]] = []
    for index in range(len(layout.class_names)):
        with_class = [split for split, counts in filled.items() if counts.pixels[index]]
        without_class = [split for split in filled if split not in with_class]
        name = f'class {layout.labels[index]} "{layout.class_names[index]}"'
        if not with_class:
            remedy = _absent_remedy(index, total, layout)
            faults.append(("absent", f"{name} occurs in no mask. {remedy}"))
        elif "train" in without_class:
            faults.append(
                (
                    "absent",
                    f"{name} occurs in {' and '.join(with_class)} but in no mask of train, so a "
                    "model cannot learn it. Move images with this class to train.",
                )
            )
        elif without_class:
            where = " and ".join(without_class)
            faults.append(
                (
                    "unscored",
                    f"{name} occurs in no mask of {where}, so it gets no score there. Set the "
                    f"splits by subfolders, with this class in {where}, or accept this.",
                )
            )
    if total.unlabelled_share > UNLABELLED_LIMIT:
        faults.append(("unlabelled", _many_unlabelled(total, masks)))
    return faults


def warn_of_labels(root: str | os.PathLike[str], layout: Layout, *, stacklevel: int) -> None:
    """Looks at a sample of the training masks and warns where 255 probably stands for a class.

    The sample is the same each time. Masks that cannot be read are left out; reading them later
    raises an error.

    Args:
        root: The folder, for the warning.
        layout: Its layout. The official archives label every pixel and are not looked at.
        stacklevel: As in `warnings.warn`, counted from the caller.
    """
    if layout.first_label != 0:
        return
    masks = [mask for _, mask in layout.pairs["train"]]
    order = np.random.default_rng(0).permutation(len(masks))[:SAMPLED_MASKS]
    sample = _count_files([masks[index] for index in order], layout.labels)
    if sample.masks == len(masks):
        subject = _number(sample.masks, "training mask")
    else:
        subject = f"a sample of {sample.masks} of {_number(len(masks), 'training mask')}"
    detail = _class_taken_for_void(sample, layout.class_names, subject)
    if detail is None and sample.unlabelled_share > UNLABELLED_LIMIT:
        detail = _many_unlabelled(sample, subject)
    if detail is not None:
        message = (
            f"{os.fspath(root)}: {detail} `petseg.data.verify_folder` checks every mask. To "
            'silence this: `warnings.simplefilter("ignore", petseg.data.LabelWarning)`.'
        )
        warnings.warn(message, LabelWarning, stacklevel=stacklevel + 1)


def _count_files(masks: Sequence[Path], expected: range) -> LabelCounts:
    counts: list[LabelCounts] = []
    for path in masks:
        is_enough = len(counts) >= LEAST_SAMPLED_MASKS
        if is_enough and sum(each.total for each in counts) >= SAMPLED_PIXELS:
            break
        try:
            counts.append(count_labels(read_labels(path), expected))
        except (ValueError, OSError):
            continue
    return add_counts(counts, len(expected))


def _class_taken_for_void(
    counts: LabelCounts, class_names: Sequence[str], subject: str
) -> str | None:
    """Describes masks that hold one class, or none, and 255: the usual binary masks."""
    held, absent = np.flatnonzero(counts.pixels), np.flatnonzero(counts.pixels == 0)
    if len(held) > 1 or not counts.unlabelled or counts.unknown:
        return None
    labels = f"{held[0]} and {UNLABELLED}" if len(held) else f"{UNLABELLED}"
    target = int(absent[0])
    meaning = f'marks class {target} "{class_names[target]}", change it to {target}'
    if len(absent) > 1:
        meaning = "marks a class, change it to the index of that class"
    return (
        f"no label but {labels} occurs in {subject}, and {UNLABELLED} means no class. "
        f"If {UNLABELLED} {meaning}, for example with {_replace_void(target)}."
    )


def _absent_remedy(index: int, total: LabelCounts, layout: Layout) -> str:
    if layout.first_label > 0:
        return "Restore the trimaps from annotations.tar.gz."
    remedies = []
    if index == 0:
        remedies.append(f"If your labels start at 1, subtract 1 from them with {SUBTRACT_ONE}.")
    if total.unlabelled:
        remedies.append(
            f"If {UNLABELLED}, which means no class, marks it, change {UNLABELLED} to {index} "
            f"with {_replace_void(index)}."
        )
    otherwise = "Otherwise label" if remedies else "Label"
    remedies.append(
        f"{otherwise} some pixels of this class, or remove its name and renumber the labels."
    )
    return " ".join(remedies)


def _many_unlabelled(counts: LabelCounts, subject: str) -> str:
    return (
        f"{counts.unlabelled_share:.1%} of the pixels of {subject} have the label {UNLABELLED}, no "
        f"class, and are ignored in training and scores. If {UNLABELLED} marks a class, change it "
        f"to the index of that class, for example with {_replace_void(1)}. If the labels are "
        "sparse on purpose, accept this."
    )


def _replace_void(label: int) -> str:
    return REPLACE_LABEL.format(old=UNLABELLED, new=label)


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
