"""Probabilities averaged over the frames of a video, so that masks flicker less."""

import numpy as np
from PIL import Image, ImageFilter

from petseg_runtime.resizing import resize

# Weight of the frames before, where the picture stays. See docs/results/flicker.json.
KEPT = 0.8

# Standard deviation, in pixels, of the blur that takes the noise out of differences of frames, and
# the difference in grey levels at which the weight has fallen to 1/e.
NOISE_RADIUS = 2.0
CHANGE = 10.0


class Smoothing:
    """An exponential moving average of probabilities, which follows the motion of the camera.

    The frame before is shifted to where it fits the new one best (phase correlation, Kuglin and
    Hines, 1975). Where the picture still differs, because something moved or the scene changed, the
    new frame counts alone.

    Args:
        kept: Weight of the frames before, from 0 to below 1.
    """

    def __init__(self, kept: float = KEPT):
        self._kept = kept
        self._before: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, image: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
        """Adds a frame.

        Args:
            image: The frame as the model saw it, RGB `(H, W, 3)` in [0, 255].
            probabilities: Its probabilities `(H, W, num_classes)`.

        Returns:
            The averaged probabilities, of the same shape.
        """
        grey = np.asarray(image, np.float32).mean(axis=-1)
        mean = probabilities
        if self._before is not None and self._kept:
            old_grey, old_mean = (resize(array, grey.shape) for array in self._before)
            shift = translation(old_grey, grey)
            weight = self._kept * _likeness(_shifted(old_grey, shift, np.inf), grey)
            mean = probabilities + weight[..., np.newaxis] * (
                _shifted(old_mean, shift, 0) - probabilities
            )
        self._before = grey, mean
        return mean


def translation(old: np.ndarray, new: np.ndarray) -> tuple[int, int]:
    """Finds by how much a picture moved, by phase correlation.

    Args:
        old: Grey values `(H, W)`.
        new: Grey values of the same shape.

    Returns:
        Pixels down and to the right.
    """
    # Without a window, the edges of the picture would correlate with themselves.
    window = np.outer(np.hanning(old.shape[0]), np.hanning(old.shape[1]))
    first, second = (np.fft.rfft2((picture - picture.mean()) * window) for picture in (old, new))
    product = second * first.conj()
    product /= np.maximum(np.abs(product), 1e-9)
    found = np.fft.irfft2(product, old.shape)
    peak = np.unravel_index(int(np.argmax(found)), found.shape)
    down, right = (
        int(at) - side if at > side // 2 else int(at)
        for at, side in zip(peak, found.shape, strict=True)
    )
    return down, right


def _shifted(array: np.ndarray, shift: tuple[int, int], fill: float) -> np.ndarray:
    """Moves an array down and to the right. What comes in at the edges is `fill`."""
    moved = np.full_like(array, fill)
    target, source = zip(*(_overlap(by) for by in shift), strict=True)
    moved[target] = array[source]
    return moved


def _overlap(by: int) -> tuple[slice, slice]:
    """Where the moved values go, and where they come from."""
    kept, gone = slice(max(by, 0), min(by, 0) or None), slice(max(-by, 0), min(-by, 0) or None)
    return kept, gone


def _likeness(old: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Returns 1 where two pictures are the same, and less the more they differ."""
    difference = np.minimum(np.abs(new - old), 255).astype(np.float32)
    blur = ImageFilter.GaussianBlur(NOISE_RADIUS)
    levels = Image.fromarray(np.rint(difference).astype(np.uint8)).filter(blur)
    return np.exp(-np.square(np.asarray(levels, np.float32) / CHANGE))
