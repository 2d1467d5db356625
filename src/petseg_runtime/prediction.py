"""How photos of any size become masks, whatever computes the logits."""

import math
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from petseg_runtime.images import checked_pixels, find_images, read_image

# What a network of any input size is given: photos of this shorter side, in steps that keep the
# number of different shapes small, since each new one costs a compilation on some backends.
SHORTER_SIDE = 224
SIZE_STEP = 32
LONGEST_SIDE = 8 * SHORTER_SIDE  # Of a photo much longer than wide, so that it fits in memory.

# Photos are read ahead until they are so many, or have so many pixels as the network sees them.
IMAGES_AT_ONCE = 32
PIXELS_AT_ONCE = IMAGES_AT_ONCE * SHORTER_SIDE**2


@dataclass(frozen=True)
class Predictor:
    """A network and what it is shown of a photo: the arguments of `petseg.predict`.

    `network` turns images `(N, H, W, 3)` into logits `(N, H, W, C)`, or into classes `(N, H, W)`;
    `input_size` is the height and width that it takes, `None` for any.
    """

    network: Callable[[np.ndarray], np.ndarray]
    input_size: tuple[int | None, int | None]
    image_size: tuple[int, int] | None = None
    tta: bool = False
    tile: int | None = None

    def __post_init__(self) -> None:
        _check_size("image_size", self.image_size)
        if self.tile is None:
            _check_fits("image_size", self.image_size, self.input_size)
        else:
            _check_size("tile", (self.tile, self.tile))
            _check_fits("tile", (self.tile, self.tile), self.input_size)

    def __call__(self, images: Any) -> Any:
        """The masks of what `petseg.predict` takes."""
        if isinstance(images, list | tuple):
            if not all(isinstance(path, str | os.PathLike) for path in images):
                raise TypeError(
                    "A list in `images` must hold paths. Received: other items. "
                    "Arrays of one size go in as one batch: `numpy.stack(images)`."
                )
            return _warned(self.files(images))
        if isinstance(images, str | os.PathLike):
            path = Path(images)
            is_pattern = any(sign in str(path) for sign in "*?[") and not path.exists()
            if path.is_dir() or is_pattern:
                return _warned(self.files(find_images(path)))
            return next(self.masks([read_image(path)]))
        if isinstance(images, Iterable) and not hasattr(images, "__array__"):
            return self._batches(images)
        pixels = checked_pixels(images, "images", ranks=(3, 4))
        masks = list(self.masks(pixels.reshape(-1, *pixels.shape[-3:])))
        return np.reshape(np.asarray(masks, np.uint8), pixels.shape[:-1])

    def _batches(self, batches: Iterable[Any]) -> Iterator[np.ndarray]:
        for batch in batches:
            if isinstance(batch, str | os.PathLike):
                raise TypeError(
                    "An iterator in `images` must give batches. Received: one that gives paths. "
                    "These go in as a list: `list(paths)`."
                )
            yield self(batch[0] if isinstance(batch, tuple) else batch)

    def files(
        self, paths: Iterable[str | os.PathLike[str]]
    ) -> Iterator[tuple[Path, np.ndarray | Exception]]:
        """Each path with its mask, or with what is wrong with the file."""
        opened: list[Path] = []

        def read() -> Iterator[np.ndarray | Exception]:
            for path in map(Path, paths):
                opened.append(path)
                try:
                    yield read_image(path)
                except (OSError, ValueError) as error:
                    error.__cause__ = error.__context__ = None  # their frames hold what was decoded
                    yield error.with_traceback(None)

        for mask in self.masks(read()):
            yield opened.pop(0), mask

    def masks(self, images: Iterable[Any]) -> Iterator[Any]:
        """Masks uint8, each of its image's own size and in their order; errors pass through.

        The network runs on as many images at once as look alike to it.
        """
        waiting: list[tuple[Any, Any]] = []  # what the network shall see, and the size to return to
        pixels = 0
        for image in images:
            if isinstance(image, Exception):
                waiting.append((image, None))
            else:
                seen = resize(image, self._seen_size(image.shape[:2]))
                waiting.append((seen, image.shape[:2]))
                pixels += seen.shape[0] * seen.shape[1]
            if pixels >= PIXELS_AT_ONCE or len(waiting) >= IMAGES_AT_ONCE:
                yield from self._finish(waiting)
                waiting, pixels = [], 0
        yield from self._finish(waiting)

    def _finish(self, waiting: list[tuple[Any, Any]]) -> Iterator[Any]:
        alike: dict[tuple[int, ...], list[int]] = {}
        for index, (seen, size) in enumerate(waiting):
            if size is not None:
                alike.setdefault(seen.shape, []).append(index)
        outputs: dict[int, np.ndarray] = {}
        for indices in alike.values():
            batch = np.stack([waiting[index][0] for index in indices]).astype(np.float32)
            outputs |= zip(indices, self._outputs(batch), strict=True)
        for index, (seen, size) in enumerate(waiting):
            yield seen if size is None else to_mask(outputs.pop(index), size)

    def _seen_size(self, size: Sequence[int]) -> list[int]:
        wanted = self.image_size or (size if self.tile else _scaled(size))
        if self.tile:
            scale = max(1, self.tile / min(wanted))
            return [round(scale * side) for side in wanted]
        return [own or side for own, side in zip(self.input_size, wanted, strict=True)]

    def _outputs(self, images: np.ndarray) -> np.ndarray:
        if self.tile is None:
            return self._averaged(images)
        return np.stack([self._tiled(image, self.tile) for image in images])

    def _averaged(self, images: np.ndarray) -> np.ndarray:
        outputs = np.asarray(self.network(images))
        if not self.tta:
            return outputs
        mirrored = np.asarray(self.network(np.ascontiguousarray(images[:, :, ::-1])))
        return (self._logits(outputs) + self._logits(mirrored)[:, :, ::-1]) / 2

    def _tiled(self, image: np.ndarray, tile: int) -> np.ndarray:
        """Logits from squares that overlap by half, each weighed less towards its rim."""
        height, width = image.shape[:2]
        corners = [(y, x) for y in _starts(height, tile) for x in _starts(width, tile)]
        rise = np.minimum(np.arange(1, tile + 1), np.arange(tile, 0, -1)).astype(np.float32)
        window = np.outer(rise, rise)[..., np.newaxis]
        total: Any = None
        weight = np.zeros((height, width, 1), np.float32)
        step = max(1, PIXELS_AT_ONCE // tile**2)
        for begin in range(0, len(corners), step):
            some = corners[begin : begin + step]
            squares = np.stack([image[y : y + tile, x : x + tile] for y, x in some])
            for (y, x), logits in zip(some, self._logits(self._averaged(squares)), strict=True):
                if total is None:
                    total = np.zeros((height, width, logits.shape[-1]), np.float32)
                total[y : y + tile, x : x + tile] += window * logits
                weight[y : y + tile, x : x + tile] += window
        return total / weight

    @staticmethod
    def _logits(outputs: np.ndarray) -> np.ndarray:
        if outputs.ndim != 4:
            raise ValueError(
                "`tta` and `tile` average logits. Received: a network that gives classes. "
                "Export it without `argmax`."
            )
        return outputs


def _warned(results: Iterator[tuple[Path, Any]]) -> Iterator[tuple[Path, np.ndarray]]:
    for path, mask in results:
        if isinstance(mask, Exception):
            warnings.warn(f"Skipped an image. {mask}", stacklevel=2)
        else:
            yield path, mask


def _check_size(name: str, size: Any) -> None:
    if size is None:
        return
    sizes = tuple(size) if isinstance(size, list | tuple) else ()
    if len(sizes) != 2 or not all(isinstance(s, int) and s >= 32 for s in sizes):
        if name == "tile":
            raise ValueError(f"`tile` must be an integer of 32 or more. Received: {size[0]!r}.")
        raise ValueError(
            f"`image_size` must be (height, width), each 32 or more. Received: {size!r}."
        )


def _check_fits(name: str, size: Any, input_size: tuple[int | None, int | None]) -> None:
    if size is None:
        return
    if any(own not in (None, given) for own, given in zip(input_size, size, strict=True)):
        raise ValueError(
            f"`{name}` must be that of the network, which takes {input_size} alone. "
            f"Received: {tuple(size)}."
        )


def _scaled(size: Sequence[int]) -> list[int]:
    scale = SHORTER_SIDE / min(size)
    return [min(round(side * scale / SIZE_STEP) * SIZE_STEP, LONGEST_SIDE) for side in size]


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin that cover `length`, neighbours overlapping by half or more."""
    count = 1 + math.ceil((length - tile) / (tile / 2))
    return [round(start) for start in np.linspace(0, length - tile, count)]


def resize(image: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Bilinear and, when it shrinks, antialiased, like the images a network is trained on."""
    if image.shape[:2] == tuple(size):
        return image
    if image.ndim == 3 and image.dtype != np.uint8:  # Pillow has no colour of other types.
        return np.stack([resize(plane, size) for plane in np.moveaxis(image, -1, 0)], axis=-1)
    resized = Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized)


def to_mask(output: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """The class of the greatest of the logits `(h, w, C)` once these are resized to `size`.

    Class by class: all logits of a large photo at once would fill the memory. Where the network
    gave classes `(h, w)`, these are resized by nearest neighbour.
    """
    if output.ndim == 2:
        classes = Image.fromarray(output.astype(np.uint8))
        return np.array(classes.resize((size[1], size[0]), Image.Resampling.NEAREST))
    mask = np.zeros(size, np.uint8)
    greatest = np.full(size, -np.inf, np.float32)
    for index in range(output.shape[-1]):
        plane = resize(output[..., index], size)
        np.copyto(mask, index, where=plane > greatest)
        np.maximum(greatest, plane, out=greatest)
    return mask
