"""Images of any size to masks of the same size, for any model that returns logits."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from petseg_runtime import validation
from petseg_runtime.image_io import checked_pixels, find_images, read_image
from petseg_runtime.model_info import ModelInfo
from petseg_runtime.parallel import in_order
from petseg_runtime.resizing import mean_of_probabilities, resize, to_mask, to_probabilities

# Smallest side of an image that a model takes.
MIN_SIZE = 32

# Where the size that a model was trained at is unknown, it sees images of this shorter side. Both
# sides are multiples of a step, since each new shape costs a compilation on some backends.
SHORTER_SIDE = 224
SIZE_STEP = 32
LONGEST_SIDE = 8 * SHORTER_SIDE  # bounds the memory for images much longer than wide

# Images are read ahead up to this number, and up to this number of pixels as the model sees them.
IMAGES_AT_ONCE = 32
PIXELS_AT_ONCE = IMAGES_AT_ONCE * SHORTER_SIDE**2

# Bound on the memory for one large image: bytes of the logits that may be held.
MOST_LOGIT_BYTES = 2**31

MASK, PROBABILITIES = OUTPUTS = ("mask", "probabilities")


@dataclass(frozen=True, eq=False)
class Prediction:
    """The mask of one image file, or the reason why there is none.

    Attributes:
        path: The image file.
        mask: Class of each pixel, uint8 `(H, W)` (uint16 for more than 256 classes), or None where
            the file could not be read.
        error: What is wrong with the file, or None.
        probabilities: Probability of each class, float32 `(H, W, num_classes)`, where they were
            asked for.

    Example:
        >>> for found in petseg.predict(model, ["photos"]):
        ...     print(found.path, found.error or found.mask.shape)
    """

    path: Path
    mask: np.ndarray | None = None
    error: Exception | None = None
    probabilities: np.ndarray | None = None


@dataclass(frozen=True)
class Predictor:
    """Turns images of any size into masks, or into probabilities, of the same size.

    Attributes:
        model: Maps images `(N, H, W, C)` to logits `(N, H, W, num_classes)` or classes `(N, H, W)`.
        info: The record of that model.
        input_size: (height, width) that the model takes, None for a side of any length.
        image_size: (height, width) at which the model sees an image. By default the size that it
            was trained at or, where that is unknown, a shorter side of 224 pixels.
        tta: Whether to average the logits with those of the mirrored image.
        tile: Side in pixels of the tiles in which the model sees an image at its own size.
        scales: Factors of the size at which the model sees an image, once at each; the
            probabilities are averaged.
        output: "mask" or "probabilities".
        images_at_once: Number of images of the same size that the model gets at once.
    """

    model: Callable[[np.ndarray], np.ndarray]
    info: ModelInfo
    input_size: tuple[int | None, int | None]
    image_size: tuple[int, int] | None = None
    tta: bool = False
    tile: int | None = None
    scales: Sequence[float] = (1.0,)
    output: str = MASK
    images_at_once: int = IMAGES_AT_ONCE

    def __post_init__(self) -> None:
        if self.tile is not None:
            tile = validation.integer("tile", self.tile, MIN_SIZE)
            self._check_fits("tile", (tile, tile))
        if self.image_size is not None:
            size = validation.image_size("image_size", self.image_size, MIN_SIZE)
            if self.tile is None:
                self._check_fits("image_size", size)
        validation.boolean("tta", self.tta)
        validation.choice("output", self.output, OUTPUTS)
        self._check_scales()
        needs_logits = self.tta or self.tile is not None or self._at_several_scales
        if (needs_logits or self.output == PROBABILITIES) and self.info.argmax:
            raise ValueError(
                '`tta`, `tile`, `scales` and `output="probabilities"` need logits. Received: a '
                "model that was exported with `argmax` and returns classes. Export it without "
                "`argmax`."
            )

    def _check_scales(self) -> None:
        scales = validation.positive_numbers("scales", self.scales)
        object.__setattr__(self, "scales", scales)
        if not self._at_several_scales:
            return
        if self.tile is not None:
            raise ValueError(
                f"`scales` must be (1.0,) where `tile` is given. Received: {scales}. Without "
                "`tile`, the model sees the whole image at each scale."
            )
        if self.input_size != (None, None):
            raise ValueError(
                "`scales` must be (1.0,) for a model whose input size is fixed. Received: "
                f"{scales} for the size {self.input_size}."
            )

    @property
    def _at_several_scales(self) -> bool:
        return tuple(self.scales) != (1.0,)

    def _check_fits(self, name: str, size: tuple[int, int]) -> None:
        if any(own not in (None, given) for own, given in zip(self.input_size, size, strict=True)):
            raise ValueError(
                f"`{name}` must fit the model, whose input size is fixed to {self.input_size}. "
                f"Received: {size}."
            )

    def __call__(self, images: Any) -> Any:
        """Predicts the masks of what `petseg.predict` takes."""
        if isinstance(images, list | tuple):
            if not all(isinstance(path, str | os.PathLike) for path in images):
                raise TypeError(
                    "A list in `images` must hold paths. Received: other items. "
                    "Pass arrays of one size as one batch: `numpy.stack(images)`."
                )
            return self.files(files_of(images, self.info.channels))
        if isinstance(images, str | os.PathLike):
            path = Path(images)
            if path.is_dir() or is_pattern(path):
                raise ValueError(
                    f"`images` must be the path of one image, or a list. Received: {str(path)!r}. "
                    f"Pass [{str(path)!r}] for all images in it."
                )
            return next(self.masks([read_image(path, self.info.channels)]))
        if isinstance(images, Mapping | Set):
            raise TypeError(
                "`images` must be a path, a list of paths, an array or an iterable of batches. "
                f"Received: {type(images).__name__}."
            )
        if isinstance(images, Iterable) and not hasattr(images, "__array__"):
            return self._batches(images)
        pixels = checked_pixels(images, "images", (3, 4), self.info.channels)
        found = list(self.masks(pixels.reshape(-1, *pixels.shape[-3:])))
        if self.output == PROBABILITIES:
            shape = (*pixels.shape[:-1], self.info.num_classes)
            return np.reshape(np.asarray(found, np.float32), shape)
        return np.reshape(np.asarray(found, self.mask_dtype), pixels.shape[:-1])

    @property
    def mask_dtype(self) -> type[np.unsignedinteger[Any]]:
        """Type of the masks: the smallest that holds every class."""
        return np.uint8 if self.info.num_classes <= 256 else np.uint16

    def _batches(self, batches: Iterable[Any]) -> Iterator[np.ndarray]:
        for batch in batches:
            if isinstance(batch, str | os.PathLike):
                raise TypeError(
                    "An iterator in `images` must yield batches. Received: one that yields paths. "
                    "Pass paths as a list: `list(paths)`."
                )
            images = batch[0] if isinstance(batch, tuple | list) and len(batch) else batch
            if not hasattr(images, "__array__"):
                raise TypeError(
                    "An iterator in `images` must yield batches of images `(N, H, W, 3)`, or "
                    f"tuples that begin with one. Received: {type(batch).__name__}."
                )
            yield self(images)

    def files(self, paths: Iterable[str | os.PathLike[str]]) -> Iterator[Prediction]:
        """Predicts image files, in their order; several are read ahead.

        Args:
            paths: Image files.

        Yields:
            A record for each file, with its mask or with what is wrong with it.
        """
        for waiting in self._groups(in_order(self._read, map(Path, paths))):
            yield from self._predictions(waiting)

    def masks(self, images: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Predicts images in memory.

        Args:
            images: Arrays `(H, W, C)` in [0, 255], of any sizes.

        Yields:
            The mask `(H, W)` of each image, or its probabilities `(H, W, num_classes)`, in their
            order.

        Raises:
            ValueError: If an image has another number of channels than the model takes.
        """
        for waiting in self._groups(map(self._waiting, images)):
            yield from self._finished(waiting)

    def _read(self, path: Path) -> "_Waiting":
        try:
            return self._waiting(read_image(path, self.info.channels), path)
        except (OSError, ValueError) as error:
            error.__cause__ = error.__context__ = None  # their frames hold the decoded image
            return _Waiting(path, error=error.with_traceback(None))

    def _groups(self, items: Iterable["_Waiting"]) -> Iterator[list["_Waiting"]]:
        """Gathers images to predict together."""
        group: list[_Waiting] = []
        pixels = 0
        for item in items:
            group.append(item)
            pixels += item.pixels
            if pixels >= PIXELS_AT_ONCE or len(group) >= self.images_at_once:
                yield group
                group, pixels = [], 0
        if group:
            yield group

    def _waiting(self, image: np.ndarray, path: Path | None = None) -> "_Waiting":
        if image.shape[-1] != self.info.channels:
            raise ValueError(
                f"Images must have {self.info.channels} channels, as the model takes them. "
                f"Received: {image.shape[-1]} channels."
            )
        size = image.shape[:2]
        seen_size = self._seen_size(size)
        sizes = [seen_size]
        if self._at_several_scales:
            sizes = [[max(MIN_SIZE, round(scale * s)) for s in seen_size] for scale in self.scales]
        return _Waiting(path, [resize(image, seen) for seen in sizes], size)

    def _predictions(self, waiting: list["_Waiting"]) -> Iterator[Prediction]:
        masks = self._finished([item for item in waiting if item.error is None])
        for item in waiting:
            assert item.path is not None
            if item.error is not None:
                yield Prediction(item.path, error=item.error)
            elif self.output == PROBABILITIES:
                probabilities = next(masks)
                mask = probabilities.argmax(axis=-1).astype(self.mask_dtype)
                yield Prediction(item.path, mask=mask, probabilities=probabilities)
            else:
                yield Prediction(item.path, mask=next(masks))

    def _finished(self, waiting: list["_Waiting"]) -> Iterator[np.ndarray]:
        """Yields the results in order; the model runs once for all images of the same shape."""
        outputs: dict[tuple[int, int], np.ndarray] = {}
        if self.tile is None:
            alike: dict[tuple[int, ...], list[tuple[int, int]]] = {}
            for index, item in enumerate(waiting):
                for scale, image in enumerate(item.seen):
                    alike.setdefault(image.shape, []).append((index, scale))
            for keys in alike.values():
                batch = np.stack([waiting[index].seen[scale] for index, scale in keys])
                outputs |= zip(keys, self._averaged(batch.astype(np.float32)), strict=True)
        for index, item in enumerate(waiting):
            if self.tile is not None:
                result = self._tiled(item.seen[0], item.size, self.tile)
            else:
                found = [outputs.pop((index, scale)) for scale in range(len(item.seen))]
                joined = found[0] if len(found) == 1 else mean_of_probabilities(found)
                result = self._result(joined, item.size)
            item.seen = []  # they may be large, and the caller may take long
            yield result

    def _result(self, output: np.ndarray, size: Sequence[int]) -> np.ndarray:
        """Turns what the model returned for one image into what the caller gets."""
        if self.output == PROBABILITIES:
            return to_probabilities(output, size)
        return to_mask(output, size, self.mask_dtype)

    def _seen_size(self, size: Sequence[int]) -> list[int]:
        """Returns the size at which the model sees an image of `size`."""
        if self.tile is not None:
            wanted = self.image_size or size
            scale = max(1, self.tile / min(wanted))
            seen = [round(scale * side) for side in wanted]
            self._check_logits_fit(seen, size)
            return seen
        wanted = self.image_size or self.info.image_size or _scaled(size)
        return [own or side for own, side in zip(self.input_size, wanted, strict=True)]

    def _check_logits_fit(self, seen: Sequence[int], size: Sequence[int]) -> None:
        """Refuses an image whose logits, all of which are needed to resize them, are too large."""
        num_bytes = 4 * seen[0] * seen[1] * self.info.num_classes
        if list(seen) != list(size) and num_bytes > MOST_LOGIT_BYTES:
            raise ValueError(
                f"`tile` and `image_size` must keep the logits of an image below "
                f"{MOST_LOGIT_BYTES / 1e9:.1f} GB. Received: an image of {size[0]} x {size[1]} "
                f"pixels, which the model would see at {seen[0]} x {seen[1]}, with "
                f"{num_bytes / 1e9:.1f} GB of logits. Choose a smaller tile or no tile."
            )

    def _averaged(self, images: np.ndarray) -> np.ndarray:
        outputs = np.asarray(self.model(images))
        if self.tta:
            mirrored = np.asarray(self.model(np.ascontiguousarray(images[:, :, ::-1])))
            outputs = (outputs + mirrored[:, :, ::-1]) / 2
        check_no_nan(outputs)
        # A mask is the same at any temperature.
        if self._at_several_scales or self.output == PROBABILITIES:
            outputs = outputs / np.float32(self.info.temperature)
        return outputs

    def _tiled(self, image: np.ndarray, size: Sequence[int], tile: int) -> np.ndarray:
        """Predicts an image in tiles.

        Args:
            image: The image as the model sees it, `(H, W, 3)`.
            size: (height, width) of the result.
            tile: Side of the tiles in pixels.

        Returns:
            The mask or the probabilities.
        """
        bands = self._tiled_logits(image, tile)
        if image.shape[:2] != tuple(size):
            return self._result(np.concatenate(list(bands)), size)
        return np.concatenate([self._result(band, band.shape[:2]) for band in bands])

    def _tiled_logits(self, image: np.ndarray, tile: int) -> Iterator[np.ndarray]:
        """Yields the logits of an image in bands of whole rows, from top to bottom.

        The tiles are squares that overlap by half or more, each weighted down towards its edges.
        """
        height, width = image.shape[:2]
        rise = np.minimum(np.arange(1, tile + 1), np.arange(tile, 0, -1)).astype(np.float32)
        window = np.outer(rise, rise)[..., np.newaxis]
        total = np.zeros((tile, width, self.info.num_classes), np.float32)
        weight = np.zeros((tile, width, 1), np.float32)
        top = 0  # of the rows that `total` holds
        for y, x, logits in self._tiles(image, tile):
            if y > top:  # the tiles come in rows: no later one reaches above this one
                done = y - top
                yield total[:done] / weight[:done]
                for held in (total, weight):
                    held[:-done] = held[done:].copy()
                    held[-done:] = 0
                top = y
            total[:, x : x + tile] += window * logits
            weight[:, x : x + tile] += window
        yield total[: height - top] / weight[: height - top]

    def _tiles(self, image: np.ndarray, tile: int) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yields the top, the left and the logits of each tile, row by row."""
        height, width = image.shape[:2]
        corners = [(y, x) for y in _starts(height, tile) for x in _starts(width, tile)]
        step = max(1, PIXELS_AT_ONCE // tile**2)
        for begin in range(0, len(corners), step):
            some = corners[begin : begin + step]
            squares = np.stack([image[y : y + tile, x : x + tile] for y, x in some])
            outputs = self._averaged(squares.astype(np.float32))
            for (y, x), logits in zip(some, outputs, strict=True):
                yield y, x, logits


@dataclass(eq=False)
class _Waiting:
    """An image that waits for the model: as the model sees it, at each scale, and its own size."""

    path: Path | None
    seen: list[np.ndarray] = field(default_factory=list)
    size: tuple[int, ...] = (0, 0)
    error: Exception | None = None

    @property
    def pixels(self) -> int:
        return sum(image.shape[0] * image.shape[1] for image in self.seen)


def check_no_nan(logits: np.ndarray) -> None:
    """Refuses logits that are not numbers, of which every class would be the first one.

    Args:
        logits: What a model returned: logits, or classes.

    Raises:
        ValueError: If there is a NaN.
    """
    if logits.dtype.kind == "f" and np.isnan(logits).any():
        raise ValueError(
            "`model` must return numbers. Received: NaN. Its training may have diverged: train it "
            "again with a smaller learning rate."
        )


def files_of(paths: Iterable[str | os.PathLike[str]], channels: int = 3) -> list[Path]:
    """Lists the image files that paths name.

    Args:
        paths: Image files, folders (all images in them and their subfolders, sorted) and patterns
            such as "photos/*.jpg".
        channels: As for `is_image_name`.

    Returns:
        The files. A path of a file is kept as it is, whether the file exists or not.

    Raises:
        FileNotFoundError: If a folder or a pattern has no image.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        is_many = path.is_dir() or is_pattern(path)
        files.extend(find_images(path, channels) if is_many else [path])
    return files


def is_pattern(path: Path) -> bool:
    """Tells a pattern such as "photos/*.jpg" from the name of a file.

    Args:
        path: A path.

    Returns:
        Whether it has wildcards and is not the name of an existing file.
    """
    return any(sign in str(path) for sign in "*?[") and not path.exists()


def _scaled(size: Sequence[int]) -> list[int]:
    scale = SHORTER_SIDE / min(size)
    return [min(round(side * scale / SIZE_STEP) * SIZE_STEP, LONGEST_SIDE) for side in size]


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin that cover `length`, neighbours overlapping by half or more."""
    count = 1 + math.ceil((length - tile) / (tile / 2))
    return [round(start) for start in np.linspace(0, length - tile, count)]
