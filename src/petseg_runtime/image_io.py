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
from PIL.TiffImagePlugin import PREFIXES, ImageFileDirectory_v2

# Suffixes, in lower case, of the files in a folder that count as images.
IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


ARRAY_SUFFIX = ".npy"
TIFF_SUFFIXES = (".tif", ".tiff")

# Tags of TIFF 6.0, section 8 and ExtraSamples.
_SIZE = (256, 257)
_BITS, _PHOTOMETRIC, _SAMPLES, _EXTRA_SAMPLES = 258, 262, 277, 338
_ALPHA = ((1,), (2,))  # values of ExtraSamples: associated and unassociated
# Samples that are grey or colour, for each PhotometricInterpretation; 1 for all others.
_COLOURS = {2: 3, 5: 4, 6: 3, 8: 3}  # RGB, CMYK, YCbCr and Lab


class _ChannelsError(Exception):
    """A file has another number of channels than are wanted."""

    def __init__(self, shape: tuple[int, ...]):
        super().__init__(shape)
        self.shape = shape


def is_image_name(path: Path, arrays: bool = False) -> bool:
    """Returns whether a file counts as an image, by its name alone.

    Args:
        path: The file. It need not exist.
        arrays: Whether `.npy` files count.

    Returns:
        True if the suffix, in upper or lower case, is one of `IMAGE_SUFFIXES`, or `.npy` where
        `arrays` says so, and the file is not hidden (a name that begins with a dot).
    """
    suffix = path.suffix.lower()
    is_image = suffix in IMAGE_SUFFIXES or (arrays and suffix == ARRAY_SUFFIX)
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
    pixels are blended with white. A TIFF file with more bands than a colour has is not converted,
    nor is a `.npy` file of `(H, W, C)`: it must have as many channels as are wanted. The last band
    of a TIFF file of 8 bits is transparency where its tag ExtraSamples says so. For other numbers
    of channels than 1 and 3, every file must have as many: TIFF, `.npy`, or an image whose last
    channel is the transparency. 16 bits are scaled to 8, so that 65535 becomes 255. An animation
    gives its first frame.

    Args:
        path: The file.
        channels: Number of channels: 3 for RGB, 1 for grey.

    Returns:
        uint8 `(H, W, channels)`.

    Raises:
        ImportError: If a TIFF file needs tifffile, which is not installed.
        FileNotFoundError: If there is no such file.
        ValueError: If the file is truncated, is not an image, is a pipe or a device, has another
            number of channels, has pixels without a known range, or is so large that it could
            exhaust the memory. The error names the file.
    """
    path = Path(path)
    with open_regular(path) as file:
        return decode_image(file, str(path), channels)


def decode_image(file: BinaryIO, name: str, channels: int = 3) -> np.ndarray:
    """Reads an image from an opened file, or from bytes in memory, as `read_image` does.

    Args:
        file: The opened file, such as `io.BytesIO(content)`.
        name: Its name, for the errors. TIFF and `.npy` files are known by its suffix.
        channels: As for `read_image`.

    Returns:
        uint8 `(H, W, channels)`.

    Raises:
        ImportError: If a TIFF file needs tifffile, which is not installed.
        ValueError: As `read_image` does.
    """
    suffix = Path(name).suffix.lower()
    try:
        if suffix == ARRAY_SUFFIX:
            return _bands(np.load(file, allow_pickle=False), channels)
        if suffix in TIFF_SUFFIXES and (channels not in (1, 3) or _has_bands(file)):
            return _bands(_read_tiff(file, channels), channels)
        with Image.open(file) as image, turn(image.size):
            ImageOps.exif_transpose(image, in_place=True)  # the copy would double the memory
            if channels not in (1, 3):
                pixels = image.convert("RGB") if image.mode == "P" else image
                return _bands(np.asarray(pixels), channels)
            rgb = _to_rgb(image)
            return _pixels(rgb if channels == 3 else rgb.convert("L"), channels)
    except ImportError:
        raise
    except _ChannelsError as error:
        raise ValueError(_channels_message(name, channels, error.shape)) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"{name} has too many pixels to open safely: {error} "
            "Make the image smaller, or raise `PIL.Image.MAX_IMAGE_PIXELS` if you trust it."
        ) from error
    except UnidentifiedImageError as error:
        raise ValueError(
            f"{name} is not an image of a format that Pillow knows. Replace the file or remove it."
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on a damaged file.
        raise ValueError(
            f"{name} cannot be read as an image: {error} Replace the file or remove it."
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
        raise _ChannelsError(pixels.shape)
    if pixels.dtype == np.uint16:
        pixels = np.rint(pixels / np.float32(257)).astype(np.uint8)  # 65535 / 257 = 255
    if pixels.dtype != np.uint8:
        raise ValueError(f"its type must be uint8 or uint16, and is {pixels.dtype}.")
    return pixels


def _channels_message(name: str, channels: int, shape: tuple[int, ...]) -> str:
    wanted = f"{channels} {'channel is' if channels == 1 else 'channels are'} wanted"
    if len(shape) != 3 or shape[-1] > min(shape[:2]):
        return (
            f"{name} has shape {shape}, and {wanted}, in the last axis: (H, W, {channels}). "
            "Replace the file."
        )
    count = f"{shape[-1]} {'channel' if shape[-1] == 1 else 'channels'}"
    return (
        f"{name} has {count}, and {wanted}. Replace the file, or load the data with "
        f"`channels={shape[-1]}` and use a model for images of {count}."
    )


def _has_bands(file: BinaryIO) -> bool:
    """Tells whether a TIFF file has bands that are neither grey, nor colour, nor transparency.

    Pillow would blend them with white, drop them, or not read the file.
    """
    header = file.read(16)
    file.seek(0)
    if header[:4] not in PREFIXES:
        return False  # Pillow knows what it is, or says that it does not.
    tags = ImageFileDirectory_v2(header if header[2] == 43 else header[:8])  # 43: BigTIFF
    file.seek(tags.next)
    tags.load(file)
    size, samples = [tags.get(tag) for tag in _SIZE], tags.get(_SAMPLES, 1)
    extra = samples - _COLOURS.get(tags.get(_PHOTOMETRIC, 0), 1)
    is_alpha = tags.get(_EXTRA_SAMPLES) in _ALPHA and set(tags.get(_BITS, ())) == {8}
    has_bands = extra > 0 and not (extra == 1 and is_alpha)
    if samples == 1 and tags.next:  # A grey page for each band? A thumbnail is smaller.
        file.seek(tags.next)
        tags.load(file)
        has_bands = size == [tags.get(tag) for tag in _SIZE]
    file.seek(0)
    return bool(has_bands)


def _read_tiff(file: BinaryIO, channels: int) -> np.ndarray:
    """Reads all channels of a TIFF file."""
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
        # Channels can be stored one after the other, in pages too. So can rows.
        first, last = pixels.shape[0], pixels.shape[-1]
        if pixels.ndim == 3 and series.axes.endswith("YX") and last != channels:
            pixels = np.moveaxis(pixels, 0, -1) if first in (channels, min(first, last)) else pixels
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
        channels: Number of channels of the images. Where it is not 3, `.npy` files count.
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
    arrays = channels != 3
    paths = sorted(path for path in found if is_image_name(path, arrays) and path.is_file())
    if not paths:
        suffixes = sorted(IMAGE_SUFFIXES | {ARRAY_SUFFIX} if arrays else IMAGE_SUFFIXES)
        message = f"No image files in {folder}. Looked for {', '.join(suffixes)}."
        if any(is_image_name(path, arrays=True) for path in found):
            message += (
                f" {ARRAY_SUFFIX} files in folders are for models of other channels than RGB."
            )
        raise FileNotFoundError(message)
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
