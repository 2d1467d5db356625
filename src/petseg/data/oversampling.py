"""Oversampling: training images with rare classes come several times in an epoch."""

from dataclasses import replace

import numpy as np
import tensorflow as tf

from petseg.data.records import Records

# A class that this share of the images has is not rare.
COMMON = 0.5


def oversampled(records: Records, num_classes: int) -> Records:
    """Repeats examples with rare classes, by repeat factors (Gupta et al., arXiv:1908.03195).

    A class that a share f of the images has gets the factor `sqrt(0.5 / f)`, at least 1. An image
    gets the greatest factor of its classes, rounded. All masks are read at once.

    Args:
        records: Examples `(image, mask)`, which are shuffled all at once.
        num_classes: Number of classes. Other labels do not count.

    Returns:
        The examples, each one or more times.

    Raises:
        ValueError: If the examples are shuffled a part at a time.
    """
    if records.order is not None:
        raise ValueError(
            "`oversample` must be False for shards without a cache. Received: True. Pass "
            '`cache="memory"` or a folder as `cache`.'
        )

    def classes_of(_image: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        labels = tf.reshape(tf.cast(mask, tf.int32), (-1,))
        labels = tf.where(labels < num_classes, labels, num_classes)
        return tf.math.bincount(labels, minlength=num_classes + 1)[:num_classes] > 0

    found = records.examples().map(classes_of, num_parallel_calls=tf.data.AUTOTUNE)
    counts = repeats(np.array(list(found.as_numpy_iterator())))
    numbered = tf.data.Dataset.zip(records.entries, tf.data.Dataset.from_tensor_slices(counts))
    repeated = numbered.flat_map(
        lambda entry, count: tf.data.Dataset.from_tensors(entry).repeat(count)
    )
    known = tf.data.experimental.assert_cardinality(int(counts.sum()))
    return replace(records, entries=repeated.apply(known))


def repeats(has_class: np.ndarray) -> np.ndarray:
    """Computes how often each image comes in an epoch.

    Args:
        has_class: Whether each image has a pixel of each class, bool `(images, num_classes)`.

    Returns:
        Integers `(images,)`, at least 1.
    """
    shares = has_class.mean(axis=0)
    factors = np.sqrt(np.maximum(1.0, COMMON / np.maximum(shares, 1e-9)))
    greatest = np.where(has_class, factors, 1.0).max(axis=1)
    rounded: np.ndarray = np.rint(greatest).astype(np.int64)
    return rounded
