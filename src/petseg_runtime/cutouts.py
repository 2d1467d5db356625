"""What a mask cuts out of its image."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageColor, ImageFilter, ImageOps

from petseg_runtime import validation
from petseg_runtime.alpha import EDGES, border_of, feathered, matted
from petseg_runtime.image_io import checked_pixels, read_image, shown_as_rgb
from petseg_runtime.overlays import checked_background, checked_names, classes_of

BLUR = "blur"
BLUR_RADIUS = 0.02  # a part of the image's longer side


def cutout(
    image: np.ndarray,
    mask: np.ndarray,
    *,
    class_names: Sequence[str] = (),
    background: int | None = None,
    edges: str = "feathered",
    onto: str | os.PathLike[str] | np.ndarray | None = None,
    crop: bool = False,
) -> np.ndarray:
    """Cuts out everything but the background of an image.

    Args:
        image: RGB `(H, W, 3)` in [0, 255]. Of more channels, the first three are shown; of one or
            two, the first one as grey.
        mask: Integer classes `(H, W)` or `(H, W, 1)`.
        class_names: Name of each class. Pixels of a class called "border" count as part of the
            object where the edges are hard, and as partly transparent otherwise.
        background: Index of the class to remove. By default the class called "background".
        edges: "hard" (each pixel is opaque or transparent), "feathered" (the edge of the mask is
            blurred), or "matted" (alpha and the object's own colours are estimated from the image
            near the outline, which keeps hair; slower, and needs `petseg[matting]`).
        onto: What to show behind the object: a colour such as "white" or "#ff8800", "blur" for the
            image's own background, blurred, or another image: its path or an RGB array, which is
            scaled and cropped to fill the size. None leaves the background transparent.
        crop: Whether to crop the result to the object. An image without an object keeps its size.

    Returns:
        uint8 RGBA `(H, W, 4)`, or RGB `(H, W, 3)` if `onto` is given.

    Raises:
        ValueError: If the mask does not fit the image, no class is the background, or an argument
            is none of its choices.
        FileNotFoundError: If `onto` is the path of no file.
        ImportError: If `edges="matted"` and PyMatting is not installed.

    Example:
        >>> info = petseg.model_info(model)
        >>> pet = petseg.cutout(photo, mask, class_names=info.class_names)
        >>> portrait = petseg.cutout(photo, mask, class_names=info.class_names, onto="blur")
    """
    names = checked_names(class_names)
    background = checked_background(background, names)
    if background is None:
        raise ValueError(
            "`background` must be the index of a class, or `class_names` must hold one called "
            f"'background'. Received: class_names={tuple(class_names)!r}."
        )
    validation.choice("edges", edges, EDGES)
    validation.boolean("crop", crop)
    pixels = shown_as_rgb(checked_pixels(image, "image", (3,), channels=None))
    classes = classes_of(mask, pixels)
    photo = _as_bytes(pixels)
    alpha, colours = _alpha_and_colours(photo, classes, background, names, edges)
    if onto is None:
        cut = np.dstack([colours, alpha])
    else:
        cut = _blend(colours, alpha, _behind(onto, photo, alpha))
    return cut[_object_box(alpha)] if crop else cut


def _alpha_and_colours(
    photo: np.ndarray,
    classes: np.ndarray,
    background: int,
    names: tuple[str, ...],
    edges: str,
) -> tuple[np.ndarray, np.ndarray]:
    solid = np.where(classes == background, np.uint8(0), np.uint8(255))
    if edges == "hard":
        return solid, photo
    border = border_of(classes, names)
    return (
        (feathered(solid, border), photo) if edges == "feathered" else matted(photo, solid, border)
    )


def _behind(
    onto: str | os.PathLike[str] | np.ndarray, photo: np.ndarray, alpha: np.ndarray
) -> np.ndarray:
    """Makes the new background, uint8 `(H, W, 3)` or `(3,)` for a colour."""
    if isinstance(onto, str | os.PathLike):
        onto = read_background(onto)
    if isinstance(onto, str):
        colour = _parse_colour(onto)
        return _blurred_background(photo, alpha) if colour is None else np.array(colour, np.uint8)
    return _filling(_as_bytes(checked_pixels(onto, "onto", ranks=(3,))), alpha.shape)


def read_background(onto: str | os.PathLike[str]) -> str | np.ndarray:
    """Reads what `cutout` takes as `onto`, so that a file is read once for many cut-outs.

    Args:
        onto: A colour, "blur", or the path of an image file.

    Returns:
        The text of a colour or of "blur" as it is, or the image, uint8 RGB `(H, W, 3)`.

    Raises:
        FileNotFoundError: If it is none of these.
        ValueError: If the file cannot be read as an image.
    """
    if isinstance(onto, str) and (onto == BLUR or _parse_colour(onto) is not None):
        return onto
    if not Path(onto).is_file():
        raise FileNotFoundError(
            "`onto` must be a colour such as 'white' or '#ff8800', 'blur', or the path of an image "
            f"file. Received: {str(onto)!r}."
        )
    return read_image(onto)


def _parse_colour(text: str) -> tuple[int, int, int] | None:
    """Reads "white" or "#ff8800". Returns None for other text, and for a colour with alpha."""
    try:
        red, green, blue, *alpha = ImageColor.getrgb(text)
    except ValueError:
        return None
    return None if alpha else (red, green, blue)


def _as_bytes(pixels: np.ndarray) -> np.ndarray:
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels).astype(np.uint8)


def _filling(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Scales and crops an image so that it fills a size."""
    fitted = ImageOps.fit(Image.fromarray(image), (size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(fitted)


def _blurred_background(photo: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Blurs an image without its object, whose colours would glow around it otherwise."""
    blur = ImageFilter.GaussianBlur(BLUR_RADIUS * max(alpha.shape))
    share = 255 - alpha
    weight = np.asarray(Image.fromarray(share).filter(blur), np.float32)
    blurred = np.empty_like(photo)
    for channel in range(3):
        plane = photo[..., channel]
        # Where no background is near, the object covers everything.
        visible = (plane * (share / np.float32(255))).astype(np.uint8)
        sums = np.asarray(Image.fromarray(visible).filter(blur), np.float32)
        blurred[..., channel] = np.clip(255 * sums / np.maximum(weight, 1), 0, 255)
    return blurred


def _blend(colours: np.ndarray, alpha: np.ndarray, behind: np.ndarray) -> np.ndarray:
    """Lays an object over a background."""
    if behind.ndim == 1:
        canvas = Image.new("RGB", (alpha.shape[1], alpha.shape[0]), tuple(behind.tolist()))
    else:
        canvas = Image.fromarray(behind)
    canvas = canvas.copy()
    canvas.paste(Image.fromarray(colours), mask=Image.fromarray(alpha))
    return np.asarray(canvas)


def _object_box(alpha: np.ndarray) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
    if not rows.size:
        return slice(None), slice(None)
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)
