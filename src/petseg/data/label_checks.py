"""Finds what is wrong with the labels of a dataset, in its masks as a whole.

A mask can be correct by itself while the dataset is not: where the void label, by default 255,
marks the second class of a binary dataset, every file is valid, and every pixel of that class is
ignored.
"""

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from petseg.data.folder_layout import Layout
from petseg.data.label_counts import LabelCounts, add_counts, count_labels
from petseg.data.label_scheme import UNLABELLED, LabelScheme, labels_argument, unpack_colour
from petseg.data.label_tables import VOID_NAMES
from petseg.data.masks import (
    COLOUR_REMEDY,
    INTERPOLATION_REMEDY,
    MANY_LABELS,
    MAX_COLOURS,
    next_label_remedy,
    read_labels,
)

LabelFault = Literal["unknown", "absent", "unscored", "unlabelled"]

# Unlabelled outlines and objects of no class leave most of a densely labelled image. Above this
# share, the void label more likely marks a class, or the labels are sparse and the user knows it.
UNLABELLED_LIMIT = 0.25

# `load_folder` looks at 32 masks, fewer where these are large: decoding so many pixels takes a
# fraction of a second. Eight are looked at in any case, because one mask says little.
SAMPLED_MASKS, SAMPLED_PIXELS, LEAST_SAMPLED_MASKS = 32, 2**24, 8


class LabelWarning(UserWarning):
    """Masks in which the label of no class, such as 255, probably stands for a class.

    `petseg.load_folder` warns of it. If the pixels are unlabelled on purpose, switch the warning
    off.

    Example:
        >>> warnings.simplefilter("ignore", petseg.data.LabelWarning)
    """


def label_faults(
    splits: Mapping[str, LabelCounts], scheme: LabelScheme
) -> list[tuple[LabelFault, str]]:
    """Finds what is wrong with the labels of a dataset.

    Args:
        splits: The counts of each split.
        scheme: What the labels mean.

    Returns:
        A kind and a description for each fault. "unknown": a label stands for nothing. "absent": no
        mask, or no mask of train, holds a class. "unscored": no mask of val or of test holds a
        class that train holds, or a class is the ignored label. "unlabelled": more than a quarter
        of the pixels have no class.
    """
    filled = {split: counts for split, counts in splits.items() if counts.masks}
    if not filled:
        return []
    total = add_counts(filled.values(), scheme.num_classes)
    masks = _number(total.masks, "mask")
    mistaken = _class_taken_for_void(total, scheme, masks)
    if mistaken is not None:
        return [("absent", mistaken)]
    faults: list[tuple[LabelFault, str]] = [
        ("unknown", text) for text in _unknown_labels(total, scheme, masks)
    ]
    for index in range(scheme.num_classes):
        if index == scheme.ignore_class:
            is_named = scheme.class_names[index].lower() in VOID_NAMES
            # The remedy for a label after the last class says what the ignored label is, too.
            if not is_named and scheme.num_classes not in total.unknown:
                faults.append(("unscored", _ignored_class(index, scheme)))
            continue
        with_class = [split for split, counts in filled.items() if counts.pixels[index]]
        without_class = [split for split in filled if split not in with_class]
        name = f'class {scheme.label_of(index)} "{scheme.class_names[index]}"'
        if not with_class:
            remedy = _absent_remedy(index, total, scheme)
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
        faults.append(("unlabelled", _many_unlabelled(total, scheme, masks)))
    return faults


def colour_faults(total: LabelCounts) -> list[tuple[LabelFault, str]]:
    """Lists the colours of masks for which there is no table.

    Args:
        total: The counts of these masks, with all colours as unknown.

    Returns:
        A kind and a description for each colour, the most frequent first, or one for all if there
        are more than masks can have classes.
    """
    masks = _number(total.masks, "mask")
    if len(total.unknown) > MAX_COLOURS:
        fault = f"more than {MAX_COLOURS} colours are in {masks}. {INTERPOLATION_REMEDY}"
        return [("unknown", fault)]
    by_share = sorted(total.unknown, key=lambda colour: -total.unknown[colour])
    return [
        (
            "unknown",
            f"colour {unpack_colour(colour)} is in {_share_of(colour, total, masks)}. "
            f"{COLOUR_REMEDY}",
        )
        for colour in by_share
    ]


def warn_of_labels(root: str | os.PathLike[str], layout: Layout, *, stacklevel: int) -> None:
    """Warns where the void label probably stands for a class, after a look at training masks.

    The sample is the same each time. Masks that cannot be read are left out; reading them later
    raises an error.

    Args:
        root: The folder, for the warning.
        layout: Its layout. The official archives label every pixel, and a table says on purpose
            which labels mean no class: these are not looked at.
        stacklevel: As in `warnings.warn`, counted from the caller.
    """
    scheme = layout.scheme
    if scheme.ignore_class is None or scheme.first_label is None:
        return
    masks = [mask for _, mask in layout.pairs["train"]]
    order = np.random.default_rng(0).permutation(len(masks))[:SAMPLED_MASKS]
    sample = _count_files([masks[index] for index in order], scheme)
    if sample.masks == len(masks):
        subject = _number(sample.masks, "training mask")
    else:
        subject = f"a sample of {sample.masks} of {_number(len(masks), 'training mask')}"
    detail = _class_taken_for_void(sample, scheme, subject)
    if detail is None and sample.unlabelled_share > UNLABELLED_LIMIT:
        detail = _many_unlabelled(sample, scheme, subject)
    if detail is not None:
        message = (
            f"{os.fspath(root)}: {detail} `petseg.data.verify_folder` checks every mask. To "
            'silence this: `warnings.simplefilter("ignore", petseg.data.LabelWarning)`.'
        )
        warnings.warn(message, LabelWarning, stacklevel=stacklevel + 1)


def _count_files(masks: Sequence[Path], scheme: LabelScheme) -> LabelCounts:
    counts: list[LabelCounts] = []
    for path in masks:
        is_enough = len(counts) >= LEAST_SAMPLED_MASKS
        if is_enough and sum(each.total for each in counts) >= SAMPLED_PIXELS:
            break
        try:
            counts.append(count_labels(read_labels(path, colours=scheme.is_colour), scheme))
        except (ValueError, OSError):
            continue
    return add_counts(counts, scheme.num_classes)


def _class_taken_for_void(counts: LabelCounts, scheme: LabelScheme, subject: str) -> str | None:
    """Describes masks that hold one class, or none, and the void label: the usual binary masks."""
    void = scheme.void_label
    held, absent = np.flatnonzero(counts.pixels), np.flatnonzero(counts.pixels == 0)
    if scheme.first_label is None or void is None or void < scheme.num_classes:
        return None  # A table or an ignored class says on purpose what the labels mean.
    if len(held) > 1 or not counts.unlabelled or counts.unknown:
        return None
    labels = f"{held[0]} and {void}" if len(held) else f"{void}"
    target = int(absent[0])
    if len(absent) > 1:
        meaning = "a class, name its label in `labels`, such as"
    else:
        meaning = f'class {target} "{scheme.class_names[target]}", pass'
    return (
        f"no label but {labels} occurs in {subject}, and {void} means no class. "
        f"If {void} marks {meaning} {_void_as(target, scheme)}."
    )


def _unknown_labels(total: LabelCounts, scheme: LabelScheme, masks: str) -> list[str]:
    """Describes the labels that stand for nothing, or only their number if these are many."""
    if scheme.first_label:
        return []  # The trimaps have to be restored, as each file says.
    noun = "colour" if scheme.is_colour else "label"
    if len(total.unknown) > MANY_LABELS:
        share = sum(total.unknown.values()) / total.total
        return [
            f"{len(total.unknown):,} {noun}s in {_percent(share)} of the pixels of {masks} stand "
            f"for no class. {INTERPOLATION_REMEDY}"
        ]
    found = []
    for label in sorted(total.unknown):
        where = " and is no class"
        if scheme.first_label is None:
            where = f" and is not in {scheme.table}"
        found.append(
            f"{noun} {scheme.name(label)} is in {_share_of(label, total, masks)}{where}. "
            f"{_unknown_remedy(label, total, scheme)}"
        )
    return found


def _share_of(label: int, total: LabelCounts, masks: str) -> str:
    """Describes how often a label or packed colour occurs that stands for nothing."""
    pixels = total.unknown[label]
    return (
        f"{_percent(pixels / total.total)} of the pixels of {masks} ({_number(pixels, 'pixel')}, "
        f"{_number(total.masks_of[label], 'mask')})"
    )


def _unknown_remedy(label: int, total: LabelCounts, scheme: LabelScheme) -> str:
    if scheme.first_label is None:
        return (
            f"Add it to {scheme.table} with the name of its class, or without a name where it "
            "means no class."
        )
    if label == scheme.num_classes and len(total.unknown) == 1:
        return next_label_remedy(scheme, starts_at_1=not total.pixels[0])
    if len(total.unknown) == 1:
        return (
            f"If it means no class, pass `ignore_class={label}`. If it marks a class, pass a table "
            "of all labels as `labels`."
        )
    return "Pass a table of all labels as `labels`, without a name for those that mean no class."


def _absent_remedy(index: int, total: LabelCounts, scheme: LabelScheme) -> str:
    if scheme.first_label:
        return "Restore the trimaps from annotations.tar.gz."
    remedies = []
    if index == 0 and scheme.first_label == 0:
        shifted = {0: None, **dict(enumerate(scheme.class_names, 1))}
        remedies.append(f"If your labels start at 1, pass {labels_argument(shifted)}.")
    is_index = scheme.first_label is not None and (scheme.void_label or 0) >= scheme.num_classes
    if total.unlabelled and is_index:
        remedies.append(
            f"If {scheme.void_label}, which means no class, marks it, pass "
            f"{_void_as(index, scheme)}."
        )
    otherwise = "Otherwise label" if remedies else "Label"
    rest = "remove its name and renumber the labels"
    if scheme.first_label is None:
        rest = f"remove it from {scheme.table}"
    remedies.append(f"{otherwise} some pixels of this class, or {rest}.")
    return " ".join(remedies)


def _ignored_class(index: int, scheme: LabelScheme) -> str:
    """Describes a class whose index is the label of no class."""
    names = scheme.class_names
    table = {label: None if label == index else name for label, name in enumerate(names)}
    remedies = [f"If {index} marks the class, pass `ignore_class={UNLABELLED}`."]
    if scheme.num_classes > 2:
        remedies.append(f"If {index} means no class, pass {labels_argument(table)}.")
    return (
        f'class {index} "{names[index]}" is also the label of no class, `ignore_class={index}`: it '
        f"is not learned and gets no score. {' '.join(remedies)} If this is on purpose, accept it."
    )


def _many_unlabelled(counts: LabelCounts, scheme: LabelScheme, subject: str) -> str:
    void, remedy = scheme.void_label, ""
    label = "no class" if void is None else f"the label {void}, no class,"
    if scheme.first_label is not None and void is not None and void >= scheme.num_classes:
        remedy = f" If {void} marks a class, name it in `labels`, such as {_void_as(1, scheme)}."
    return (
        f"{counts.unlabelled_share:.1%} of the pixels of {subject} have {label} and are ignored in "
        f"training and scores.{remedy} If the labels are sparse on purpose, accept this."
    )


def _void_as(index: int, scheme: LabelScheme) -> str:
    """Returns the argument that makes the void label a class, and keeps the other labels."""
    names = scheme.class_names
    table = {label: name for label, name in enumerate(names) if label != index}
    assert scheme.void_label is not None
    return labels_argument({**table, scheme.void_label: names[index]})


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.0005 else "less than 0.1%"


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
