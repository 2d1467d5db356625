"""Reads annotations in the format of LabelMe."""

import base64
import io
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from petseg.data.outlines import (
    BACKGROUND,
    AnnotatedImage,
    Annotations,
    Shape,
    polygon,
    split_of,
)

# LabelMe's names of the background and of pixels that do not count.
BACKGROUND_LABEL, IGNORE_LABEL = "_background_", "__ignore__"


def read_labelme(records: dict[Path, dict[str, Any]]) -> Annotations:
    """Reads files of LabelMe.

    Args:
        records: What each file holds.

    Returns:
        The classes, in the order of their first appearance, and the images.

    Raises:
        FileNotFoundError: If an image is missing.
        ValueError: If a file is not understood.
    """
    classes: dict[str, None] = {}
    found = []
    skipped = 0
    splits = {path: split_of(path.parent.name) for path in records}
    if None in splits.values() or len(set(splits.values())) == 1:
        splits = dict.fromkeys(records)
    for path, record in records.items():
        try:
            shapes = [
                shape
                for index, each in enumerate(record["shapes"])
                for shape in _shapes(each, index)
            ]
            skipped += len(record["shapes"]) - len(shapes)
            image = path.parent / str(record["imagePath"]).replace("\\", "/")
            height, width = record.get("imageHeight"), record.get("imageWidth")
            size = (int(height), int(width)) if height and width else None
        except (
            *(KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError),
            *(OSError, Image.DecompressionBombError),
        ) as error:
            fault = f"{error} is missing" if isinstance(error, KeyError) else error
            raise ValueError(f"{path} is no file of LabelMe: {fault}.") from error
        if not image.is_file():
            raise FileNotFoundError(f"{image}, the image of {path}, is missing.")
        classes |= dict.fromkeys(shape.name for shape in shapes if shape.name is not None)
        found.append(
            AnnotatedImage(
                path=image,
                name=path.stem + image.suffix,
                split=splits[path],
                size=size,
                shapes=_constant(shapes),
            )
        )
    return Annotations(tuple(classes), found, skipped)


def _constant(shapes: list[Shape]) -> Callable[[tuple[int, int]], list[Shape]]:
    return lambda _size: shapes


def _shapes(record: dict[str, Any], index: int) -> Iterator[Shape]:
    """Reads one shape, the one of that index in its file. Nothing for those that are no areas."""
    for key in ("label", "points"):
        if key not in record:
            raise ValueError(f'shape {index} has no "{key}"')
    label, kind = str(record["label"]), record.get("shape_type") or "polygon"
    name = {BACKGROUND_LABEL: BACKGROUND, IGNORE_LABEL: None}.get(label, label)
    points = np.array(record["points"], float)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(
            f"the points of shape {index} must be (x, y), not {record['points']!r:.60}"
        )
    if kind == "polygon" and len(points) >= 3:
        yield polygon(name, points)
    elif kind == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        yield polygon(name, np.array([(left, top), (right, top), (right, bottom), (left, bottom)]))
    elif kind == "circle" and len(points) == 2:
        radius = math.dist(*points)
        angles = np.linspace(0, 2 * math.pi, 64, endpoint=False)
        yield polygon(name, points[0] + radius * np.stack([np.cos(angles), np.sin(angles)], -1))
    elif kind == "mask" and record.get("mask"):
        with Image.open(io.BytesIO(base64.b64decode(record["mask"]))) as image:
            inside = np.asarray(image.convert("L")) > 0
        yield _placed(name, inside, int(points[0][0]), int(points[0][1]))


def _placed(name: str | None, inside: np.ndarray, left: int, top: int) -> Shape:
    """An object whose pixels are given for a box."""

    def draw(size: tuple[int, int]) -> np.ndarray:
        pixels = np.zeros(size, bool)
        visible = inside[max(0, -top) :, max(0, -left) :]
        window = pixels[max(0, top) :, max(0, left) :][: visible.shape[0], : visible.shape[1]]
        window[:] = visible[: window.shape[0], : window.shape[1]]
        return pixels

    return Shape(name, float(inside.sum()), draw)
