"""Reads annotations in the format of YOLO with outlines."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from petseg.data.folder_names import SPLIT_NAMES
from petseg.data.outlines import AnnotatedImage, Annotations, Shape, polygon
from petseg.data.split_lists import trailing_path
from petseg.data.yaml_files import read_yaml
from petseg_runtime.image_io import is_image_name

# Some tools draw outlines a little over the edge of the image. Farther out are no fractions, but
# pixels.
OVERSHOOT = 0.01


def read_yolo(path: Path) -> Annotations:
    """Reads a YOLO dataset with outlines.

    Args:
        path: Its data.yaml.

    Returns:
        The classes and images. An image without a file of labels has no objects.

    Raises:
        FileNotFoundError: If a folder, an image or all labels of a split are missing.
        ValueError: If a file is not understood.
    """
    record = read_yaml(path)
    names = record.get("names") if isinstance(record, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise ValueError(
            f"{path} must hold names, the classes of the dataset. Received: {names!r}."
        )
    if record.get("kpt_shape"):
        raise ValueError(
            f"{path} must describe outlines. Received: keypoints (kpt_shape), whose labels hold a "
            "box and points, not the corners of an outline. Export the labels for segmentation."
        )
    classes = tuple(str(names[index]) for index in sorted(names))
    found: list[AnnotatedImage] = []
    skipped = 0
    for split in SPLIT_NAMES:
        if not record.get(split):
            continue
        images = _find_images(path, record, split)
        label_files = {image: _label_file(image) for image in images}
        if images and not any(file.is_file() for file in label_files.values()):
            image, file = next(iter(label_files.items()))
            raise FileNotFoundError(
                f"No image of {split} has a file of labels. Expected {file} for {image}. Add the "
                f"labels, or remove {split} from {path}."
            )
        for image, name in images.items():
            outlines: list[tuple[str, np.ndarray]] = []
            for number, line in _lines(label_files[image]):
                outline = _outline(line, names, f"{label_files[image]}, line {number},", path)
                if outline is None:
                    skipped += 1
                else:
                    outlines.append(outline)
            found.append(AnnotatedImage(image, name, split, None, _shapes(outlines)))
    return Annotations(classes, found, skipped)


def _find_images(path: Path, record: dict[str, Any], split: str) -> dict[Path, str]:
    """Finds the images of a split, each with its name in the new folder."""
    entries = record[split] if isinstance(record[split], list) else [record[split]]
    if not all(isinstance(entry, str) for entry in entries):
        raise ValueError(
            f"{path} must give a folder, a text file that lists images, or several of these for "
            f"{split}. Received: {record[split]!r}."
        )
    found: dict[Path, str] = {}
    for entry in entries:
        place = _find(entry, _bases(path, record))
        if place is None:
            expected = path.parent / str(record.get("path") or ".") / entry
            raise FileNotFoundError(f"{expected} is missing, which {path} gives for {split}.")
        if place.is_dir():
            images = sorted(filter(is_image_name, place.rglob("*")))
            top = place
        else:
            images = _listed_images(place, [place.parent, *_bases(path, record)])
            top = Path(os.path.commonpath([image.parent for image in images]))
        for image in images:
            found.setdefault(image, "_".join(image.relative_to(top).parts))
    return found


def _bases(path: Path, record: dict[str, Any]) -> list[Path]:
    """Lists the folders that the paths in a data.yaml may be relative to."""
    return [path.parent / str(record.get("path") or "."), path.parent]


def _find(entry: str, bases: list[Path]) -> Path | None:
    """Finds a file or a folder by its path, which may begin with ../ or ./ without need."""
    # Roboflow writes ../train/images for a folder beside data.yaml.
    inside = "/".join(part for part in entry.split("/") if part not in ("..", "."))
    for place in (*(base / entry for base in bases), *(base / inside for base in bases)):
        if place.exists():
            return place
    return None


def _listed_images(path: Path, bases: list[Path]) -> list[Path]:
    """Reads the images that a text file lists, one in each line."""
    images: dict[Path, None] = {}
    for number, line in _lines(path):
        image = _find(line.replace("\\", "/"), bases)
        if image is None:  # The list may have the paths of another machine.
            image = next(filter(None, (trailing_path(base, line) for base in bases)), None)
        if image is None:
            raise FileNotFoundError(
                f"{line}, which {path}, line {number}, lists, is missing. Looked in "
                f"{', '.join(map(str, dict.fromkeys(bases)))}."
            )
        images[image.absolute()] = None
    if not images:
        raise ValueError(f"{path} must list images, one in each line. Received: an empty file.")
    return list(images)


def _lines(path: Path) -> list[tuple[int, str]]:
    """Reads the lines of a text file that are not empty, each with its number. None if missing."""
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be a text file in UTF-8. Received: {error}.") from error
    lines = enumerate(text.splitlines(), 1)
    return [(number, line.strip()) for number, line in lines if line.strip()]


def _label_file(image: Path) -> Path:
    """Finds the labels of an image: `labels` stands for the last `images` in its path."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _outline(
    line: str, names: dict[int, Any], where: str, settings: Path
) -> tuple[str, np.ndarray] | None:
    """Reads the class and the corners in a line of labels. None if it is a box."""
    label, *values = line.split()
    if not label.isdecimal():
        raise ValueError(f"{where} must begin with the number of a class. Received: {label!r}.")
    if int(label) not in names:
        raise ValueError(
            f"{where} has class {label}, which is not in names of {settings}. Expected: "
            f"{', '.join(map(str, sorted(names)))}."
        )
    if len(values) == 4:
        return None
    try:
        points = np.array([float(value) for value in values])
    except ValueError as error:
        raise ValueError(f"{where} must hold numbers. Received: {line[:60]!r}.") from error
    if len(points) % 2 or len(points) < 6:
        raise ValueError(
            f"{where} must hold x and y of three or more corners after the class: an even number "
            f"of values, at least six. Received: {len(points)} values."
        )
    is_outside = ~((points >= -OVERSHOOT) & (points <= 1 + OVERSHOOT))
    if is_outside.any():
        raise ValueError(
            f"{where} must give x and y as fractions of the width and the height of the image, "
            f"0 to 1. Received: {values[int(np.argmax(is_outside))]}. Divide pixels by the width "
            "and the height."
        )
    return str(names[int(label)]), points.clip(0, 1).reshape(-1, 2)


def _shapes(
    outlines: list[tuple[str, np.ndarray]],
) -> Callable[[tuple[int, int]], list[Shape]]:
    def shapes(size: tuple[int, int]) -> list[Shape]:
        scale = (size[1], size[0])
        return [polygon(name, points * scale) for name, points in outlines]

    return shapes
