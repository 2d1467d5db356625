"""Counts the labels of masks."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from petseg.data.label_scheme import UNKNOWN, LabelScheme


@dataclass(frozen=True)
class LabelCounts:
    """How often each label occurs in some masks.

    Attributes:
        masks: Number of masks.
        pixels: Number of pixels of each class, in the order of the classes.
        unlabelled: Number of pixels without a class.
        unknown: For each label or packed colour that stands for nothing the number of its pixels.
        masks_of: For each of these the number of masks that hold it.
    """

    masks: int
    pixels: np.ndarray
    unlabelled: int
    unknown: dict[int, int] = field(default_factory=dict)
    masks_of: dict[int, int] = field(default_factory=dict)

    @property
    def unlabelled_share(self) -> float:
        """Share of the unlabelled pixels in all pixels, 0 to 1."""
        return self.unlabelled / max(1, self.total)

    @property
    def total(self) -> int:
        """Number of all pixels."""
        return int(self.pixels.sum()) + self.unlabelled + sum(self.unknown.values())


def count_labels(
    labels: np.ndarray, scheme: LabelScheme, encoded: np.ndarray | None = None
) -> LabelCounts:
    """Counts the labels of one mask.

    Args:
        labels: The labels as stored, or the packed colours, `(H, W, 1)`.
        scheme: What they mean.
        encoded: `scheme.encode(labels)`, where that is known.

    Returns:
        The counts.
    """
    if encoded is None:
        encoded = scheme.encode(labels)
    found = np.bincount(encoded.ravel() + 1, minlength=257)[1:]  # UNKNOWN is -1
    pixels = found[: scheme.num_classes].copy()
    unlabelled = 0
    if scheme.ignore_class is not None:
        unlabelled = int(found[scheme.ignore_class])
        pixels[scheme.ignore_class : scheme.ignore_class + 1] = 0  # an ignored class
    values, counts = np.unique(labels[encoded == UNKNOWN], return_counts=True)
    unknown = dict(zip(values.tolist(), counts.tolist(), strict=True))
    return LabelCounts(1, pixels, unlabelled, unknown, dict.fromkeys(unknown, 1))


def count_colours(colours: dict[int, int]) -> LabelCounts:
    """Counts the colours of one mask for which there is no table.

    Args:
        colours: The number of pixels of each packed colour.

    Returns:
        The counts, without any class.
    """
    return LabelCounts(1, np.zeros(0, np.int64), 0, colours, dict.fromkeys(colours, 1))


def add_counts(counts: Iterable[LabelCounts], num_classes: int) -> LabelCounts:
    """Adds up the counts of several masks.

    Args:
        counts: The counts. There may be none.
        num_classes: Number of classes.

    Returns:
        Their sum.
    """
    every = list(counts)
    unknown: dict[int, int] = {}
    masks_of: dict[int, int] = {}
    for each in every:
        for label, pixels in each.unknown.items():
            unknown[label] = unknown.get(label, 0) + pixels
            masks_of[label] = masks_of.get(label, 0) + each.masks_of[label]
    return LabelCounts(
        masks=sum(each.masks for each in every),
        pixels=np.sum([np.zeros(num_classes, np.int64), *(each.pixels for each in every)], axis=0),
        unlabelled=sum(each.unlabelled for each in every),
        unknown=unknown,
        masks_of=masks_of,
    )
