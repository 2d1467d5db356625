"""Masks from a Keras model, or from an exported one."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import keras
import numpy as np

from petseg_runtime import Runtime
from petseg_runtime.prediction import Predictor


@overload
def predict(
    model: keras.Model | Runtime,
    images: np.ndarray,
    *,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
) -> np.ndarray: ...


@overload
def predict(
    model: keras.Model | Runtime,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Iterable[Any],
    *,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
) -> Any: ...


def predict(
    model: keras.Model | Runtime,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | np.ndarray | Iterable[Any],
    *,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
) -> np.ndarray | Iterator[tuple[Path, np.ndarray]] | Iterator[np.ndarray]:
    """Labels each pixel of one or many images with its class, at the images' own size.

    `images` and what comes back, all masks uint8:

    - one image, as a path or an array `(H, W, 3)` in [0, 255]: its mask `(H, W)`;
    - a batch `(N, H, W, 3)`: masks `(N, H, W)`;
    - a `tf.data.Dataset`, or any iterable of batches, of images or of `(images, ...)`: an iterator
      over the masks of each batch;
    - many files, as a list of paths, a folder (with its subfolders, sorted) or a pattern such as
      `"photos/*.jpg"`: an iterator over `(path, mask)`. Files are opened a few ahead, the network
      runs on those that look alike at once; one that cannot be read is skipped with a warning.

    `image_size` is the `(H, W)` that the network sees. The default is the model's own input size;
    for a model of any size, the photo scaled to a shorter side of 224, the longer one in
    proportion, to the nearest multiple of 32. The logits, not the mask, are resized back.

    `tta` averages the logits of the photo and of its mirror image, in twice the time. `tile` shows
    the network the photo at its own size (or at `image_size`) in squares of so many pixels, which
    overlap by half and count less towards their rim.

    Raises `FileNotFoundError` when there is no such file, and `ValueError` when one image cannot be
    read, an array is not of RGB images in [0, 255], or a size does not fit the model.
    """
    return predictor(model, image_size, tta, tile)(images)


def predictor(
    model: keras.Model | Runtime,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
) -> Predictor:
    """What `predict` calls."""
    if isinstance(model, Runtime):
        return Predictor(model, model.input_size, image_size, tta, tile)
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model or a petseg.Runtime. Received: {model!r}.")
    # Not `model.predict`, whose set-up costs four times as much as one photo's network.
    return Predictor(model.predict_on_batch, model.input_shape[1:3], image_size, tta, tile)
