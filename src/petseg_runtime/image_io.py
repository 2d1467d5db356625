"""Reads image files and checks image arrays, the same way for every function that takes images."""

import glob
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

# Suffixes, in lower case, of the files in a folder that count as images.
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


ARRAY_SUFFIX = ".npy"
TIFF_SUFFIXES = (".tif", ".tiff")


def is_image_name(path: Path, channels: int = 3) -> bool:
    """Returns whether a file counts as an image, by its name alone.

    Args:
        path: The file. It need not exist.
        channels: Number of channels of the images that are wanted.

    Returns:
        True if the suffix, in upper or lower case, is one of `IMAGE_SUFFIXES`, or `.npy` where
        other images than RGB are wanted, and the file is not hidden (a name that begins with a
        dot).
    """
    suffix = path.suffix.lower()
    is_image = suffix in IMAGE_SUFFIXES or (channels != 3 and suffix == ARRAY_SUFFIX)
    return is_image and not path.name.startswith(".")


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


def read_image(path: str | os.PathLike[str], channels: int = 3) -> np.ndarray:
    """Reads an image file, rotated upright by its EXIF orientation.

    For RGB and grey, greyscale, palette, CMYK and colour images are converted, and transparent
    pixels are blended with white. For other numbers of channels, the file must have as many: a TIFF
    file, a `.npy` file of `(H, W, C)`, or an image whose last channel is the transparency. 16 bits
    are scaled to 8, so that 65535 becomes 255. An animation gives its first frame.

    Args:
        path: The file.
        channels: Number of channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 `(H, W, channels)`.

    Raises:
        ImportError: If a TIFF file needs tifffile, which is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, is not an image, is a pipe or a device, has pixels
            without a known range, or is so large that it could exhaust the memory. The error names
            the file.
    """
    path = Path(path)
    with open_regular(path) as file:
        return decode_image(file, path, channels)


def decode_image(file: BinaryIO, path: Path, channels: int = 3) -> np.ndarray:
    """Reads an image from an opened file or from memory, as `read_image` does.

    Args:
        file: The encoded image.
        path: Its name, for the format and for errors.
        channels: Number of channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 `(H, W, channels)`.

    Raises:
        ImportError: If a TIFF file needs tifffile, which is not installed.
        ValueError: See `read_image`.
    """
    try:
        if path.suffix.lower() == ARRAY_SUFFIX:
            return _bands(np.load(file, allow_pickle=False), channels)
        if path.suffix.lower() in TIFF_SUFFIXES and channels not in (1, 3):
            return _bands(_read_tiff(file, channels), channels)
        with Image.open(file) as image, turn(image.size):
            ImageOps.exif_transpose(image, in_place=True)  # the copy would double the memory
            if channels not in (1, 3):
                return _bands(np.asarray(image), channels)
            rgb = _to_rgb(image)
            return _pixels(rgb if channels == 3 else rgb.convert("L"), channels)
    except ImportError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{path} has too many pixels to open safely: {error} "
            "Make the image smaller, or raise `PIL.Image.MAX_IMAGE_PIXELS` if you trust it."
        ) from error
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{path} is not an image of a format that Pillow knows. Replace the file or remove it."
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


def _bands(pixels: np.ndarray, channels: int) -> np.ndarray:
    """Checks the channels that a file has, and scales 16 bits to 8."""
    if pixels.ndim == 2:
        pixels = pixels[..., np.newaxis]
    if pixels.ndim != 3 or pixels.shape[-1] != channels:
        raise ValueError(
            f"it must have {channels} channels, shape (H, W, {channels}), and has shape "
            f"{pixels.shape}."
        )
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / np.float32(257)).astype(np.uint8)  # 65535 / 257 = 255
    if pixels.dtype != np.uint8:
        raise ValueError(f"its type must be uint8 or uint16, and is {pixels.dtype}.")
    return pixels


def _read_tiff(file: BinaryIO, channels: int) -> np.ndarray:
    """Reads all channels of a TIFF file; Pillow knows at most four, of 8 bits."""
    try:
        import tifffile
    except ImportError as error:
        raise ImportError(
            "TIFF files of other channels than grey and RGB need tifffile. Install it with "
            '`pip install "petseg[tiff]"`.'
        ) from error
    with tifffile.TiffFile(file) as tiff:
        series = tiff.series[0]
        most = Image.MAX_IMAGE_PIXELS
        if most is not None and series.size > 4 * most:
            raise ValueError(f"it has {series.size} values, more than is safe to open.")
        pixels: np.ndarray = series.asarray()
        # Channels can be stored one after the other, in pages too.
        if pixels.ndim == 3 and series.axes.endswith("YX") and pixels.shape[-1] != channels:
            pixels = np.moveaxis(pixels, 0, -1)
    return pixels


def _pixels(image: Image.Image, channels: int = 3) -> np.ndarray:
    """Copies an image in strips of rows: Pillow's own way needs three times the memory."""
    pixels = np.empty((image.height, image.width, channels), np.uint8)
    step = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, step):
        bottom = min(top + step, image.height)
        rows = pixels[top:bottom]
        rows[:] = np.asarray(image.crop((0, top, image.width, bottom))).reshape(rows.shape)
    return pixels


def _to_8_bits(image: Image.Image) -> Image.Image:
    pixels = np.asarray(image)
    if pixels.min() < 0 or pixels.max() > 65535:
        raise ValueError("its integer pixels need more than 16 bits; save it with 8 bits.")
    return Image.fromarray(np.rint(pixels / 257).astype(np.uint8))  # 65535 / 257 = 255.


def find_images(
    folder_or_pattern: str | os.PathLike[str],
    channels: int = 3,
    on_error: Callable[[OSError], None] | None = None,
) -> list[Path]:
    """Finds the image files in a folder and its subfolders, or those that match a pattern.

    Files count as images by their suffix, see `IMAGE_SUFFIXES`. Hidden files, whose names begin
    with a dot, are left out.

    Args:
        folder_or_pattern: A folder, or a glob pattern such as "photos/*.jpg". `**` matches any
            number of folders.
        channels: As for `is_image_name`.
        on_error: Function of the error of a subfolder that cannot be listed. By default the error
            is raised.

    Returns:
        The paths, sorted.

    Raises:
        FileNotFoundError: If there are none.
        OSError: If a folder cannot be listed.
    """

    def fail(error: OSError) -> None:
        raise error

    folder = Path(folder_or_pattern)
    if folder.is_dir():
        found = [
            Path(parent, name)
            for parent, _, names in os.walk(folder, onerror=on_error or fail)
            for name in names
        ]
    else:
        found = [Path(match) for match in glob.glob(str(folder), recursive=True)]  # noqa: PTH207
    paths = sorted(path for path in found if is_image_name(path, channels) and path.is_file())
    if not paths:
        raise FileNotFoundError(
            f"No image files in {folder}. Looked for {', '.join(sorted(IMAGE_SUFFIXES))}."
        )
    return paths


def shown_as_rgb(image: np.ndarray) -> np.ndarray:
    """Makes an image visible.

    Args:
        image: `(H, W, C)`.

    Returns:
        `(H, W, 3)`: the first three channels; of one or two, the first one as grey.
    """
    return image[..., :3] if image.shape[-1] >= 3 else np.repeat(image[..., :1], 3, axis=-1)


def checked_pixels(
    images: Any, name: str, ranks: tuple[int, ...], channels: int | None = 3
) -> np.ndarray:
    """Checks an array of images.

    Values up to half a grey level outside [0, 255], the rounding error of a resize, are clipped.

    Args:
        images: What was received: pixels in [0, 255].
        name: The argument's name, for the error.
        ranks: Allowed numbers of dimensions: 3 for `(H, W, C)`, 4 for `(N, H, W, C)`.
        channels: Number of channels; 3 are RGB. None allows any number.

    Returns:
        The images as uint8 where they were uint8, else as float32 in [0, 255].

    Raises:
        ValueError: If the shape is not one of these, or the values do not lie in [0, 255].
            Fractions that all lie in [0, 1] are refused: most likely they were divided by 255.
    """
    pixels = np.asarray(images)
    wrong = channels is not None and pixels.shape[-1:] != (channels,)
    if pixels.ndim not in ranks or wrong or 0 in pixels.shape[-3:]:
        channels = channels or 3
        axes = {3: f"(H, W, {channels})", 4: f"(N, H, W, {channels})"}
        shapes = " or ".join(axes[rank] for rank in ranks)
        kind = "RGB" if channels == 3 else "images of shape"
        raise ValueError(f"`{name}` must be {kind} {shapes}. Received: shape {pixels.shape}.")
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
