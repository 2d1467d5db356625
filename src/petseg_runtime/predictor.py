"""Images of any size to masks of the same size, for any model that returns logits."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from petseg_runtime import validation
from petseg_runtime.image_io import checked_pixels, find_images, read_image
from petseg_runtime.model_info import ModelInfo
from petseg_runtime.parallel import in_order, usable_cores
from petseg_runtime.resizing import (
    log,
    mean_of_probabilities,
    resize,
    softmax,
    to_mask,
    to_probabilities,
)
from petseg_runtime.smoothing import KEPT, Smoothing
from petseg_runtime.tiles import logits_in_bands

# Smallest side of an image that a model takes.
MIN_SIZE = 32

# Where the size that a model was trained at is unknown, it sees images of this shorter side. Both
# sides are multiples of a step, since each new shape costs a compilation on some backends.
SHORTER_SIDE = 224
SIZE_STEP = 32
LONGEST_SIDE = 8 * SHORTER_SIDE  # bounds the memory for images much longer than wide

# Images are predicted together up to this number, and up to this number of pixels as the model sees
# them.
IMAGES_AT_ONCE = 32
PIXELS_AT_ONCE = IMAGES_AT_ONCE * SHORTER_SIDE**2

# From this number on, images are predicted on one core each where the model can: opening it once
# more takes as long as a few images.
MANY_IMAGES = 8

# Beyond these, the model sees nothing that it was trained on, and memory runs out.
SCALE_LIMITS = (0.25, 4.0)

# The scales of `scales="auto"`: the second look, at small objects, is for images in which the first
# found little. See docs/results/closer_look.json.
AUTO = "auto"
CLOSER_SCALE = 1.5

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
        logits: Logits `(h, w, num_classes)` of any resolution, calibrated, where probabilities were
            asked for. They need less memory than the probabilities.

    Example:
        >>> for found in petseg.predict(model, ["photos"]):
        ...     print(found.path, found.error or found.mask.shape)
    """

    path: Path
    mask: np.ndarray | None = None
    error: Exception | None = None
    logits: np.ndarray | None = None

    @property
    def probabilities(self) -> np.ndarray | None:
        """Probability of each class, float32 `(H, W, num_classes)`, where they were asked for."""
        if self.logits is None or self.mask is None:
            return None
        return to_probabilities(self.logits, self.mask.shape)


Model = Callable[[np.ndarray], np.ndarray]


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
        scales: Factors of the size at which the model sees an image, once at each, from 0.25 to
            4; the probabilities are averaged. "auto" is 1, and 1.5 as well where the model's record
            says that this pays.
        output: "mask" or "probabilities".
        images_at_once: Number of images of the same size that the model gets at once.
        one_core: Opens the model for calls from several threads at once, each of which takes one
            core. None for a model that cannot be called so.
    """

    model: Model
    info: ModelInfo
    input_size: tuple[int | None, int | None]
    image_size: tuple[int, int] | None = None
    tta: bool = False
    tile: int | None = None
    scales: Sequence[float] | str = AUTO
    output: str = MASK
    images_at_once: int = IMAGES_AT_ONCE
    one_core: Callable[[], Model] | None = None

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
        if isinstance(self.scales, str) and self.scales == AUTO:
            return
        scales = validation.positive_numbers("scales", self.scales, or_text=AUTO)
        smallest, largest = SCALE_LIMITS
        if not all(smallest <= scale <= largest for scale in scales):
            listed = ", ".join(f"{scale:g}" for scale in scales)
            raise ValueError(
                f"`scales` must lie between {smallest:g} and {largest:g}. Received: {listed}. For "
                "details of large images, pass `tile` instead."
            )
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
        return tuple(self.scales) != (1.0,) and self.scales != AUTO

    @property
    def _looks_closer(self) -> bool:
        """Whether some images get a second look."""
        return (
            self.scales == AUTO
            and self.info.closer_look_below > 0
            and self.info.background is not None
            and not self.info.argmax
            and self.tile is None
            and self.input_size == (None, None)
        )

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

    def files(
        self,
        paths: Iterable[str | os.PathLike[str]],
        read: Callable[[Path, int], np.ndarray] = read_image,
    ) -> Iterator[Prediction]:
        """Predicts image files, in their order; several are read ahead.

        Args:
            paths: Image files.
            read: Reads the image of a path with a number of channels.

        Yields:
            A record for each file, with its mask or with what is wrong with it.
        """

        def waiting(path: Path) -> _Waiting:
            return self._read(path, read)

        for item, found in self._each(in_order(waiting, map(Path, paths)), self._prediction):
            assert item.path is not None
            yield found or Prediction(item.path, error=item.error)

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
        for _, result in self._each(map(self._waiting, images), self._result):
            yield result

    def frames(self, images: Iterable[np.ndarray], kept: float = KEPT) -> Iterator[np.ndarray]:
        """Predicts the frames of a video.

        Probabilities are averaged over the frames before, so that masks flicker less; see
        `Smoothing`. Frames in tiles, and classes of a model that was exported with `argmax`, are
        not averaged.

        Args:
            images: RGB arrays `(H, W, 3)` in [0, 255].
            kept: Weight of the frames before where the picture stays, from 0 to below 1.

        Yields:
            The mask of each frame.
        """
        if self.tile is not None or self.info.argmax:
            for _, mask in self._each(map(self._waiting, images), self._mask):
                yield mask
            return
        smoothing = Smoothing(kept)
        for item, (seen, output) in self._each(map(self._waiting, images), _seen_and_output):
            yield self._mask(item, log(smoothing.add(seen, softmax(output))))

    def _read(self, path: Path, read: Callable[[Path, int], np.ndarray]) -> "_Waiting":
        try:
            return self._waiting(read(path, self.info.channels), path)
        except (OSError, ValueError) as error:
            error.__cause__ = error.__context__ = None  # their frames hold the decoded image
            return _Waiting(path, error=error.with_traceback(None))

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
            sizes = [_at_scale(seen_size, float(scale)) for scale in self.scales]
        elif self._looks_closer:
            sizes = [seen_size, _at_scale(seen_size, CLOSER_SCALE)]
        return _Waiting(path, [resize(image, seen) for seen in sizes], size)

    def _each(
        self,
        items: Iterable["_Waiting"],
        finish: Callable[["_Waiting", np.ndarray], Any],
    ) -> Iterator[tuple["_Waiting", Any]]:
        """Predicts images in order: together, or many on one core each where the model can.

        Args:
            items: The images.
            finish: Makes the result of an image of what the model returned for it.

        Yields:
            Each image with its result, None for one that could not be read.
        """
        items = iter(items)
        most = self.images_at_once if self.one_core is None else MANY_IMAGES
        groups = _groups(items, most)
        first = next(groups, [])
        if self.one_core is not None and len(first) == most and usable_cores() > 1:
            model = self.one_core()
            alone = ([item] for item in chain(first, items))
            done = in_order(lambda one: self._finished(one, model, finish), alone, usable_cores())
        else:
            groups = chain(_groups(first, self.images_at_once), groups)
            done = (self._finished(group, self.model, finish) for group in groups)
        for pairs in done:
            yield from pairs

    def _finished(
        self,
        items: list["_Waiting"],
        model: Model,
        finish: Callable[["_Waiting", np.ndarray], Any],
    ) -> list[tuple["_Waiting", Any]]:
        outputs = iter(self._outputs([item for item in items if item.error is None], model))
        found: list[tuple[_Waiting, Any]] = []
        for item in items:
            found.append((item, None if item.error else finish(item, next(outputs))))
            item.seen = []  # they may be large, and the caller may take long
        return found

    def _outputs(self, items: list["_Waiting"], model: Model) -> list[np.ndarray]:
        """Returns what the model says about each image, at the largest scale it was seen at."""
        if self.tile is not None:
            return [self._tiled(item, model, self.tile) for item in items]
        if not self._looks_closer:
            sizes = [range(len(item.seen)) for item in items]
            looks = [(index, look) for index, some in enumerate(sizes) for look in some]
            found = self._seen_by(model, items, looks)
        else:
            found = self._seen_by(model, items, [(index, 0) for index in range(len(items))])
            small = [index for (index, _), output in found.items() if self._is_small(output)]
            found |= self._seen_by(model, items, [(index, 1) for index in small])
        outputs = []
        for index, item in enumerate(items):
            own = [found[index, look] for look in range(len(item.seen)) if (index, look) in found]
            outputs.append(own[0] if len(own) == 1 else mean_of_probabilities(own))
        return outputs

    def _is_small(self, output: np.ndarray) -> bool:
        """Returns whether so little of an image is foreground that a closer look pays."""
        mask = to_mask(output, output.shape[:2], self.mask_dtype)
        return bool((mask != self.info.background).mean() < self.info.closer_look_below)

    def _seen_by(
        self, model: Model, items: list["_Waiting"], looks: list[tuple[int, int]]
    ) -> dict[tuple[int, int], np.ndarray]:
        """Runs the model, once for all images of the same shape.

        Args:
            model: The model.
            items: The images.
            looks: Index of an image, and of the scale at which the model is to see it.

        Returns:
            What the model returned, by look.
        """
        alike: dict[tuple[int, ...], list[tuple[int, int]]] = {}
        for index, look in looks:
            alike.setdefault(items[index].seen[look].shape, []).append((index, look))
        found: dict[tuple[int, int], np.ndarray] = {}
        for keys in alike.values():
            batch = np.stack([items[index].seen[look] for index, look in keys])
            found |= zip(keys, self._averaged(batch.astype(np.float32), model), strict=True)
        return found

    def _result(self, item: "_Waiting", output: np.ndarray) -> np.ndarray:
        """Turns what the model returned for one image into what the caller gets."""
        if self.output == PROBABILITIES:
            return to_probabilities(output, item.size)
        return self._mask(item, output)

    def _mask(self, item: "_Waiting", output: np.ndarray) -> np.ndarray:
        return to_mask(output, item.size, self.mask_dtype)

    def _prediction(self, item: "_Waiting", output: np.ndarray) -> Prediction:
        assert item.path is not None
        logits = output if self.output == PROBABILITIES else None
        return Prediction(item.path, self._mask(item, output), logits=logits)

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

    def _averaged(self, images: np.ndarray, model: Model) -> np.ndarray:
        outputs = np.asarray(model(images))
        if self.tta:
            mirrored = np.asarray(model(np.ascontiguousarray(images[:, :, ::-1])))
            outputs = (outputs + mirrored[:, :, ::-1]) / 2
        check_no_nan(outputs)
        # A mask is the same at any temperature.
        if self._at_several_scales or self._looks_closer or self.output == PROBABILITIES:
            outputs = outputs / np.float32(self.info.temperature)
        return outputs

    def _tiled(self, item: "_Waiting", model: Model, tile: int) -> np.ndarray:
        """Returns what the model says about an image in tiles: the classes alone, where they do."""
        (image,) = item.seen
        bands = logits_in_bands(
            image,
            tile,
            self.info.num_classes,
            lambda squares: self._averaged(squares, model),
            at_once=max(1, PIXELS_AT_ONCE // tile**2),
        )
        if self.output == PROBABILITIES or image.shape[:2] != tuple(item.size):
            return np.concatenate(list(bands))
        return np.concatenate([to_mask(band, band.shape[:2], self.mask_dtype) for band in bands])


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
        channels: As for `find_images`.

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


def _seen_and_output(item: _Waiting, output: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns an image as the model saw it at the scale of its output, and the output."""
    shapes = [seen.shape[:2] for seen in item.seen]
    return item.seen[shapes.index(output.shape[:2])], output


def _at_scale(size: Sequence[int], scale: float) -> list[int]:
    return [max(MIN_SIZE, round(scale * side)) for side in size]


def _groups(items: Iterable[_Waiting], most: int) -> Iterator[list[_Waiting]]:
    """Gathers images to predict together, at most `most`."""
    group: list[_Waiting] = []
    pixels = 0
    for item in items:
        group.append(item)
        pixels += item.pixels
        if pixels >= PIXELS_AT_ONCE or len(group) >= most:
            yield group
            group, pixels = [], 0
    if group:
        yield group
