"""Training batches as a function of the epoch.

A resumed run needs the batches of the epochs that come next, in the order in which an uninterrupted
run would have seen them. Counting the iterators of a dataset cannot give that: Keras makes one or
two for an epoch, depending on the backend. Here an epoch is a number, and its batches depend on
that number and on the seed alone.
"""

import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from petseg.data.records import Records

# Seeds are reduced to what the shuffle operation takes: 1 to this.
LARGEST_SEED = 2**31 - 2


class SeededEpochs:
    """Shuffled batches of a dataset, addressed by epoch.

    Args:
        records: Examples `(image, mask)` of one size.
        batch_size: Number of examples in a batch. The last batch of an epoch may hold fewer.
        seed: Seed of the order, and of `prepare`.
        prepare: Function of a batch of images, its masks and a seed (two integers) that returns
            what the model is trained on.
        finish: Function of the dataset of batches that adds options and prefetching.
        augment: How `prepare` augments, as JSON, for the description.
    """

    def __init__(
        self,
        records: Records,
        *,
        batch_size: int,
        seed: int,
        prepare: Callable[[tf.Tensor, tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]],
        finish: Callable[[tf.data.Dataset], tf.data.Dataset],
        augment: dict[str, Any] | None,
    ):
        self.records = records
        self.batch_size = batch_size
        self.seed = seed
        self.num_examples = records.count
        self.num_batches = math.ceil(self.num_examples / batch_size)
        self.augment = augment
        self._prepare = prepare
        self._finish = finish

    @property
    def examples(self) -> tf.data.Dataset:
        """The examples `(image, mask)`, in a fixed order and not augmented."""
        return self.records.examples()

    @property
    def description(self) -> dict[str, Any]:
        """What the batches depend on beside the examples themselves, ready for JSON."""
        buffer = self.records.shuffle_buffer
        return {
            "examples": self.num_examples,
            "batch_size": self.batch_size,
            "augment": self.augment,
            "seed": self.seed,
            **({} if buffer is None else {"shuffle_buffer": buffer}),
        }

    def starting_at(self, epoch: int, part: int = 0, parts: int = 1) -> tf.data.Dataset:
        """Makes an endless dataset of batches that begins with an epoch.

        Args:
            epoch: Number of the first epoch, from 0.
            part: Number of the part of each batch that is wanted, from 0.
            parts: Number of parts. More than one needs `records.part`, and a batch size that is
                divisible by it. The examples of a part are in files of its own. As parts differ in
                size, a part may have some examples twice in an epoch, and others not at all.

        Returns:
            The batches of that epoch, then those of the next one, and so on.

        Raises:
            ValueError: If there are fewer files than parts.
        """
        epochs = tf.data.Dataset.counter(epoch)
        if parts == 1 or self.records.part is None:
            return self._finish(self._batches(epochs, self.records))
        return self._finish(self._batches(epochs, self.records.part(part, parts), part, parts))

    def dataset(self) -> tf.data.Dataset:
        """Makes a dataset of one epoch: another epoch for each iterator over it.

        Returns:
            The dataset. `batches_from_epoch` finds the epochs that it was made from.
        """
        draws = tf.data.Dataset.random(seed=self.seed, rerandomize_each_iteration=True)
        batches = self._batches(draws.take(1), self.records)
        batches = batches.apply(tf.data.experimental.assert_cardinality(self.num_batches))
        dataset = self._finish(batches)
        dataset.seeded_epochs = self
        return dataset

    def _batches(
        self, epochs: tf.data.Dataset, records: Records, part: int = 0, parts: int = 1
    ) -> tf.data.Dataset:
        seed = 1 + self.seed % LARGEST_SEED

        def numbered_batches(epoch: tf.Tensor) -> tf.data.Dataset:
            # Inside this function `set_seed` concerns the function's own graph. The order depends
            # on no global seed.
            tf.random.set_seed(seed)
            order = records.shuffled(epoch)
            if parts > 1:
                order = order.repeat()  # All parts have as many batches, of the same size.
            first = epoch * self.num_batches
            numbers = tf.data.Dataset.range(first, first + self.num_batches)
            return tf.data.Dataset.zip(order.batch(self.batch_size // parts), numbers)

        def prepare(
            batch: tuple[tf.Tensor, tf.Tensor], number: tf.Tensor
        ) -> tuple[tf.Tensor, tf.Tensor]:
            number = number * parts + part
            return self._prepare(*batch, tf.stack([tf.constant(seed, tf.int64), number]))

        batches = epochs.flat_map(numbered_batches)
        return batches.map(prepare, num_parallel_calls=tf.data.AUTOTUNE)


def seeded_epochs(train: tf.data.Dataset) -> SeededEpochs | None:
    """Finds the epochs that a training dataset of petseg was made from.

    Args:
        train: A dataset.

    Returns:
        The epochs, or None for every other dataset, also one that was made from petseg's by `map`
        or `take`.
    """
    return getattr(train, "seeded_epochs", None)


def batches_from_epoch(
    train: tf.data.Dataset, epoch: int, part: int = 0, parts: int = 1
) -> tf.data.Dataset:
    """Makes an endless dataset of batches that begins with an epoch.

    Args:
        train: A dataset of the batches of one epoch.
        epoch: Number of the first epoch, from 0.
        part: As for `SeededEpochs.starting_at`.
        parts: As for `SeededEpochs.starting_at`.

    Returns:
        The batches of that epoch and all that follow. With a dataset that is not petseg's, these
        are `train` again and again, in whatever order it gives.
    """
    epochs = seeded_epochs(train)
    return train.repeat() if epochs is None else epochs.starting_at(epoch, part, parts)
