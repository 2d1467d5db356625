"""Random augmentation of a batch: images and masks are transformed together.

`Augmentation` says what is done and how often. `LIGHT` is crops, flips and colour. `STRONG` also
makes scenes with small, several and partly hidden objects out of the photos of the batch.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from petseg.data.scenes import mosaic, paste

CROP_AREA = (0.5, 1.0)
CROP_ASPECT_RATIO = (3 / 4, 4 / 3)
FLIP = 0.5

# Rec. 601 luma, the weights of `tf.image.rgb_to_grayscale`.
LUMA = (0.299, 0.587, 0.114)

BOX_AREA = (0.02, 0.15)  # of an occluding box, as a share of the image
ELASTIC_CELLS = 10  # of the displacement field, along each side
NUM_DRAWS = 8  # uniform numbers for each image: five for the box, three for the colour


@dataclass(frozen=True)
class Augmentation:
    """What is done to training batches.

    Every image gets a random crop of half to all of its area, with an aspect ratio of 3/4 to 4/3
    times its own, a horizontal flip with probability 1/2, and a change of its colour. Whether a
    batch becomes mosaics, or gets objects pasted, is drawn for the batch as a whole.

    Attributes:
        brightness: Largest offset, as a share of 255.
        contrast: Least and greatest factor around mid-grey.
        saturation: Least and greatest factor.
        mosaic: Probability that a batch becomes mosaics of 2x2 or 3x3 of its images.
        paste: Probability that objects of other images of the batch are pasted: all that is not
            background, one to six times, smaller. Needs a background class.
        occlusion: Probability that an image gets a box of one colour, labelled as background.
        elastic: Largest displacement of labels, in pixels. The image stays as it is.
        blur: Probability that a batch is blurred.
        noise: Probability that a batch gets noise.
    """

    brightness: float = 0.1
    contrast: tuple[float, float] = (0.8, 1.2)
    saturation: tuple[float, float] = (0.7, 1.3)
    mosaic: float = 0.0
    paste: float = 0.0
    occlusion: float = 0.0
    elastic: float = 0.0
    blur: float = 0.0
    noise: float = 0.0


LIGHT = Augmentation()
STRONG = Augmentation(
    brightness=0.2,
    contrast=(0.6, 1.3),
    saturation=(0.4, 1.5),
    mosaic=0.25,
    paste=0.3,
    occlusion=0.15,
    elastic=0.0,
    blur=0.1,
    noise=0.1,
)
AUGMENTATIONS = {"light": LIGHT, "strong": STRONG}


def find_augmentation(value: Any) -> Augmentation | None:
    """Checks the argument `augment` of the loaders.

    Args:
        value: True, False, a key of `AUGMENTATIONS`, or an `Augmentation`.

    Returns:
        The augmentation, or None for none.

    Raises:
        ValueError: If `value` is something else.
    """
    if isinstance(value, Augmentation):
        return value
    if isinstance(value, str) and value in AUGMENTATIONS:
        return AUGMENTATIONS[value]
    if isinstance(value, bool | np.bool_):
        return LIGHT if value else None
    raise ValueError(
        "`augment` must be True, False, 'light', 'strong' or a `petseg.data.Augmentation`. "
        f"Received: {value!r}."
    )


def augment_batch(
    images: tf.Tensor,
    masks: tf.Tensor,
    *,
    seed: tf.Tensor,
    image_size: tuple[int, int],
    augmentation: Augmentation = LIGHT,
    background: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augments a batch.

    Images are resampled bilinearly, masks by nearest neighbour. One crop-and-resize both crops and
    flips, and one matrix product does all colour. This takes an eighth of the CPU time of Keras's
    layers for the same, and keeps no state that the threads of `tf.data` would share.

    Args:
        images: uint8 `(N, H, W, 3)` in [0, 255].
        masks: uint8 classes `(N, H, W, 1)`.
        seed: Two integers. The same seed gives the same result.
        image_size: (height, width) in pixels of the result.
        augmentation: What is done.
        background: The background class. Without one, nothing is pasted and nothing occluded.

    Returns:
        `(images, masks)`: float32 `(N, *image_size, 3)` in [0, 255] and int32
        `(N, *image_size, 1)`.
    """
    count = tf.shape(images)[0]
    draws = tf.unstack(tf.random.stateless_uniform((NUM_DRAWS, count), seed), num=NUM_DRAWS)
    boxes = random_boxes(*draws[:5])

    def cropped() -> tuple[tf.Tensor, tf.Tensor]:
        indices = tf.range(count)
        crops = tf.image.crop_and_resize(images, boxes, indices, image_size)
        labels = tf.image.crop_and_resize(masks, boxes, indices, image_size, method="nearest")
        return crops, tf.cast(labels, tf.int32)

    share_mosaic = augmentation.mosaic
    share_paste = augmentation.paste if background is not None else 0.0
    if share_mosaic + share_paste > 0:
        choice = tf.random.stateless_uniform((), _child(seed, 1))
        new_images, new_masks = tf.case(
            [
                (
                    choice < share_mosaic,
                    lambda: mosaic(images, masks, boxes, _child(seed, 2), image_size),
                ),
                (
                    choice < share_mosaic + share_paste,
                    lambda: paste(images, masks, cropped(), _child(seed, 3), background),
                ),
            ],
            default=cropped,
        )
    else:
        new_images, new_masks = cropped()
    if augmentation.elastic:
        new_masks = elastic(new_masks, _child(seed, 4), augmentation.elastic)
    if augmentation.occlusion and background is not None:
        new_images, new_masks = occlude(
            new_images, new_masks, _child(seed, 5), augmentation.occlusion, background
        )
    new_images = jitter_colour(new_images, *draws[5:], augmentation=augmentation)
    if augmentation.blur or augmentation.noise:
        new_images = _degraded(new_images, _child(seed, 6), augmentation)
    new_images = tf.ensure_shape(new_images, (None, *image_size, 3))
    return new_images, tf.ensure_shape(new_masks, (None, *image_size, 1))


def random_boxes(
    area: tf.Tensor, aspect_ratio: tf.Tensor, top: tf.Tensor, left: tf.Tensor, flip: tf.Tensor
) -> tf.Tensor:
    """Computes crop boxes from uniform random numbers.

    Args:
        area: `(N,)` in [0, 1): the crop's share of the image area, mapped to `CROP_AREA`.
        aspect_ratio: `(N,)` in [0, 1): the crop's width over its height, in units of the image's
            sides, mapped to `CROP_ASPECT_RATIO` on a logarithmic scale.
        top: `(N,)` in [0, 1): vertical position, 0 at the top edge of the image.
        left: `(N,)` in [0, 1): horizontal position, 0 at the left edge of the image.
        flip: `(N,)` in [0, 1): below 0.5 the crop is flipped.

    Returns:
        float32 `(N, 4)` of (y1, x1, y2, x2), as fractions of the image. x1 > x2 flips the crop.
    """
    area = _between(area, *CROP_AREA)
    aspect_ratio = tf.exp(_between(aspect_ratio, *map(math.log, CROP_ASPECT_RATIO)))
    height = tf.minimum(tf.sqrt(area / aspect_ratio), 1.0)
    width = tf.minimum(tf.sqrt(area * aspect_ratio), 1.0)
    y1, x1 = top * (1.0 - height), left * (1.0 - width)
    y2, x2 = y1 + height, x1 + width
    flip = flip < FLIP
    x1, x2 = tf.where(flip, x2, x1), tf.where(flip, x1, x2)
    # A rounding error beyond the edge would be padded with a row of zeros: class 0 in a mask.
    return tf.clip_by_value(tf.stack([y1, x1, y2, x2], axis=1), 1e-5, 1.0 - 1e-5)


def jitter_colour(
    images: tf.Tensor,
    brightness: tf.Tensor,
    contrast: tf.Tensor,
    saturation: tf.Tensor,
    *,
    augmentation: Augmentation = LIGHT,
) -> tf.Tensor:
    """Changes the saturation, the contrast around mid-grey and the brightness of images.

    All three together are one affine map of RGB, computed from uniform random numbers.

    Args:
        images: float32 `(N, H, W, 3)` in [0, 255].
        brightness: `(N,)` in [0, 1): an offset.
        contrast: `(N,)` in [0, 1): a factor.
        saturation: `(N,)` in [0, 1): a factor.
        augmentation: The ranges that the numbers are mapped to.

    Returns:
        float32 `(N, H, W, 3)`, clipped to [0, 255].
    """
    brightness = 255.0 * _between(brightness, -augmentation.brightness, augmentation.brightness)
    contrast = _between(contrast, *augmentation.contrast)
    saturation = _between(saturation, *augmentation.saturation)[:, None, None]
    to_grey = tf.tile(tf.constant(LUMA)[:, None], (1, 3))  # (3, 3)
    matrix = saturation * tf.eye(3) + (1.0 - saturation) * to_grey  # (N, 3, 3)
    matrix *= contrast[:, None, None]
    offset = 127.5 * (1.0 - contrast) + brightness
    shape = tf.shape(images)
    pixels = tf.reshape(images, (shape[0], -1, 3))
    pixels = tf.clip_by_value(pixels @ matrix + offset[:, None, None], 0.0, 255.0)
    return tf.ensure_shape(tf.reshape(pixels, shape), images.shape)


def occlude(
    images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor, probability: float, background: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Covers a part of some images by a box of one colour.

    Args:
        images: float32 `(N, H, W, 3)` in [0, 255].
        masks: int32 classes `(N, H, W, 1)`.
        seed: Two integers.
        probability: Share of the images that get a box, of `BOX_AREA` of the image.
        background: Label of the box.

    Returns:
        The images and the masks.
    """
    count, height, width = tf.unstack(tf.shape(images)[:3])
    draws = tf.unstack(tf.random.stateless_uniform((8, count, 1, 1, 1), seed), num=8)
    area = _between(draws[0], *BOX_AREA)
    ratio = tf.exp(_between(draws[1], math.log(0.4), math.log(2.5)))
    rows = tf.reshape((tf.range(height, dtype=tf.float32) + 0.5) / float(height), (1, -1, 1, 1))
    columns = tf.reshape((tf.range(width, dtype=tf.float32) + 0.5) / float(width), (1, 1, -1, 1))
    inside = (tf.abs(rows - draws[2]) < tf.sqrt(area / ratio) / 2) & (
        tf.abs(columns - draws[3]) < tf.sqrt(area * ratio) / 2
    )
    inside &= draws[4] < probability
    colour = 255.0 * tf.concat(draws[5:], axis=-1)
    return tf.where(inside, colour, images), tf.where(inside, background, masks)


def elastic(masks: tf.Tensor, seed: tf.Tensor, pixels: float) -> tf.Tensor:
    """Displaces labels by a smooth random field: the noise of a human outline.

    Args:
        masks: int32 classes `(N, H, W, 1)`.
        seed: Two integers.
        pixels: Largest displacement along each axis.

    Returns:
        int32 `(N, H, W, 1)`.

    Reference: NSegment+, 2025, arXiv:2508.10383.
    """
    count, height, width = tf.unstack(tf.shape(masks)[:3])
    field = tf.random.stateless_uniform(
        (count, ELASTIC_CELLS, ELASTIC_CELLS, 2), seed, -pixels, pixels
    )
    field = tf.cast(tf.round(tf.image.resize(field, (height, width))), tf.int32)
    rows = tf.clip_by_value(tf.range(height)[None, :, None] + field[..., 0], 0, height - 1)
    columns = tf.clip_by_value(tf.range(width)[None, None, :] + field[..., 1], 0, width - 1)
    flat = tf.reshape(masks, (count, -1))
    moved = tf.gather(flat, tf.reshape(rows * width + columns, (count, -1)), batch_dims=1)
    return tf.reshape(moved, tf.shape(masks))


def _degraded(images: tf.Tensor, seed: tf.Tensor, augmentation: Augmentation) -> tf.Tensor:
    choice = tf.unstack(tf.random.stateless_uniform((3,), _child(seed, 0)), num=3)
    images = tf.cond(
        choice[0] < augmentation.blur,
        lambda: tf.nn.avg_pool2d(images, 3, 1, "SAME"),  # the border is averaged over what is there
        lambda: images,
    )
    return tf.cond(
        choice[1] < augmentation.noise,
        lambda: tf.clip_by_value(
            images
            + tf.random.stateless_normal(tf.shape(images), _child(seed, 1), 0.0, 15.0 * choice[2]),
            0.0,
            255.0,
        ),
        lambda: images,
    )


def _child(seed: tf.Tensor, number: int) -> tf.Tensor:
    """Another seed, which depends on `seed` and on `number` alone."""
    return tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int64), number)


def _between(uniform: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + uniform * (high - low)
