"""Statistics of a dataset: number of examples, image sizes, share of each class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from petseg.data.folder_layout import UNLABELLED, checked_class_names

# (height, width) in pixels
Size = tuple[int, int]


@dataclass(frozen=True)
class SplitSummary:
    """Statistics of one split.

    Height and width are taken separately, so an image of exactly one of these sizes need not exist.

    Attributes:
        examples: Number of examples.
        class_shares: For each class its share of all pixels, 0 to 1.
        unlabelled_share: Share of all pixels that have no class, the label 255, 0 to 1. All shares
            add up to 1.
        smallest: (least height, least width) of the images in pixels.
        median: (median height, median width) of the images in pixels.
        largest: (greatest height, greatest width) of the images in pixels.
    """

    examples: int
    class_shares: dict[str, float]
    unlabelled_share: float
    smallest: Size
    median: Size
    largest: Size


def describe(
    examples: Mapping[str, tf.data.Dataset], class_names: Sequence[str]
) -> dict[str, SplitSummary]:
    """Counts examples and classes of each split, at the images' own sizes. Reads all examples.

    Args:
        examples: For each split a dataset of dicts with `image` (`(H, W, 3)`) and `mask` (uint8
            classes, `(H, W, 1)`, and 255 where unlabelled), as `petseg.data.pet_examples` gives
            them.
        class_names: Name of each class, in the order of the labels: 2 to 255 different names.

    Returns:
        A summary for each split.

    Raises:
        ValueError: If a split is empty, a label stands for no class, or `class_names` is not 2 to
            255 different names.
    """
    class_names = checked_class_names("class_names", class_names)
    return {split: _describe(dataset, class_names) for split, dataset in examples.items()}


def _describe(dataset: tf.data.Dataset, class_names: Sequence[str]) -> SplitSummary:
    def measure(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.math.bincount(tf.cast(example["mask"], tf.int32), minlength=256, maxlength=256)
        return tf.shape(example["image"])[:2], pixels

    measured = dataset.map(measure, num_parallel_calls=tf.data.AUTOTUNE)
    every = list(measured.as_numpy_iterator())
    if not every:
        raise ValueError(
            "`examples` must hold at least one example for each split. Received: none."
        )
    sizes, pixels = zip(*every, strict=True)
    totals = np.asarray(np.sum(pixels, axis=0, dtype=np.float64))
    unknown = np.flatnonzero(totals[len(class_names) : UNLABELLED]) + len(class_names)
    if len(unknown):
        raise ValueError(
            f"`examples` must hold the labels 0 to {len(class_names) - 1}, or {UNLABELLED} where "
            f"unlabelled. Received: {unknown[0]}. Name every class in `class_names`."
        )
    shares = totals / totals.sum()

    def size(summarise: Callable[..., np.ndarray]) -> Size:
        height, width = summarise(sizes, axis=0)
        return int(height), int(width)

    return SplitSummary(
        examples=len(sizes),
        class_shares=dict(zip(class_names, shares[: len(class_names)].tolist(), strict=True)),
        unlabelled_share=float(shares[UNLABELLED]),
        smallest=size(np.min),
        median=size(np.median),
        largest=size(np.max),
    )
