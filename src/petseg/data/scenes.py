"""Scenes made of the photos of a batch: mosaics, and objects pasted onto other photos."""

import math

import tensorflow as tf

from petseg.data.transforms import child_seed

PASTED_SIZE = (0.2, 0.65)  # of a pasted photo, as a share of the frame's sides
MOST_PASTED = 6
MOSAIC_3X3 = 0.3  # share of mosaics that are 3x3


def mosaic(
    images: tf.Tensor,
    masks: tf.Tensor,
    boxes: tf.Tensor,
    seed: tf.Tensor,
    image_size: tuple[int, int],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Puts 2x2 or 3x3 photos of the batch into each frame.

    Args:
        images: uint8 `(N, H, W, C)` in [0, 255].
        masks: uint8 classes `(N, H, W, 1)`.
        boxes: float32 `(N, 4)`, the crop of each photo, as `tf.image.crop_and_resize` takes it.
        seed: Two integers.
        image_size: (height, width) in pixels of the result.

    Returns:
        `(images, masks)`: float32 `(N, *image_size, 3)` in [0, 255] and int32
        `(N, *image_size, 1)`.
    """

    def grid(side: int) -> tuple[tf.Tensor, tf.Tensor]:
        size = [math.ceil(length / side) for length in image_size]
        smaller = _shrunk(images, 2)
        indices = tf.range(tf.shape(images)[0])
        tiles = tf.image.crop_and_resize(smaller, boxes, indices, size)
        labels = tf.image.crop_and_resize(masks, boxes, indices, size, method="nearest")
        return tuple(_tiled(x, side, image_size) for x in (tiles, tf.cast(labels, tf.int32)))

    large = tf.random.stateless_uniform((), seed) < MOSAIC_3X3
    return tf.cond(large, lambda: grid(3), lambda: grid(2))


def paste(
    images: tf.Tensor,
    masks: tf.Tensor,
    frames: tuple[tf.Tensor, tf.Tensor],
    seed: tf.Tensor,
    background: int,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Pastes objects of other photos of the batch, smaller, anywhere in the frame.

    The same number of objects, one to six, for all frames of the batch. What is pasted is all of a
    photo that is not background. An object can hide others and can reach out of the frame.

    Args:
        images: uint8 `(N, H, W, C)` in [0, 255], whose objects are pasted.
        masks: uint8 classes `(N, H, W, 1)`.
        frames: The images (float32) and masks (int32) that are pasted onto.
        seed: Two integers.
        background: The class that is not pasted.

    Returns:
        The frames with the objects.

    Reference: Ghiasi et al., 2021, arXiv:2012.07177.
    """
    count = tf.shape(images)[0]
    size = tf.shape(frames[0])[1:3]
    indices = tf.range(count)
    halves, quarters = _shrunk(images, 2), _shrunk(images, 4)
    # Outside of a photo, the resampled labels are 0.
    labels = tf.cast(masks, tf.int32) + 1
    number = tf.random.stateless_uniform((), seed, 1, MOST_PASTED + 1, tf.int32)

    def layer(
        step: tf.Tensor, onto: tf.Tensor, onto_masks: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        draws = tf.unstack(tf.random.stateless_uniform((4, count), child_seed(seed, step)), num=4)
        low, high = PASTED_SIZE
        # Of more objects, each is smaller, so that some of the background stays.
        high = high - (high - low) * 0.1 * tf.cast(number - 1, tf.float32)
        side = low + draws[0] * (high - low)
        # The centre of the photo lies anywhere in the frame; the box is the frame as seen from the
        # photo.
        top, left = 0.5 - draws[1] / side, 0.5 - draws[2] / side
        bottom, right = top + 1 / side, left + 1 / side
        flip = draws[3] < 0.5
        left, right = tf.where(flip, right, left), tf.where(flip, left, right)
        boxes = tf.stack([top, left, bottom, right], axis=1)
        moved = (indices + step) % tf.maximum(count, 1)
        # Resampling averages four pixels. Photos that are reduced more must be reduced before.
        pasted = tf.cond(
            tf.reduce_mean(side) < 0.35,
            lambda: tf.image.crop_and_resize(quarters, boxes, moved, size),
            lambda: tf.image.crop_and_resize(halves, boxes, moved, size),
        )
        pasted_masks = tf.image.crop_and_resize(labels, boxes, moved, size, method="nearest")
        pasted_masks = tf.cast(pasted_masks, tf.int32) - 1
        inside = (pasted_masks >= 0) & (pasted_masks != background)
        return (
            step + 1,
            tf.where(inside, pasted, onto),
            tf.where(inside, pasted_masks, onto_masks),
        )

    _, *result = tf.while_loop(
        lambda step, *_: step <= number, layer, (tf.constant(1), *frames), parallel_iterations=1
    )
    return tuple(result)


def _shrunk(images: tf.Tensor, factor: int) -> tf.Tensor:
    return tf.nn.avg_pool2d(tf.cast(images, tf.float32), factor, factor, "SAME")


def _tiled(tiles: tf.Tensor, side: int, image_size: tuple[int, int]) -> tf.Tensor:
    """Puts each tile and those after it in the batch into a grid."""
    rows = []
    for row in range(side):
        columns = [tf.roll(tiles, -(row * side + column), 0) for column in range(side)]
        rows.append(tf.concat(columns, axis=2))
    return tf.concat(rows, axis=1)[:, : image_size[0], : image_size[1]]
