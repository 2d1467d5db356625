"""The random transformations of a batch of images and masks, one by one."""

import math

import tensorflow as tf

from petseg.data.augmentation import LIGHT, Augmentation

CROP_AREA = (0.5, 1.0)
CROP_ASPECT_RATIO = (3 / 4, 4 / 3)
FLIP = 0.5

# Rec. 601 luma, the weights of `tf.image.rgb_to_grayscale`.
LUMA = (0.299, 0.587, 0.114)

BOX_AREA = (0.02, 0.15)  # of an occluding box, as a share of the image
BOX_ASPECT_RATIO = (0.4, 2.5)
ELASTIC_CELLS = 10  # of the displacement field, along each side
BLUR_SIZE = 3  # pixels
NOISE = 15.0  # greatest standard deviation


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

    All three together are one affine map of RGB, computed from uniform random numbers. Other
    numbers of channels have no saturation: the same contrast and brightness change them all.

    Args:
        images: float32 `(N, H, W, C)` in [0, 255].
        brightness: `(N,)` in [0, 1): an offset.
        contrast: `(N,)` in [0, 1): a factor.
        saturation: `(N,)` in [0, 1): a factor.
        augmentation: The ranges that the numbers are mapped to.

    Returns:
        float32 `(N, H, W, C)`, clipped to [0, 255].
    """
    brightness = 255.0 * _between(brightness, -augmentation.brightness, augmentation.brightness)
    contrast = _between(contrast, *augmentation.contrast)
    offset = 127.5 * (1.0 - contrast) + brightness
    if images.shape[-1] != 3:
        changed = contrast[:, None, None, None] * images + offset[:, None, None, None]
        return tf.clip_by_value(changed, 0.0, 255.0)
    saturation = _between(saturation, *augmentation.saturation)[:, None, None]
    to_grey = tf.tile(tf.constant(LUMA)[:, None], (1, 3))  # (3, 3)
    matrix = saturation * tf.eye(3) + (1.0 - saturation) * to_grey  # (N, 3, 3)
    matrix *= contrast[:, None, None]
    shape = tf.shape(images)
    pixels = tf.reshape(images, (shape[0], -1, 3))
    pixels = tf.clip_by_value(pixels @ matrix + offset[:, None, None], 0.0, 255.0)
    return tf.ensure_shape(tf.reshape(pixels, shape), images.shape)


def shift_hue(images: tf.Tensor, seed: tf.Tensor, largest: float) -> tf.Tensor:
    """Turns the circle of colours of each image.

    Args:
        images: float32 `(N, H, W, C)` in [0, 255]. Images that are not RGB are returned as they
            are.
        seed: Two integers.
        largest: Largest shift, as a share of the circle.

    Returns:
        float32 `(N, H, W, C)` in [0, 255].
    """
    if images.shape[-1] != 3:
        return images
    shape = (tf.shape(images)[0], 1, 1)
    shifts = tf.random.stateless_uniform(shape, seed, -largest, largest)
    hue, saturation, value = tf.unstack(tf.image.rgb_to_hsv(images / 255.0), axis=-1)
    hue = tf.math.floormod(hue + shifts, 1.0)
    return 255.0 * tf.image.hsv_to_rgb(tf.stack([hue, saturation, value], axis=-1))


def rotate(
    images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor, degrees: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Rotates images and masks around their centres, and reflects them at their edges.

    Args:
        images: uint8 or float32 `(N, H, W, C)` in [0, 255], resampled bilinearly.
        masks: Integer classes `(N, H, W, 1)`, resampled by nearest neighbour.
        seed: Two integers.
        degrees: Largest angle, in both directions.

    Returns:
        The images as float32 and the masks as int32.
    """
    count, height, width = tf.unstack(tf.shape(images)[:3])
    largest = math.radians(degrees)
    angles = tf.random.stateless_uniform((count,), seed, -largest, largest)
    cos, sin, zero = tf.cos(angles), tf.sin(angles), tf.zeros_like(angles)
    x, y = tf.cast(width - 1, tf.float32) / 2.0, tf.cast(height - 1, tf.float32) / 2.0
    # For each pixel of the result, its place in the image: the centre (x, y) stays.
    rows = [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y, zero, zero]

    def rotated(values: tf.Tensor, interpolation: str) -> tf.Tensor:
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=values,
            transforms=tf.stack(rows, axis=1),
            output_shape=(height, width),
            fill_value=0.0,
            interpolation=interpolation,
            fill_mode="REFLECT",
        )

    images = tf.ensure_shape(rotated(tf.cast(images, tf.float32), "BILINEAR"), images.shape)
    masks = tf.ensure_shape(rotated(tf.cast(masks, tf.int32), "NEAREST"), masks.shape)
    return images, masks


def occlude(
    images: tf.Tensor, masks: tf.Tensor, seed: tf.Tensor, probability: float, background: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Covers a part of some images by a box of one colour.

    Args:
        images: float32 `(N, H, W, C)` in [0, 255].
        masks: int32 classes `(N, H, W, 1)`.
        seed: Two integers.
        probability: Share of the images that get a box, of `BOX_AREA` of the image.
        background: Label of the box.

    Returns:
        The images and the masks.
    """
    count, height, width = tf.unstack(tf.shape(images)[:3])
    channels = images.shape[-1]
    draws = tf.unstack(
        tf.random.stateless_uniform((5 + channels, count, 1, 1, 1), seed), num=5 + channels
    )
    area = _between(draws[0], *BOX_AREA)
    ratio = tf.exp(_between(draws[1], *map(math.log, BOX_ASPECT_RATIO)))
    rows = tf.reshape(_centres(height), (1, -1, 1, 1))
    columns = tf.reshape(_centres(width), (1, 1, -1, 1))
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


def degrade(images: tf.Tensor, seed: tf.Tensor, *, blur: float, noise: float) -> tf.Tensor:
    """Blurs a batch, or adds noise to it, or both.

    Args:
        images: float32 `(N, H, W, C)` in [0, 255].
        seed: Two integers.
        blur: Probability that the batch is blurred.
        noise: Probability that the batch gets noise. Its strength is drawn for the batch.

    Returns:
        The images.
    """
    draws = tf.unstack(tf.random.stateless_uniform((3,), child_seed(seed, 0)), num=3)

    def blurred() -> tf.Tensor:
        # At the border, the average is over the pixels that are there.
        return tf.nn.avg_pool2d(images, BLUR_SIZE, 1, "SAME")

    images = tf.cond(draws[0] < blur, blurred, lambda: images)

    def noisy() -> tf.Tensor:
        deviation = NOISE * draws[2]
        values = tf.random.stateless_normal(tf.shape(images), child_seed(seed, 1), stddev=deviation)
        return tf.clip_by_value(images + values, 0.0, 255.0)

    return tf.cond(draws[1] < noise, noisy, lambda: images)


def child_seed(seed: tf.Tensor, number: int | tf.Tensor) -> tf.Tensor:
    """Derives another seed.

    Args:
        seed: Two integers.
        number: Which of the derived seeds.

    Returns:
        Two integers that depend on `seed` and on `number` alone.
    """
    return tf.random.experimental.stateless_fold_in(tf.cast(seed, tf.int64), number)


def _centres(size: tf.Tensor) -> tf.Tensor:
    """The centres of pixels along a side, as shares of it."""
    size = tf.cast(size, tf.float32)
    return (tf.range(size) + 0.5) / size


def _between(uniform: tf.Tensor, low: float, high: float) -> tf.Tensor:
    return low + uniform * (high - low)
