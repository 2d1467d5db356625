"""Examples to batches: resize once, cache, shuffle, batch, augment, prefetch.

An example is a dict of `image` (uint8, `(H, W, 3)`), `mask` (uint8 classes, `(H, W, 1)`) and
`file_name`. A batch is `(images, masks)`: float32 `(N, H, W, 3)` in [0, 255] and int32
`(N, H, W, 1)`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from petseg.data.epochs import SeededEpochs

# Images to crop are cached this much larger, so that a crop of two thirds of one isn't enlarged.
CROP_MARGIN = 1.25

CROP_AREA = (0.5, 1.0)
CROP_ASPECT_RATIO = (3 / 4, 4 / 3)
BRIGHTNESS = 0.1
CONTRAST = (0.8, 1.2)
SATURATION = (0.7, 1.3)

# Rec. 601 luma, what `tf.image.rgb_to_grayscale` weighs by.
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Batching:
    """How examples become batches: what all loaders take.

    Raises `ValueError` for what is no size, number or seed.
    """

    image_size: tuple[int, int]
    batch_size: int
    augment: bool
    seed: int

    def __post_init__(self) -> None:
        size = self.image_size
        if not (isinstance(size, Sequence) and len(size) == 2 and all(map(_is_positive, size))):
            raise ValueError(
                f"`image_size` must be two positive integers, (height, width). Received: {size!r}."
            )
        if not _is_positive(self.batch_size):
            raise ValueError(
                f"`batch_size` must be a positive integer. Received: {self.batch_size!r}."
            )
        if not (self.seed == 0 or _is_positive(self.seed)):
            raise ValueError(f"`seed` must be an integer of 0 or more. Received: {self.seed!r}.")


def training_batches(examples: tf.data.Dataset, batching: Batching) -> tf.data.Dataset:
    """Makes training batches: cached, shuffled each epoch and, if wanted, augmented each epoch.

    Each iterator over the dataset is another epoch. `petseg.data.epochs.batches_from_epoch` gives
    the batches of epochs by number, which depend on the seed alone.

    Args:
        examples: Examples of known number, see the description of this module.
        batching: Size, number and seed of the batches, and whether they are augmented.

    Returns:
        Batches `(images, masks)`, see the description of this module.
    """
    scale = CROP_MARGIN if batching.augment else 1.0
    height, width = batching.image_size
    cached = _resized(examples, (math.ceil(scale * height), math.ceil(scale * width))).cache()

    def prepare(
        images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        if not batching.augment:
            return _to_batch(images, masks)
        return augment_batch(images, masks, seed=seed, image_size=batching.image_size)

    return SeededEpochs(
        cached,
        batch_size=batching.batch_size,
        seed=batching.seed,
        prepare=prepare,
        finish=_finished,
        augment=batching.augment,
    ).dataset()


def evaluation_batches(
    examples: tf.data.Dataset, batching: Batching, *, cache: bool
) -> tf.data.Dataset:
    """In the order of `examples`, with no change but the resize."""
    dataset = _resized(examples, batching.image_size)
    if cache:
        dataset = dataset.cache()
    dataset = dataset.batch(batching.batch_size)
    return _finished(dataset.map(_to_batch, num_parallel_calls=tf.data.AUTOTUNE))


def resize_example(
    image: tf.Tensor, mask: tf.Tensor, image_size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Squash to `image_size`: the image bilinear and antialiased, the mask by nearest neighbour."""
    image = tf.image.resize(image, image_size, antialias=True)
    image = tf.saturate_cast(tf.round(image), tf.uint8)
    mask = tf.image.resize(mask, image_size, method="nearest")
    return image, mask


def augment_batch(
    images: tf.Tensor, masks: tf.Tensor, *, seed: tf.Tensor, image_size: tuple[int, int]
) -> tuple[tf.Tensor, tf.Tensor]:
    """Random resized crop and left-right flip of images and masks alike; colour jitter of images.

    Takes uint8 of any size, returns float32 and int32 of `image_size`; `seed` (two integers)
    settles all. One crop-and-resize both crops and flips, and one matmul does all colour: an
    eighth of the CPU time of Keras's layers for the same, whose state would be shared by the
    threads of `tf.data` besides.
    """
    count = tf.shape(images)[0]
    draws = tf.unstack(tf.random.stateless_uniform((8, count), seed), num=8)
    boxes = random_boxes(*draws[:5])
    indices = tf.range(count)
    images = tf.image.crop_and_resize(images, boxes, indices, image_size)
    masks = tf.image.crop_and_resize(masks, boxes, indices, image_size, method="nearest")
    return jitter_colour(images, *draws[5:]), tf.cast(masks, tf.int32)


def random_boxes(
    area: tf.Tensor, aspect_ratio: tf.Tensor, top: tf.Tensor, left: tf.Tensor, flip: tf.Tensor
) -> tf.Tensor:
    """Crop boxes `(N, 4)` as fractions of the image from draws in [0, 1); x1 > x2 flips."""
    area = _between(area, *CROP_AREA)
    aspect_ratio = tf.exp(_between(aspect_ratio, *map(math.log, CROP_ASPECT_RATIO)))
    height = tf.minimum(tf.sqrt(area / aspect_ratio), 1.0)
    width = tf.minimum(tf.sqrt(area * aspect_ratio), 1.0)
    y1, x1 = top * (1.0 - height), left * (1.0 - width)
    y2, x2 = y1 + height, x1 + width
    flip = flip < 0.5
    x1, x2 = tf.where(flip, x2, x1), tf.where(flip, x1, x2)
    # A rounding error beyond the edge would be padded with a row of zeros: class 0 in a mask.
    return tf.clip_by_value(tf.stack([y1, x1, y2, x2], axis=1), 1e-5, 1.0 - 1e-5)


def jitter_colour(
    images: tf.Tensor, brightness: tf.Tensor, contrast: tf.Tensor, saturation: tf.Tensor
) -> tf.Tensor:
    """Saturation, contrast about mid-grey, then brightness, by draws in [0, 1): an affine map."""
    brightness = 255.0 * _between(brightness, -BRIGHTNESS, BRIGHTNESS)
    contrast = _between(contrast, *CONTRAST)
    saturation = _between(saturation, *SATURATION)[:, None, None]
    to_grey = tf.tile(tf.constant(LUMA)[:, None], (1, 3))  # (3, 3)
    matrix = saturation * tf.eye(3) + (1.0 - saturation) * to_grey  # (N, 3, 3)
    matrix *= contrast[:, None, None]
    offset = 127.5 * (1.0 - contrast) + brightness
    shape = tf.shape(images)
    pixels = tf.reshape(images, (shape[0], -1, 3))
    pixels = tf.clip_by_value(pixels @ matrix + offset[:, None, None], 0.0, 255.0)
    return tf.ensure_shape(tf.reshape(pixels, shape), images.shape)


def _between(uniform: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + uniform * (high - low)


def _resized(examples: tf.data.Dataset, image_size: tuple[int, int]) -> tf.data.Dataset:
    return examples.map(
        lambda example: resize_example(example["image"], example["mask"], image_size),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def _to_batch(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.cast(images, tf.float32), tf.cast(masks, tf.int32)


def _finished(dataset: tf.data.Dataset) -> tf.data.Dataset:
    options = tf.data.Options()
    options.deterministic = True
    # Its thread outlives the iterator, by up to as long as that took: a second for each validation.
    options.autotune.enabled = False
    # Batches are made side by side. To split each over the cores as well would gain nothing and
    # take them from the training step.
    options.threading.max_intra_op_parallelism = 1
    return dataset.with_options(options).prefetch(tf.data.AUTOTUNE)


def _is_positive(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
