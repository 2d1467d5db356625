"""Examples to batches: resize, cache, shuffle, batch, augment, prefetch.

An example is a dict of `image` (uint8, `(H, W, 3)`), `mask` (uint8 classes, `(H, W, 1)`) and
`file_name`. A batch is `(images, masks)`: float32 `(N, H, W, 3)` in [0, 255] and int32
`(N, H, W, 1)`.
"""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import tensorflow as tf

from petseg.data.augmentation import Augment, Augmentation, find_augmentation
from petseg.data.batch_augmentation import augment_batch
from petseg.data.caching import MEMORY, Cache, cached, checked_cache
from petseg.data.epochs import SeededEpochs
from petseg.data.oversampling import oversampled
from petseg.data.own_augmentation import Function, augmented, description, own_function
from petseg.data.records import Records
from petseg_runtime import validation

# Images to crop are cached this much larger, so that cropping two thirds of one enlarges nothing.
CROP_MARGIN = 1.25


@dataclass(frozen=True)
class Batching:
    """How examples become batches: the arguments that all loaders share, checked.

    Attributes:
        image_size: (height, width) in pixels that images and masks are resized to.
        batch_size: Number of examples in a batch. The last batch of a split may hold fewer.
        augment: How training batches are augmented, see `find_augmentation`.
        seed: Seed of the order of the training examples and of their augmentation, 0 or more.
        oversample: Whether training examples with rare classes are repeated, see `oversampled`.
        cache: Where training and validation examples are kept once they are resized: "memory", the
            path of a folder, or False for nowhere.

    Raises:
        ValueError: If a value is out of its range.
    """

    image_size: tuple[int, int]
    batch_size: int
    augment: Augment
    seed: int
    oversample: bool = False
    cache: Cache = MEMORY

    def __post_init__(self) -> None:
        checked = {
            "image_size": validation.image_size("image_size", self.image_size),
            "batch_size": validation.integer("batch_size", self.batch_size, minimum=1),
            "seed": validation.integer("seed", self.seed, minimum=0),
            "oversample": validation.boolean("oversample", self.oversample),
            "cache": checked_cache(self.cache),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        find_augmentation(self.augment)

    @property
    def augmentation(self) -> Augmentation | Callable[..., Any] | None:
        """What is done to training batches, or None for nothing."""
        return find_augmentation(self.augment)


def training_batches(
    examples: tf.data.Dataset | Records,
    batching: Batching,
    num_classes: int,
    background: int | None = None,
    ignore_class: int | None = None,
) -> tf.data.Dataset:
    """Makes training batches, shuffled each epoch and, if wanted, augmented each epoch.

    Each iterator over the dataset is another epoch. `petseg.data.epochs.batches_from_epoch` gives
    the batches of epochs by number, which depend on the seed alone.

    Args:
        examples: Examples of known number, see the description of this module.
        batching: Size, number and seed of the batches, and how they are augmented.
        num_classes: Number of classes.
        background: The background class, for augmentation that pastes objects.
        ignore_class: Label of pixels without a class, for augmentation that makes such pixels.

    Returns:
        Batches `(images, masks)`, see the description of this module.
    """
    augmentation = batching.augmentation
    function: Function | None = None
    described: dict[str, Any] | None = None
    if isinstance(augmentation, Augmentation):
        described = asdict(augmentation)
    elif augmentation is not None:
        function = own_function(augmentation, batching.image_size, ignore_class)
        described = description(augmentation)
    scale = CROP_MARGIN if isinstance(augmentation, Augmentation) else 1.0
    height, width = batching.image_size
    size = math.ceil(scale * height), math.ceil(scale * width)
    records = cached(_resized(examples, size), batching.cache)
    if batching.oversample:
        records = oversampled(records, num_classes)

    def prepare(
        images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if isinstance(augmentation, Augmentation):
            return augment_batch(
                images,
                masks,
                seed=seed,
                image_size=batching.image_size,
                augmentation=augmentation,
                background=background,
            )
        batch = _to_batch(images, masks)
        if function is None:
            return batch
        return augmented(function, *batch, num_classes=num_classes, ignore_class=ignore_class)

    return SeededEpochs(
        records,
        batch_size=batching.batch_size,
        seed=batching.seed,
        prepare=prepare,
        finish=_finished,
        augment=described,
    ).dataset()


def evaluation_batches(
    examples: tf.data.Dataset | Records, batching: Batching, *, cache: Cache
) -> tf.data.Dataset:
    """Makes batches for validation and test: in the order of the examples, only resized.

    Args:
        examples: Examples, see the description of this module.
        batching: Size and number of the batches. Its seed and its augmentation do not apply.
        cache: Where the resized examples are kept, for more than one epoch.

    Returns:
        Batches `(images, masks)`, see the description of this module.
    """
    records = cached(_resized(examples, batching.image_size), cache)
    dataset = records.examples().batch(batching.batch_size)
    return _finished(dataset.map(_to_batch, num_parallel_calls=tf.data.AUTOTUNE))


def resize_example(
    image: tf.Tensor, mask: tf.Tensor, image_size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes an image and its mask to one size. The aspect ratio is not kept.

    The image is resampled bilinearly with antialiasing, the mask by nearest neighbour.

    Args:
        image: uint8 `(H, W, 3)` in [0, 255].
        mask: uint8 classes `(H, W, 1)`.
        image_size: (height, width) in pixels of the result.

    Returns:
        `(image, mask)`: uint8 `(*image_size, 3)` and `(*image_size, 1)`.
    """
    image = tf.image.resize(image, image_size, antialias=True)
    image = tf.saturate_cast(tf.round(image), tf.uint8)
    mask = tf.image.resize(mask, image_size, method="nearest")
    return image, mask


def _resized(examples: tf.data.Dataset | Records, image_size: tuple[int, int]) -> Records:
    return Records.of(examples).map(
        lambda example: resize_example(example["image"], example["mask"], image_size)
    )


def _to_batch(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.cast(images, tf.float32), tf.cast(masks, tf.int32)


def _finished(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Autotuning keeps a thread that outlives the iterator, by up to as long as the iteration took:
    # a second for each validation.
    options.autotune.enabled = False
    # Batches are made in parallel. To split each over the cores as well would gain nothing and
    # take them from the training step.
    options.threading.max_intra_op_parallelism = 1
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)
