"""Masks from a Keras model, or from an exported one."""

import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any, overload

import keras
import numpy as np

from petseg.model_records import model_info
from petseg.replicas import predict_on_batch
from petseg_runtime import Prediction, Runtime
from petseg_runtime.predictor import AUTO, Predictor


@overload
def predict(  # type: ignore[overload-overlap] # a str is a sequence of str
    model: keras.Model | Runtime,
    images: str | os.PathLike[str] | np.ndarray,
    *,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
    scales: Sequence[float] | str = AUTO,
    output: str = "mask",
) -> np.ndarray: ...


@overload
def predict(
    model: keras.Model | Runtime,
    images: Sequence[str | os.PathLike[str]],
    *,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
    scales: Sequence[float] | str = AUTO,
    output: str = "mask",
) -> Iterator[Prediction]: ...


@overload
def predict(
    model: keras.Model | Runtime,
    images: Iterator[Any],
    *,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
    scales: Sequence[float] | str = AUTO,
    output: str = "mask",
) -> Iterator[np.ndarray]: ...


def predict(
    model: keras.Model | Runtime,
    images: Any,
    *,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
    scales: Sequence[float] | str = AUTO,
    output: str = "mask",
) -> Any:
    """Predicts the class of each pixel of one or many images, at the images' own size.

    The model sees an image squashed to the size that it was trained at. Its logits, not its
    classes, are resized to the image.

    Args:
        model: A Keras model, or a `petseg.Runtime` for an exported one.
        images: One of

            - the path of one image, or an RGB array `(H, W, 3)` in [0, 255], or one of as many
              channels as the model takes: returns its mask;
            - a batch of such arrays, `(N, H, W, 3)`: returns masks `(N, H, W)`;
            - a list of paths, each an image, a folder (all images in it and its subfolders) or a
              pattern such as `"photos/*.jpg"`: returns an iterator over `petseg.Prediction`
              records; a file that cannot be read gives a record with an error;
            - a `tf.data.Dataset` or another iterable of batches, of images or of `(images, ...)`:
              returns an iterator over the masks of each batch.
        image_size: (height, width) at which the model sees an image, each at least 32. By default
            the size in the model's record, `petseg.model_info(model).image_size`; where that is
            unknown, the image is scaled to a shorter side of 224 pixels.
        tta: Whether to average the logits with those of the mirrored image, in twice the time.
        tile: Side in pixels, at least 32, of tiles in which the model sees an image at its own size
            (or at `image_size`). Tiles overlap by half and are weighted down towards their edges.
        scales: Factors of the size at which the model sees an image: it sees it once at each, and
            the probabilities are averaged. `(1, 1.5)` finds smaller objects, in about three times
            the time. "auto" does so for images with little foreground, where the record of the
            model says that this pays (`ModelInfo.closer_look_below`), as that of the pretrained
            models does; it is 1 otherwise.
        output: "mask" for the class of each pixel, or "probabilities" for the probability of each
            class in each pixel, calibrated by `ModelInfo.temperature`. The greatest of a pixel is
            the confidence in its class.

    Returns:
        Masks of classes, as listed above: uint8, or uint16 for more than 256 classes.
        Probabilities have a last axis of classes: float32 `(H, W, num_classes)` for one image.
        Records of files then hold both.

    Raises:
        FileNotFoundError: If there is no such file, or a folder has no image.
        ValueError: If an array is not in [0, 255] or has other channels than the model takes, one
            image cannot be read, a size does not fit the model, or the model returns NaN.
        TypeError: If `model` or `images` is none of these.

    Example:
        >>> model = petseg.unet(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
        >>> for found in petseg.predict(model, ["photos"]):
        ...     print(found.path, found.error or found.mask.shape)
        >>> confidence = petseg.predict(model, "cat.jpg", output="probabilities").max(-1)
    """
    return predictor(model, image_size, tta, tile, scales, output)(images)


def predictor(
    model: keras.Model | Runtime,
    image_size: tuple[int, int] | None = None,
    tta: bool = False,
    tile: int | None = None,
    scales: Sequence[float] | str = AUTO,
    output: str = "mask",
) -> Predictor:
    """Builds the object that `predict` calls.

    Args:
        model: A Keras model or a `petseg.Runtime`.
        image_size: (height, width) at which the model sees an image, each at least 32, or None
            for the size in the model's record.
        tta: Whether to average the logits with those of the mirrored image.
        tile: Side in pixels, at least 32, of tiles in which the model sees an image at its own
            size, or None.
        scales: Factors of the size at which the model sees an image, or "auto".
        output: "mask" or "probabilities".

    Returns:
        A `Predictor`, which can be called many times.

    Raises:
        ValueError: If a size does not fit the model.
        TypeError: If `model` is neither.
    """
    if isinstance(model, Runtime):
        return model.predictor(image_size, tta, tile, scales, output)
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model or a petseg.Runtime. Received: {model!r}.")
    shape = getattr(model, "input_shape", None)  # A subclassed model has none.
    input_size = shape[1:3] if isinstance(shape, tuple) and len(shape) == 4 else (None, None)
    # `model.predict` takes four times as long as the model itself to set up for one photo.
    return Predictor(
        functools.partial(predict_on_batch, model),
        model_info(model),
        input_size,
        image_size,
        tta,
        tile,
        scales,
        output,
    )
