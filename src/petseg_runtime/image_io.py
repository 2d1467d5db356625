"""Reads image files and checks image arrays, the same way for every function that takes images."""

import glob
import os
import stat
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Suffixes, in lower case, of the files in a folder that count as images.
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def is_image_name(path: Path) -> bool:
    """Returns whether a file counts as an image, by its name alone.

    Args:
        path: The file. It need not exist.

    Returns:
        True if the suffix, in upper or lower case, is one of `IMAGE_SUFFIXES` and the file is not
        hidden (a name that begins with a dot).
    """
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


# Images of more pixels are handled by one thread at a time, which bounds the memory.
LARGE_PIXELS = 2**24
_large_image = threading.RLock()

# Large images are copied in strips of rows of about this number of pixels.
STRIP_PIXELS = 2**22


def open_regular(path: Path) -> BinaryIO:
    """Opens a file, but no pipe, socket or device: these can block for ever or never end.

    Args:
        path: The file.

    Returns:
        The opened file.

    Raises:
        OSError: If the file cannot be opened.
        ValueError: If it is a pipe, a socket or a device.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise ValueError(f"{path} is a pipe, a socket or a device. Replace it or remove it.")
    return path.open("rb")


def read_image(path: str | os.PathLike[str]) -> np.ndarray:
    """Reads an image file as RGB, rotated upright by its EXIF orientation.

    Greyscale, palette and CMYK images are converted to RGB, transparent pixels are blended with
    white, 16 bits are scaled to 8, and an animation gives its first frame.

    Args:
        path: The file.

    Returns:
        uint8 RGB `(H, W, 3)`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, is not an image, is a pipe or a device, has pixels
            without a known range, or is so large that it could exhaust the memory. The error names
            the file.
    """
    path = Path(path)
    with open_regular(path) as file:
        try:
            with Image.open(file) as image, turn(image.size):
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


@contextmanager
def turn(size: Sequence[int]) -> Iterator[None]:
    """Waits, where an image is large, until no other thread handles a large one.

    Args:
        size: Both sides of the image.

    Yields:
        Nothing.
    """
    if size[0] * size[1] <= LARGE_PIXELS:
        yield
        return
    with _large_image:
        yield


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
    """Finds the image files in a folder and its subfolders, or those that match a pattern.

    Files count as images by their suffix, see `IMAGE_SUFFIXES`. Hidden files, whose names begin
    with a dot, are left out.

    Args:
        folder_or_pattern: A folder, or a glob pattern such as "photos/*.jpg". `**` matches any
            number of folders.

    Returns:
        The paths, sorted.

    Raises:
        FileNotFoundError: If there are none.
    """
    folder = Path(folder_or_pattern)
    if folder.is_dir():
        found = list(folder.rglob("*"))
    else:
        found = [Path(match) for match in glob.glob(str(folder), recursive=True)]  # noqa: PTH207
    paths = sorted(path for path in found if is_image_name(path) and path.is_file())
    if not paths:
        raise FileNotFoundError(
            f"No image files in {folder}. Looked for {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return paths


def checked_pixels(images: Any, name: str, ranks: tuple[int, ...]) -> np.ndarray:
    """Checks an array of RGB images.

    Values up to half a grey level outside [0, 255], the rounding error of a resize, are clipped.

    Args:
        images: What was received: pixels in [0, 255].
        name: The argument's name, for the error.
        ranks: Allowed numbers of dimensions: 3 for `(H, W, 3)`, 4 for `(N, H, W, 3)`.

    Returns:
        The images as uint8 where they were uint8, else as float32 in [0, 255].

    Raises:
        ValueError: If the shape is not one of these, or the values do not lie in [0, 255].
            Fractions that all lie in [0, 1] are refused: most likely they were divided by 255.
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
