"""Weights of classes from their shares in the training masks."""

from typing import Any

import numpy as np
import tensorflow as tf

from petseg.data.epochs import seeded_epochs
from petseg_runtime import validation

BALANCED = "balanced"

# ENet's (Paszke et al., arXiv:1606.02147, section 5.1): the weight of a class that hardly occurs is
# 1 / log(1.02) = 50 before weights are scaled, that of one that is everywhere 1.4.
SMOOTHING = 1.02


def checked_class_weights(values: Any, num_classes: int | None = None) -> tuple[float, ...] | str:
    """Checks the argument `class_weights`.

    Args:
        values: What was received.
        num_classes: How many weights are expected. None allows any number.

    Returns:
        "balanced", or the weights.

    Raises:
        ValueError: If it is neither.
    """
    if isinstance(values, str):
        if values != BALANCED:
            raise ValueError(
                f'`class_weights` must be "{BALANCED}" or a number for each class. '
                f"Received: {values!r}."
            )
        return BALANCED
    return validation.class_weights("class_weights", values, num_classes)


def balanced_weights(
    train: tf.data.Dataset, num_classes: int, ignore_class: int | None
) -> tuple[float, ...]:
    """Weighs each class by `1 / log(1.02 + share)`, scaled to a mean of 1 over all pixels.

    Args:
        train: Batches of images and masks, of known number. Those of a loader of petseg are
            counted without augmentation.
        num_classes: Number of classes.
        ignore_class: Label of pixels that do not count, or None.

    Returns:
        The weight of each class.

    Raises:
        ValueError: If no pixel has a class.
    """
    epochs = seeded_epochs(train)

    def count(_images: tf.Tensor, masks: tf.Tensor, *_others: tf.Tensor) -> tf.Tensor:
        labels = tf.cast(masks, tf.int32)
        counts = (labels >= 0) & (labels < num_classes)
        if ignore_class is not None:
            counts = counts & (labels != ignore_class)
        return tf.math.bincount(
            tf.where(counts, labels, num_classes),
            minlength=num_classes,
            maxlength=num_classes,
            dtype=tf.int64,
        )

    counted = (train if epochs is None else epochs.examples).map(count, tf.data.AUTOTUNE)
    totals = counted.reduce(tf.zeros(num_classes, tf.int64), tf.add).numpy().astype(float)
    if not totals.any():
        raise ValueError(
            f'`class_weights` must be numbers, not "{BALANCED}", where no pixel of `train` has a '
            "class."
        )
    shares = totals / totals.sum()
    weights = 1 / np.log(SMOOTHING + shares)
    scaled = weights / np.sum(shares * weights)
    return tuple(round(float(weight), 4) for weight in scaled)
