"""Images and logits of other sizes, and what logits say about each pixel: class, probabilities."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

# Bounds the memory for one large image: pixels of a mask that are computed at once.
STRIP_PIXELS = 2**22

SMALLEST_PROBABILITY = np.float32(1e-30)  # its logarithm is finite


def resize(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resizes an image or logits as training images are: bilinear, antialiased when it shrinks.

    Args:
        image: `(H, W)` or `(H, W, C)`.
        size: (height, width) to resize to.

    Returns:
        The resized array, of the same type.
    """
    if image.shape[:2] == tuple(size):
        return image
    if image.ndim == 3 and (image.dtype != np.uint8 or image.shape[-1] != 3):
        # Pillow has no colour of other types, and takes the fourth channel for transparency.
        return np.stack([resize(plane, size) for plane in np.moveaxis(image, -1, 0)], axis=-1)
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def to_mask(
    output: np.ndarray, size: Sequence[int], dtype: type[np.unsignedinteger[Any]] = np.uint8
) -> np.ndarray:
    """Turns the model's output for one image into a mask.

    Logits are resized before the classes are compared, class by class and in strips of columns: all
    logits of a large photo at once would fill the memory.

    Args:
        output: Logits `(h, w, num_classes)`, or classes `(h, w)`, which are resized by nearest
            neighbour.
        size: (height, width) of the mask.
        dtype: Type of the mask.

    Returns:
        The mask.
    """
    height, width = int(size[0]), int(size[1])
    if output.ndim == 2:
        rows = _nearest(output.shape[0], height)
        return output.astype(dtype)[rows][:, _nearest(output.shape[1], width)]
    mask = np.empty((height, width), dtype)
    step = max(1, STRIP_PIXELS // height)
    for left in range(0, width, step):
        columns = slice(left, min(left + step, width))
        mask[:, columns] = _classes_in(output, columns, (height, width), dtype)
    return mask


def _classes_in(
    output: np.ndarray, columns: slice, size: tuple[int, int], dtype: type[np.unsignedinteger[Any]]
) -> np.ndarray:
    """Computes some columns of the mask that `to_mask` makes of logits."""
    shape = size[0], columns.stop - columns.start
    classes = np.zeros(shape, dtype)
    greatest = np.full(shape, -np.inf, np.float32)
    for index in range(output.shape[-1]):
        # Pillow resizes the rows first, then each column by itself: columns that are resized apart
        # are the same, to the bit.
        wide = resize(output[..., index], (output.shape[0], size[1]))
        plane = resize(wide[:, columns], shape)
        np.copyto(classes, index, where=plane > greatest)
        np.maximum(greatest, plane, out=greatest)
    return classes


def _nearest(length: int, new_length: int) -> np.ndarray:
    """Returns the positions that Pillow takes when it resizes `length` values by nearest."""
    positions = Image.fromarray(np.arange(length, dtype=np.int32)[np.newaxis])
    return np.asarray(positions.resize((new_length, 1), Image.Resampling.NEAREST))[0]


def to_probabilities(logits: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Turns the logits of one image into the probabilities of its pixels.

    Logits are resized before the softmax, as `to_mask` resizes them: the most probable class is
    that of the mask.

    Args:
        logits: `(h, w, num_classes)`.
        size: (height, width) of the result.

    Returns:
        float32 `(height, width, num_classes)`.
    """
    height, width = int(size[0]), int(size[1])
    found = np.empty((height, width, logits.shape[-1]), np.float32)
    for index in range(logits.shape[-1]):
        found[..., index] = resize(logits[..., index], (height, width))
    step = max(1, STRIP_PIXELS // width)
    for top in range(0, height, step):
        rows = slice(top, top + step)
        found[rows] = softmax(found[rows])
    return found


def softmax(logits: np.ndarray) -> np.ndarray:
    """Turns logits into probabilities.

    Args:
        logits: `(..., num_classes)`.

    Returns:
        float32 of the same shape, with a sum of 1 over the last axis.
    """
    powers = np.asarray(logits - logits.max(axis=-1, keepdims=True), np.float32)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=-1, keepdims=True)
    return powers


def mean_of_probabilities(logits: Sequence[np.ndarray]) -> np.ndarray:
    """Averages what a model says about one image at several sizes.

    Args:
        logits: Logits `(h, w, num_classes)`, one array for each size.

    Returns:
        Logits of the largest size whose softmax is the mean of the probabilities.
    """
    size = max((array.shape[:2] for array in logits), key=lambda shape: shape[0] * shape[1])
    found = [to_probabilities(array, size) for array in logits]
    return log(np.mean(found, axis=0))


def log(probabilities: np.ndarray) -> np.ndarray:
    """Turns probabilities into logits whose softmax they are.

    Args:
        probabilities: `(..., num_classes)`, with a sum of 1 over the last axis.

    Returns:
        Their logarithms, finite.
    """
    return np.log(np.maximum(probabilities, SMALLEST_PROBABILITY))
