"""Images as RGB arrays, read and checked the same way wherever `petseg` takes one."""

import glob
import os
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

IMAGE_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}

# Large images are copied in strips of rows of about this number of pixels.
STRIP_PIXELS = 2**22


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image file as uint8 RGB `(H, W, 3)`, turned upright by its EXIF orientation.

    Grey, palette and CMYK become RGB, transparency is laid over white, 16 bits are scaled to 8,
    and an animation gives its first frame.

    Raises `FileNotFoundError` when there is no file, and `ValueError` naming the file when it is
    truncated, not an image, or so large that it could exhaust the memory.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            with Image.open(file) as image:
                ImageOps.exif_transpose(image, in_place=True)  # the copy would double the memory
                return _pixels(_to_rgb(image))
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
            raise ValueError(
                f"{path} has too many pixels to open safely: {error} "
                "Make the image smaller, or raise `PIL.Image.MAX_IMAGE_PIXELS` if you trust it."
            ) from error
        except UnidentifiedImageError as error:
            raise ValueError(
                f"{path} is not an image of a format that Pillow knows. "
                "Replace the file or remove it."
            ) from error
        except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
            raise ValueError(
                f"{path} cannot be read as an image: {error} Replace the file or remove it."
            ) from error


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range; save it with 8 bits.")
    if image.mode.startswith("I"):
        image = _to_8_bits(image)
    if image.has_transparency_data:
        canvas = Image.new("RGBA", image.size, "white")
        canvas.alpha_composite(image.convert("RGBA"))
        image = canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def _pixels(image: Image.Image) -> np.ndarray:
    """Copies an RGB image in strips of rows: Pillow's own way needs three times the memory."""
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    step = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        pixels[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels


def _to_8_bits(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("its integer pixels need more than 16 bits; save it with 8 bits.")
    return Image.fromarray(np.rint(pixels / 257).astype(np.uint8))  # 65535 / 257 = 255.


def find_images(folder_or_pattern: str | os.PathLike[str]) -> list[Path]:
    """The image files in a folder and its subfolders, or those a pattern matches, sorted.

    Hidden files, whose names begin with a dot, are left out.

    Raises `FileNotFoundError` when there are none.
    """
    folder = Path(folder_or_pattern)
    if folder.is_dir():
        found = list(folder.rglob("*"))
    else:
        found = [Path(match) for match in glob.glob(str(folder), recursive=True)]  # noqa: PTH207
    paths = sorted(
        path
        for path in found
        if path.suffix.lower() in IMAGE_SUFFIXES
        and not path.name.startswith(".")
        and path.is_file()
    )
    if not paths:
        raise FileNotFoundError(
            f"No image files in {folder}. Looked for {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return paths


def checked_pixels(images: Any, name: str, ranks: tuple[int, ...]) -> np.ndarray:
    """`images`, the argument called `name`, as RGB arrays: uint8, or float32 in [0, 255].

    Raises `ValueError` when their rank is none of `ranks`, or their values are out of the range.
    """
    pixels = np.asarray(images)
    shapes = " or ".join({3: "(H, W, 3)", 4: "(N, H, W, 3)"}[rank] for rank in ranks)
    if pixels.ndim not in ranks or pixels.shape[-1] != 3 or 0 in pixels.shape[-3:]:
        raise ValueError(f"`{name}` must be RGB {shapes}. Received: shape {pixels.shape}.")
    if pixels.dtype == np.uint8 or pixels.size == 0:
        return pixels.astype(np.uint8, copy=False)
    if pixels.dtype.kind not in "uif":
        raise ValueError(f"`{name}` must hold numbers. Received: dtype {pixels.dtype}.")
    low, high = pixels.min(), pixels.max()
    # Resizing overshoots by a rounding error. The comparison is false for NaN, too.
    if not -0.5 <= low <= high <= 255.5:
        raise ValueError(f"`{name}` must lie in [0, 255]. Received: {low} to {high}.")
    if high <= 1 and pixels.dtype.kind == "f" and (pixels % 1).any():
        raise ValueError(
            f"`{name}` must lie in [0, 255]. Received: {low} to {high}. Multiply it by 255."
        )
    return np.clip(pixels, 0, 255, dtype=np.float32)
