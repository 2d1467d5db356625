"""Images with outlines of objects, whatever the format of the annotations."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from petseg.data.folder_names import SPLIT_NAMES

BACKGROUND = "background"


@dataclass(frozen=True)
class Shape:
    """An object in an image.

    Attributes:
        name: Its class, or None for pixels that do not count.
        area: About how many pixels it has.
        draw: Returns its pixels as booleans `(height, width)` for a (height, width).
    """

    name: str | None
    area: float
    draw: Callable[[tuple[int, int]], np.ndarray]


@dataclass(frozen=True)
class AnnotatedImage:
    """An image and its objects.

    Attributes:
        path: The image file.
        name: What to call it in the new folder, with suffix and without folders.
        split: "train", "val", "test", or None where there are no splits.
        size: (height, width) that the annotation states, or None.
        shapes: Returns the objects for the (height, width) of the image.
    """

    path: Path
    name: str
    split: str | None
    size: tuple[int, int] | None
    shapes: Callable[[tuple[int, int]], Sequence[Shape]]


@dataclass
class Annotations:
    """What a source holds.

    Attributes:
        class_names: The classes, without the background, in their order.
        images: The images.
        skipped: Number of annotations that are no areas, such as points and boxes.
    """

    class_names: tuple[str, ...]
    images: list[AnnotatedImage]
    skipped: int = field(default=0)


def split_of(*names: str) -> str | None:
    """Finds the split that one of several names has as a word.

    Args:
        *names: Names of files or folders, the most telling first.

    Returns:
        "train", "val", "test", or None.
    """
    for name in names:
        words = re.split("[^a-z]+", name.lower())
        for split, known in SPLIT_NAMES.items():
            if set(known) & set(words):
                return split
    return None


def polygon(name: str | None, points: np.ndarray) -> Shape:
    """Makes an object of its outline.

    Args:
        name: Its class, or None.
        points: (x, y) of each corner in pixels `(N, 2)`. The middle of the first pixel is at
            (0.5, 0.5).

    Returns:
        The object. Its pixels are those whose middle is inside, by the even-odd rule.
    """
    if not np.isfinite(points).all():
        raise ValueError("an outline has a corner that is no number")
    x, y = points.T
    area = 0.5 * abs(float(np.dot(x, np.roll(y, 1)) - np.dot(y, np.roll(x, 1))))

    def draw(size: tuple[int, int]) -> np.ndarray:
        height, width = size
        # Each edge changes inside to outside, or the reverse, from where it crosses a row.
        changes = np.zeros((height, width + 1), np.int32)
        for one, other in zip(points, np.roll(points, -1, axis=0), strict=True):
            (x0, y0), (x1, y1) = sorted((one.tolist(), other.tolist()), key=lambda each: each[1])
            rows = np.arange(max(0, math.ceil(y0 - 0.5)), min(height, math.ceil(y1 - 0.5)))
            if rows.size:
                crossings = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
                columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)
                changes[rows, columns] += 1  # once in each row
        inside: np.ndarray = np.cumsum(changes[:, :width], axis=1) % 2 == 1
        return inside

    return Shape(name, area, draw)
