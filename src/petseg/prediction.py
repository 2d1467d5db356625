"""Masks for photos of any size, and photos with their masks laid over them."""

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, overload

import keras
import numpy as np
from PIL import Image

from petseg.boundaries import boundary_pixels
from petseg.images import checked_pixels, find_images, read_image

# One colour a class, after Okabe and Ito: people with any colour blindness can tell them apart.
# Further classes start again from the first.
COLOURS = (
    (240, 130, 30),  # orange: pet
    (96, 108, 128),  # slate: background
    (86, 190, 240),  # sky blue: border
    (0, 158, 115),  # green
    (204, 121, 167),  # pink
    (240, 228, 66),  # yellow
    (0, 114, 178),  # blue
    (213, 60, 40),  # vermilion
)

# What a network of any input size is given: photos of this shorter side, in steps that keep the
# number of different shapes small, since each new one costs a compilation on some backends.
SHORTER_SIDE = 224
SIZE_STEP = 32
LONGEST_SIDE = 8 * SHORTER_SIDE  # Of a photo much longer than wide, so that it fits in memory.

BATCH_SIZE = 32


@overload
def predict(
    model: keras.Model, images: np.ndarray, *, image_size: tuple[int, int] | None = None
) -> np.ndarray: ...


@overload
def predict(
    model: keras.Model,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    *,
    image_size: tuple[int, int] | None = None,
) -> Any: ...


def predict(
    model: keras.Model,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | np.ndarray,
    *,
    image_size: tuple[int, int] | None = None,
) -> np.ndarray | Iterator[tuple[Path, np.ndarray]]:
    """Labels each pixel of one or many images with its class, at the images' own size.

    `images` and what comes back, all masks uint8:

    - one image, as a path or an array `(H, W, 3)` in [0, 255]: its mask `(H, W)`;
    - a batch `(N, H, W, 3)`: masks `(N, H, W)`;
    - many files, as a list of paths, a folder (with its subfolders, sorted) or a pattern such as
      `"photos/*.jpg"`: an iterator over `(path, mask)`. Each file is opened as its turn comes; one
      that cannot be read is skipped with a warning.

    `image_size` is the `(H, W)` that the network sees. The default is the model's own input size;
    for a model of any size, the photo scaled to a shorter side of 224, the longer one in
    proportion, to the nearest multiple of 32. The logits, not the mask, are resized back.

    Raises `FileNotFoundError` when there is no such file, and `ValueError` when one image cannot be
    read or an array is not of RGB images in [0, 255].
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {model!r}.")
    _check_image_size(model, image_size)
    if isinstance(images, list | tuple):
        if not all(isinstance(path, str | os.PathLike) for path in images):
            raise TypeError(
                "A list in `images` must hold paths. Received: other items. "
                "Arrays of one size go in as one batch: `numpy.stack(images)`."
            )
        return _predict_files(model, images, image_size)
    if not isinstance(images, str | os.PathLike):
        pixels = checked_pixels(images, "images", ranks=(3, 4))
        masks = _predict_batch(model, pixels.reshape(-1, *pixels.shape[-3:]), image_size)
        return masks.reshape(pixels.shape[:-1])
    path = Path(images)
    is_pattern = any(character in str(path) for character in "*?[") and not path.exists()
    if path.is_dir() or is_pattern:
        return _predict_files(model, find_images(path), image_size)
    return _predict_batch(model, read_image(path)[np.newaxis], image_size)[0]


def overlay(
    image: np.ndarray, mask: np.ndarray, *, opacity: float = 0.5, transparent: int | None = 1
) -> np.ndarray:
    """Lays the class colours of a mask over its image, each region with a thin outline.

    Takes RGB `(H, W, 3)` in [0, 255] and integer classes `(H, W)` or `(H, W, 1)`; returns uint8 RGB
    `(H, W, 3)`. `opacity` runs from 0, outlines alone, to 1. The class `transparent` shows the bare
    image: by default 1, the background of the pet classes; `None` colours every class.

    Raises `ValueError` when the mask does not fit the image, or `opacity` is not in [0, 1].
    """
    photo = checked_pixels(image, "image", ranks=(3,)).astype(np.float32)
    classes = np.asarray(mask)
    if classes.shape == (*photo.shape[:2], 1):
        classes = classes[..., 0]
    if classes.shape != photo.shape[:2] or classes.dtype.kind not in "ui":
        raise ValueError(
            f"`mask` must hold integer classes of shape {photo.shape[:2]}, that of `image`. "
            f"Received: {classes.dtype} of shape {classes.shape}."
        )
    if not 0 <= opacity <= 1:
        raise ValueError(f"`opacity` must lie in [0, 1]. Received: {opacity}.")
    colours = np.array(COLOURS, np.float32)[classes % len(COLOURS)]
    thickness = max(1, round(min(classes.shape) / 250))
    outline = boundary_pixels(classes[np.newaxis], reach=thickness)[0]
    weight = np.where(outline, 1, opacity).astype(np.float32) * (classes != transparent)
    blend = photo + (colours - photo) * weight[..., np.newaxis]
    return np.rint(blend).astype(np.uint8)


def _predict_files(
    model: keras.Model,
    paths: Iterable[str | os.PathLike[str]],
    image_size: tuple[int, int] | None,
) -> Iterator[tuple[Path, np.ndarray]]:
    for path in map(Path, paths):
        try:
            image = read_image(path)
        except (OSError, ValueError) as error:
            warnings.warn(f"Skipped an image. {error}", stacklevel=2)
            continue
        yield path, _predict_batch(model, image[np.newaxis], image_size)[0]


def _check_image_size(model: keras.Model, image_size: tuple[int, int] | None) -> None:
    if image_size is None:
        return
    own_size = model.input_shape[1:3]
    sizes = tuple(image_size) if isinstance(image_size, list | tuple) else ()
    if len(sizes) != 2 or not all(isinstance(s, int) and s >= 32 for s in sizes):
        raise ValueError(
            f"`image_size` must be (height, width), each 32 or more. Received: {image_size!r}."
        )
    if any(own not in (None, given) for own, given in zip(own_size, sizes, strict=True)):
        raise ValueError(
            f"`image_size` must be that of `model`, which takes {own_size} alone. "
            f"Received: {image_size}."
        )


def _predict_batch(
    model: keras.Model, images: np.ndarray, image_size: tuple[int, int] | None
) -> np.ndarray:
    """Masks `(N, H, W)` of checked images `(N, H, W, 3)`."""
    own_size = images.shape[1:3]
    seen_size = [
        fixed or wanted
        for fixed, wanted in zip(
            model.input_shape[1:3], image_size or _scaled(own_size), strict=True
        )
    ]
    masks = np.empty(images.shape[:3], np.uint8)
    for start in range(0, len(images), BATCH_SIZE):
        batch = [_resize(image, seen_size) for image in images[start : start + BATCH_SIZE]]
        # Not `model.predict`, whose set-up costs four times as much as one photo's network.
        logits = model.predict_on_batch(np.stack(batch).astype(np.float32))
        for index, image_logits in enumerate(np.asarray(logits), start):
            masks[index] = _resized_argmax(image_logits, own_size)
    return masks


def _scaled(size: Sequence[int]) -> list[int]:
    scale = SHORTER_SIDE / min(size)
    return [min(round(side * scale / SIZE_STEP) * SIZE_STEP, LONGEST_SIDE) for side in size]


def _resize(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Bilinear and, when it shrinks, antialiased, like the images a network is trained on."""
    if image.shape[:2] == tuple(size):
        return image
    if image.ndim == 3 and image.dtype != np.uint8:  # Pillow has no colour of other types.
        return np.stack([_resize(plane, size) for plane in np.moveaxis(image, -1, 0)], axis=-1)
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def _resized_argmax(logits: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The class of the greatest logit once these are resized.

    Class by class: all logits of a large photo at once would fill the memory.
    """
    mask = np.zeros(size, np.uint8)
    greatest = np.full(size, -np.inf, np.float32)
    for index in range(logits.shape[-1]):
        plane = _resize(logits[..., index], size)
        np.copyto(mask, index, where=plane > greatest)
        np.maximum(greatest, plane, out=greatest)
    return mask
