"""Composes photos of one to six small animals out of photos of one, for `ordinary_photos`."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from PIL import Image, ImageFilter, ImageOps

PET, BACKGROUND, BORDER = range(3)
FRAMES = ((480, 640), (480, 640), (640, 480), (480, 480))  # height and width, like photos
KINDS = {"one": 0.4, "several": 0.35, "mosaic": 0.25}
AREA = (0.04, 0.20)  # of one animal, as a share of the frame
MOST_ANIMALS = 6
MOST_COVERED = 0.5  # of the frame, by all animals before any is hidden
MOSAICS = ((1, 2), (2, 1), (2, 2), (2, 3))
LEAST_FREE = 0.12  # share of a photo that an animal-free rectangle must have to serve as background
GRID = 8  # pixels: the step in which rectangles are searched
EDGE = 3  # pixels: an animal that comes so close to the edge of its photo is cut off by it

Item = TypeVar("Item")


@dataclass(frozen=True)
class Photo:
    """A photo at its own size.

    Attributes:
        image: uint8 `(H, W, 3)`.
        mask: uint8 `(H, W)`: 0 pet, 1 background, 2 border.
    """

    image: np.ndarray
    mask: np.ndarray


@dataclass(frozen=True)
class Scene(Photo):
    """A composed photo.

    Attributes:
        kind: Key of `KINDS`.
    """

    kind: str


def compose(photos: Sequence[Photo], count: int, seed: int) -> list[Scene]:
    """Composes a set of scenes.

    Args:
        photos: Photos with animals.
        count: Number of scenes.
        seed: Seed of everything that is drawn.

    Returns:
        The scenes.
    """
    composer = Composer(photos, np.random.default_rng(seed))
    kinds = composer.rng.choice(list(KINDS), count, p=list(KINDS.values()))
    return [composer.compose(str(kind)) for kind in kinds]


class Composer:
    """Draws scenes from photos with one random generator.

    Args:
        photos: Photos with animals.
        rng: The generator.
    """

    def __init__(self, photos: Sequence[Photo], rng: np.random.Generator):
        self.rng = rng
        self.photos = photos
        self.animals = [photo for photo in photos if len(_cut_sides(photo.mask)) <= 1]
        found = [(photo, free_rectangle(photo.mask)) for photo in photos]
        self.backgrounds = [
            photo.image[box] for photo, box in found if _area(box) > LEAST_FREE * photo.mask.size
        ]

    def compose(self, kind: str) -> Scene:
        """Draws a scene.

        Args:
            kind: Key of `KINDS`.

        Returns:
            The scene.
        """
        height, width = FRAMES[self.rng.integers(len(FRAMES))]
        if kind == "mosaic":
            image, mask = self._mosaic(height, width)
        else:
            image = self._background(height, width)
            mask = np.full((height, width), BACKGROUND, np.uint8)
            number = 1 if kind == "one" else int(self.rng.integers(2, MOST_ANIMALS + 1))
            high = min(AREA[1], MOST_COVERED / number)
            for _ in range(number):
                self._paste(image, mask, self.rng.uniform(AREA[0], high))
        if self.rng.random() < 0.3:
            self._occlude(image, mask)
        return Scene(self._degrade(image), mask, kind)

    def _pick(self, items: Sequence[Item]) -> Item:
        return items[int(self.rng.integers(len(items)))]

    def _background(self, height: int, width: int) -> np.ndarray:
        """A part of a photo without an animal: enlarged, or mirrored over and over."""
        part = self._pick(self.backgrounds)
        if self.rng.random() < 0.5:
            return _fitted(part, (width, height), Image.Resampling.BICUBIC)
        scale = self.rng.uniform(1.2, 2.2)
        size = round(scale * part.shape[1]), round(scale * part.shape[0])
        array = np.array(Image.fromarray(part).resize(size))
        padding = [
            (0, max(0, size - had))
            for size, had in zip((height, width), array.shape[:2], strict=True)
        ]
        return np.pad(array, [*padding, (0, 0)], mode="symmetric")[:height, :width].copy()

    def _paste(self, image: np.ndarray, mask: np.ndarray, share: float) -> None:
        """Pastes an animal that takes a share of the frame. The edge is blended."""
        photo = self._pick(self.animals)
        sides = _cut_sides(photo.mask)
        rows, columns = np.nonzero(photo.mask != BACKGROUND)
        box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
        cut, labels = photo.image[box], photo.mask[box]
        if self.rng.random() < 0.5:
            cut, labels = cut[:, ::-1], labels[:, ::-1]
            sides = {{"left": "right", "right": "left"}.get(side, side) for side in sides}
        scale = (share * mask.size / (labels != BACKGROUND).sum()) ** 0.5
        scale = min(scale, 0.95 * mask.shape[0] / len(cut), 0.95 * mask.shape[1] / len(cut[0]))
        size = max(8, round(scale * cut.shape[1])), max(8, round(scale * cut.shape[0]))
        cut = np.array(Image.fromarray(cut).resize(size, Image.Resampling.BICUBIC))
        labels = np.array(Image.fromarray(labels).resize(size, Image.Resampling.NEAREST))
        opacity = np.select([labels == PET, labels == BORDER], [255, 128], 0).astype(np.uint8)
        blurred = np.array(Image.fromarray(opacity).filter(ImageFilter.GaussianBlur(1.5)))
        alpha = blurred / 255.0 * (labels != BACKGROUND)
        top, left = self._place(mask.shape, labels.shape, sides)
        to = (
            slice(max(0, top), min(mask.shape[0], top + len(cut))),
            slice(max(0, left), min(mask.shape[1], left + len(cut[0]))),
        )
        of = (
            slice(to[0].start - top, to[0].stop - top),
            slice(to[1].start - left, to[1].stop - left),
        )
        a = alpha[of][..., None]
        image[to] = np.rint(a * cut[of] + (1 - a) * image[to]).astype(np.uint8)
        mask[to] = np.where(labels[of] != BACKGROUND, labels[of], mask[to])

    def _place(
        self, frame: tuple[int, ...], animal: tuple[int, ...], sides: set[str]
    ) -> tuple[int, int]:
        """Draws where the animal's upper left corner lies.

        One in four reaches out of the frame by up to half. An animal that its photo cuts off at one
        side stays at that side of the frame.
        """
        place = []
        for axis, names in enumerate((("top", "bottom"), ("left", "right"))):
            free = frame[axis] - animal[axis]
            beyond = animal[axis] // 2 if self.rng.random() < 0.25 else 0
            position = int(self.rng.integers(min(0, free) - beyond, max(0, free) + beyond + 1))
            if names[0] in sides:
                position = min(0, position)
            if names[1] in sides:
                position = max(free, position)
            place.append(position)
        return place[0], place[1]

    def _mosaic(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        rows, columns = MOSAICS[self.rng.integers(len(MOSAICS))]
        image = np.zeros((height, width, 3), np.uint8)
        mask = np.zeros((height, width), np.uint8)
        tops = np.linspace(0, height, rows + 1).astype(int)
        lefts = np.linspace(0, width, columns + 1).astype(int)
        for row in range(rows):
            for column in range(columns):
                photo = self._pick(self.photos)
                to = slice(tops[row], tops[row + 1]), slice(lefts[column], lefts[column + 1])
                size = to[1].stop - to[1].start, to[0].stop - to[0].start
                image[to] = _fitted(photo.image, size, Image.Resampling.BICUBIC)
                mask[to] = _fitted(photo.mask, size, Image.Resampling.NEAREST)
        return image, mask

    def _occlude(self, image: np.ndarray, mask: np.ndarray) -> None:
        """Puts a box over a part of an animal: grey, of noise, or a piece of background."""
        rows, columns = np.nonzero(mask == PET)
        if not len(rows):
            return
        centre = self.rng.integers(len(rows))
        height, width = (round(self.rng.uniform(0.08, 0.3) * side) for side in mask.shape)
        top = int(np.clip(rows[centre] - height // 2, 0, mask.shape[0] - height))
        left = int(np.clip(columns[centre] - width // 2, 0, mask.shape[1] - width))
        box = slice(top, top + height), slice(left, left + width)
        kind = self.rng.integers(3)
        if kind == 0:
            image[box] = self.rng.integers(256, size=3) if self.rng.random() < 0.5 else 128
        elif kind == 1:
            image[box] = self.rng.integers(256, size=(height, width, 3))
        else:
            part = self._pick(self.backgrounds)
            image[box] = _fitted(part, (width, height), Image.Resampling.BICUBIC)
        mask[box] = BACKGROUND

    def _degrade(self, image: np.ndarray) -> np.ndarray:
        photo = Image.fromarray(image)
        if self.rng.random() < 0.2:
            photo = photo.filter(ImageFilter.GaussianBlur(self.rng.uniform(0.8, 2.5)))
        array: np.ndarray = np.array(photo).astype(np.float32)
        if self.rng.random() < 0.2:  # little light: darker, and with more contrast in the shadows
            array = 255 * self.rng.uniform(0.3, 0.7) * (array / 255) ** self.rng.uniform(1, 1.5)
        if self.rng.random() < 0.2:
            noise = self.rng.normal(0, self.rng.uniform(4, 16), array.shape)
            array = (array + noise).astype(np.float32)
        photo = Image.fromarray(np.clip(np.rint(array), 0, 255).astype(np.uint8))
        if self.rng.random() < 0.5:
            file = io.BytesIO()
            photo.save(file, "jpeg", quality=int(self.rng.integers(25, 90)))
            photo = Image.open(file)
        return np.array(photo)


def free_rectangle(mask: np.ndarray) -> tuple[slice, slice]:
    """Finds the largest rectangle of a photo without an animal.

    Args:
        mask: uint8 `(H, W)`.

    Returns:
        Rows and columns, in steps of `GRID` pixels. Empty where there is none.
    """
    height, width = (size // GRID for size in mask.shape)
    cells = mask[: height * GRID, : width * GRID].reshape(height, GRID, width, GRID)
    taken = np.pad((cells != BACKGROUND).any((1, 3)).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best, area = (slice(0, 0), slice(0, 0)), 0
    for top in range(height):
        for bottom in range(top + 1, height + 1):
            free = np.diff(taken[bottom] - taken[top]) == 0
            edges = np.flatnonzero(np.diff(np.concatenate([[False], free, [False]])))
            for left, right in edges.reshape(-1, 2):
                if (bottom - top) * (right - left) > area:
                    area = (bottom - top) * (right - left)
                    best = (
                        slice(top * GRID, bottom * GRID),
                        slice(int(left) * GRID, int(right) * GRID),
                    )
    return best


def _fitted(array: np.ndarray, size: tuple[int, int], resampling: Image.Resampling) -> np.ndarray:
    """Crops an array to the aspect ratio of a (width, height) and resizes it."""
    return np.array(ImageOps.fit(Image.fromarray(array), size, resampling))


def _area(box: tuple[slice, slice]) -> int:
    return (box[0].stop - box[0].start) * (box[1].stop - box[1].start)


def _cut_sides(mask: np.ndarray) -> set[str]:
    """The sides of a photo that cut off its animal."""
    animal = mask != BACKGROUND
    edges = {
        "top": animal[:EDGE],
        "bottom": animal[-EDGE:],
        "left": animal[:, :EDGE],
        "right": animal[:, -EDGE:],
    }
    return {side for side, pixels in edges.items() if pixels.any()}
