"""Examples of shards: read one after the other, and shuffled a part at a time."""

import io
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from petseg.data.label_scheme import LabelScheme
from petseg.data.masks import class_indices, decode_labels
from petseg.data.records import Records, file_identity, read_example
from petseg.data.shard_files import Shard, StoredExample, find_shards, read_shard
from petseg_runtime.image_io import decode_image

# Shards that are read in turns for training, so that a batch mixes examples of several.
SHARDS_AT_ONCE = 4

# Stored examples that are handed to TensorFlow at once: one by one would take half a millisecond
# each.
CHUNK = 16
SPEC = tuple(tf.TensorSpec((None,), tf.string) for _ in StoredExample._fields)


def shard_records(
    root: str | os.PathLike[str], scheme: LabelScheme, channels: int, shuffle_buffer: int
) -> dict[str, Records]:
    """Finds the examples of a folder of shards. Their entries are encoded images and masks.

    Args:
        root: The folder.
        scheme: What the labels mean.
        channels: Number of channels of the images.
        shuffle_buffer: Number of examples that are shuffled at once.

    Returns:
        The records of train, val and test.

    Raises:
        FileNotFoundError: If the folder, a split or a listed shard is missing.
        ValueError: If a shard is damaged.
    """
    shards = find_shards(Path(root).expanduser())
    return {
        split: _records(of_split, scheme, channels, shuffle_buffer)
        for split, of_split in shards.items()
    }


def _records(
    shards: list[Shard], scheme: LabelScheme, channels: int, shuffle_buffer: int
) -> Records:
    files = tf.data.Dataset.from_tensor_slices(
        (
            [os.fsencode(shard.path) for shard in shards],
            np.array([shard.examples for shard in shards], np.int64),
        )
    )

    def order(seed: tf.Tensor) -> tf.data.Dataset:
        mixed = files.shuffle(len(shards), seed=seed)
        stored = mixed.interleave(_stored, cycle_length=SHARDS_AT_ONCE)
        return stored.shuffle(shuffle_buffer, seed=seed)

    def read(*stored: tf.Tensor) -> dict[str, tf.Tensor]:
        return read_example(decode, stored, tf.strings.split(stored[0], ": ")[-1], channels)

    def decode(
        image_name: bytes, image: bytes, mask_name: bytes, mask: bytes
    ) -> tuple[np.ndarray, np.ndarray]:
        pixels = decode_image(io.BytesIO(image), os.fsdecode(image_name), channels)
        name = os.fsdecode(mask_name)
        labels = decode_labels(io.BytesIO(mask), name, colours=scheme.is_colour)
        return pixels, class_indices(labels, pixels, scheme, name)

    def part(number: int, parts: int) -> Records:
        if len(shards) < parts:
            raise ValueError(
                f"Training in {parts} processes needs at least {parts} training shards. Received: "
                f"{len(shards)}. Write smaller ones, or start fewer processes."
            )
        return _records(shards[number::parts], scheme, channels, shuffle_buffer)

    count = sum(shard.examples for shard in shards)
    return Records(
        files.flat_map(_stored).apply(tf.data.experimental.assert_cardinality(count)),
        read,
        lambda: [channels, scheme.identity, [file_identity(shard.path) for shard in shards]],
        order,
        shuffle_buffer,
        part,
    )


def _stored(path: tf.Tensor, examples: tf.Tensor) -> tf.data.Dataset:
    arguments = path, examples
    chunks = tf.data.Dataset.from_generator(_read, args=arguments, output_signature=SPEC)
    return chunks.unbatch()


def _read(path: bytes, examples: np.int64) -> Iterator[tuple[list[bytes], ...]]:
    stored = read_shard(Shard(Path(os.fsdecode(path)), int(examples)))
    while chunk := list(itertools.islice(stored, CHUNK)):
        columns = zip(*chunk, strict=True)
        yield tuple([os.fsencode(value) for value in column] for column in columns)
