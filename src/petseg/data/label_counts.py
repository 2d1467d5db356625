"""Counts the labels of masks."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from petseg.data.folder_layout import UNLABELLED


@dataclass(frozen=True)
class LabelCounts:
    """How often each label occurs in some masks.

    Attributes:
        masks: Number of masks.
        pixels: Number of pixels of each class, in the order of the classes.
        unlabelled: Number of pixels without a class.
        unknown: Number of pixels whose label stands for nothing.
    """

    masks: int
    pixels: np.ndarray
    unlabelled: int
    unknown: int

    @property
    def unlabelled_share(self) -> float:
        """Share of the unlabelled pixels in all pixels, 0 to 1."""
        return self.unlabelled / max(1, self.total)

    @property
    def total(self) -> int:
        """Number of all pixels."""
        return int(self.pixels.sum()) + self.unlabelled + self.unknown


def count_labels(labels: np.ndarray, expected: range) -> LabelCounts:
    """Counts the labels of one mask.

    Args:
        labels: The labels as stored, `(H, W, 1)`.
        expected: The numbers that stand for classes. Where they start at 0, 255 stands for
            unlabelled pixels.

    Returns:
        The counts.
    """
    whole = labels.astype(np.int64).ravel()
    found = np.bincount(whole[(whole >= 0) & (whole <= UNLABELLED)], minlength=UNLABELLED + 1)
    pixels = found[expected.start : expected.stop]
    unlabelled = int(found[UNLABELLED]) if expected.start == 0 else 0
    return LabelCounts(1, pixels, unlabelled, labels.size - int(pixels.sum()) - unlabelled)


def add_counts(counts: Iterable[LabelCounts], num_classes: int) -> LabelCounts:
    """Adds up the counts of several masks.

    Args:
        counts: The counts. There may be none.
        num_classes: Number of classes.

    Returns:
        Their sum.
    """
    every = list(counts)
    return LabelCounts(
        masks=sum(each.masks for each in every),
        pixels=np.sum([np.zeros(num_classes, np.int64), *(each.pixels for each in every)], axis=0),
        unlabelled=sum(each.unlabelled for each in every),
        unknown=sum(each.unknown for each in every),
    )
