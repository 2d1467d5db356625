"""`Records`: examples before they are read, so that they can be shuffled without their pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import tensorflow as tf


@dataclass(frozen=True)
class Records:
    """Examples and what they are read from.

    Attributes:
        entries: What each example is read from, such as the paths of its files, or the examples
            themselves. Their number is known.
        read: Function of an entry that returns the example, or None where entries are examples.
        identity: Function that returns, as JSON has it, what the examples depend on. It changes
            when the files do. None where that is not known.
        order: Function of a seed that returns the entries in a random order, or None to shuffle
            all entries at once.
        shuffle_buffer: Number of entries that `order` shuffles at once, or None for all.
        part: Function of a number and a count that returns the records of one of so many parts,
            which are in files of its own. None where there are no such parts.
        count: Number of examples.
    """

    entries: tf.data.Dataset
    read: Callable[..., Any] | None = None
    identity: Callable[[], Any] | None = None
    order: Callable[[tf.Tensor], tf.data.Dataset] | None = None
    shuffle_buffer: int | None = None
    part: "Callable[[int, int], Records] | None" = None
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", int(self.entries.cardinality()))

    @classmethod
    def of(cls, examples: "tf.data.Dataset | Records") -> "Records":
        """Takes a dataset of examples as records."""
        return examples if isinstance(examples, Records) else cls(examples)

    def map(self, function: Callable[..., Any], identity: Any = None) -> Self:
        """Applies a function to each example when it is read.

        Args:
            function: Function of an example.
            identity: What says which function it is, as JSON has it.

        Returns:
            The records of the results.
        """
        read, before, part = self.read, self.identity, self.part
        return replace(
            self,
            read=function if read is None else lambda *entry: _call(function, read(*entry)),
            identity=None if before is None else lambda: [before(), identity],
            part=None if part is None else lambda *which: part(*which).map(function, identity),
        )

    def examples(self) -> tf.data.Dataset:
        """Reads the examples in the order of the entries."""
        return self._read(self.entries)

    def shuffled(self, seed: tf.Tensor) -> tf.data.Dataset:
        """Reads the examples in an order that depends on a seed.

        Args:
            seed: The seed.

        Returns:
            The examples.
        """
        if self.order is not None:
            return self._read(self.order(seed))
        # With room for one more, the first entry that is asked for reads all others, so that a
        # cache in memory is complete even after `take` and `next`.
        return self._read(self.entries.shuffle(self.count + 1, seed=seed))

    def _read(self, entries: tf.data.Dataset) -> tf.data.Dataset:
        if self.read is None:
            return entries
        return entries.map(self.read, num_parallel_calls=tf.data.AUTOTUNE)


def read_example(
    read: Callable[..., tuple[np.ndarray, np.ndarray]],
    entry: Sequence[tf.Tensor],
    name: tf.Tensor,
    channels: int = 3,
) -> dict[str, tf.Tensor]:
    """Reads an example with a function of NumPy.

    Args:
        read: Function of the values of `entry` that returns image and mask, both uint8.
        entry: What the example is read from.
        name: Its file name.
        channels: Number of channels of the image.

    Returns:
        A dict of `image` `(H, W, channels)`, `mask` `(H, W, 1)` and `file_name`.
    """
    image, mask = tf.numpy_function(read, entry, (tf.uint8, tf.uint8))
    return {
        "image": tf.ensure_shape(image, (None, None, channels)),
        "mask": tf.ensure_shape(mask, (None, None, 1)),
        "file_name": name,
    }


def file_identity(path: Path) -> list[str | int]:
    """Returns what changes when a file does, for `Records.identity`.

    Args:
        path: The file.

    Returns:
        Its path, size and time of modification.
    """
    status = path.stat()
    return [str(path.absolute()), status.st_size, status.st_mtime_ns]


def _call(function: Callable[..., Any], example: Any) -> Any:
    """Calls a function as `tf.data` does: with the parts of a tuple as arguments."""
    return function(*example) if isinstance(example, tuple) else function(example)
