"""Statistics of a dataset: number of examples, image sizes, share of each class."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from petseg.data.label_scheme import UNLABELLED, checked_class_names
from petseg_runtime import validation

# (height, width) in pixels
Size = tuple[int, int]


@dataclass(frozen=True)
class SplitSummary:
    """Statistics of one split.

    Height and width are taken separately, so an image of exactly one of these sizes need not exist.

    Attributes:
        examples: Number of examples.
        class_shares: For each class its share of all pixels, 0 to 1.
        unlabelled_share: Share of all pixels that have no class, 0 to 1. All shares add up to 1.
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
    examples: Mapping[str, tf.data.Dataset],
    class_names: Sequence[str],
    ignore_class: int | None = UNLABELLED,
) -> dict[str, SplitSummary]:
    """Counts examples and classes of each split, at the images' own sizes. Reads all examples.

    Args:
        examples: For each split a dataset of dicts with `image` (`(H, W, 3)`) and `mask` (uint8
            classes, `(H, W, 1)`, and `ignore_class`), as `petseg.data.pet_examples` gives them.
        class_names: Name of each class, in the order of the labels: 2 to 255 different names.
        ignore_class: Label of pixels without a class, or None.

    Returns:
        A summary for each split.

    Raises:
        ValueError: If a split is empty, a label stands for no class, or `class_names` is not 2 to
            255 different names.
    """
    ignore_class = validation.optional_integer("ignore_class", ignore_class)
    class_names = checked_class_names("class_names", class_names, ignore_class)
    return {
        split: _describe(dataset, class_names, ignore_class) for split, dataset in examples.items()
    }


def _describe(
    dataset: tf.data.Dataset, class_names: Sequence[str], ignore_class: int | None
) -> SplitSummary:
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
    shares = totals / totals.sum()
    unlabelled = 0.0
    if ignore_class is not None and ignore_class < len(shares):
        unlabelled = float(shares[ignore_class])
        shares[ignore_class] = 0
    unknown = np.flatnonzero(shares[len(class_names) :]) + len(class_names)
    if len(unknown):
        or_void = "" if ignore_class is None else f", or {ignore_class} where unlabelled"
        raise ValueError(
            f"`examples` must hold the labels 0 to {len(class_names) - 1}{or_void}. "
            f"Received: {unknown[0]}. Name every class in `class_names`."
        )

    def size(summarise: Callable[..., np.ndarray]) -> Size:
        height, width = summarise(sizes, axis=0)
        return int(height), int(width)

    return SplitSummary(
        examples=len(sizes),
        class_shares=dict(zip(class_names, shares[: len(class_names)].tolist(), strict=True)),
        unlabelled_share=unlabelled,
        smallest=size(np.min),
        median=size(np.median),
        largest=size(np.max),
    )
