"""A dataset in figures: how many examples, how large, how much of each class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

# (height, width) in pixels
Size = tuple[int, int]


@dataclass(frozen=True)
class SplitSummary:
    """One split: its examples, the share of pixels of each class, and its image sizes.

    Sizes are (height, width), side by side the least, the median and the greatest. Shares add up
    to less than 1 where pixels are unlabelled.
    """

    examples: int
    class_shares: dict[str, float]
    smallest: Size
    median: Size
    largest: Size


def describe(
    examples: Mapping[str, tf.data.Dataset], class_names: Sequence[str]
) -> dict[str, SplitSummary]:
    """Each split of a source's examples, before they are resized, in figures; reads them all."""
    return {split: _describe(dataset, class_names) for split, dataset in examples.items()}


def _describe(dataset: tf.data.Dataset, class_names: Sequence[str]) -> SplitSummary:
    def measure(example: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        pixels = tf.math.bincount(tf.cast(example["mask"], tf.int32), minlength=256, maxlength=256)
        return tf.shape(example["image"])[:2], pixels

    measured = dataset.map(measure, num_parallel_calls=tf.data.AUTOTUNE)
    sizes, pixels = zip(*measured.as_numpy_iterator(), strict=True)
    totals = np.asarray(np.sum(pixels, axis=0, dtype=np.float64))
    shares = totals[: len(class_names)] / totals.sum()

    def size(summarise: Callable[..., np.ndarray]) -> Size:
        height, width = summarise(sizes, axis=0)
        return int(height), int(width)

    return SplitSummary(
        examples=len(sizes),
        class_shares=dict(zip(class_names, shares.tolist(), strict=True)),
        smallest=size(np.min),
        median=size(np.median),
        largest=size(np.max),
    )
