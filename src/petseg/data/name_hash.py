"""A hash of file names that divides a dataset into splits, the same on every machine."""

import tensorflow as tf


def name_bucket(file_names: tf.Tensor) -> tf.Tensor:
    """Puts each file into one of ten buckets by a hash of its name.

    The bucket depends on the name alone, so a file stays in its split when others are added. The
    hash is FarmHash's Fingerprint64, which is guaranteed never to change; Python's own differs from
    run to run.

    Args:
        file_names: Strings of any shape: names with suffix, without folder.

    Returns:
        int64 from 0 to 9, of the same shape.
    """
    return tf.strings.to_hash_bucket_fast(file_names, 10)
