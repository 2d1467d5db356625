"""Reads annotations in the format of YOLO with outlines."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from petseg.data.folder_names import SPLIT_NAMES
from petseg.data.outlines import AnnotatedImage, Annotations, Shape, polygon
from petseg.data.yaml_files import read_yaml
from petseg_runtime.image_io import is_image_name


def read_yolo(path: Path) -> Annotations:
    """Reads a YOLO dataset with outlines.

    Args:
        path: Its data.yaml.

    Returns:
        The classes and images. An image without a file of labels has no objects.

    Raises:
        FileNotFoundError: If a folder is missing.
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
    classes = tuple(str(names[index]) for index in sorted(names))
    outlines: dict[Path, list[tuple[str, np.ndarray]]] = {}
    found: list[AnnotatedImage] = []
    skipped = 0
    for split in SPLIT_NAMES:
        if not record.get(split):
            continue
        folder = _find_images(path, record, split)
        for image in sorted(filter(is_image_name, folder.rglob("*"))):
            label_file = _label_file(image)
            lines = label_file.read_text().splitlines() if label_file.is_file() else []
            outlines[image] = []
            for line in filter(str.strip, lines):
                name, points = _outline(line, names, label_file)
                if len(points) < 3:
                    skipped += 1
                else:
                    outlines[image].append((name, points))
            name = "_".join(image.relative_to(folder).parts)
            shapes = _shapes(outlines[image])
            found.append(AnnotatedImage(image, name, split, None, shapes))
    return Annotations(classes, found, skipped)


def _find_images(path: Path, record: dict[str, Any], split: str) -> Path:
    entry = record[split]
    if not isinstance(entry, str):
        raise ValueError(f"{path} must give one folder for {split}. Received: {entry!r}.")
    base = path.parent
    # Roboflow writes ../train/images for a folder beside data.yaml.
    inside = "/".join(part for part in entry.split("/") if part not in ("..", "."))
    folders = [base / str(record.get("path") or ".") / entry, base / entry, base / inside]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise FileNotFoundError(f"{folders[0]} is missing, which {path} gives for {split}.")


def _label_file(image: Path) -> Path:
    """Finds the labels of an image: `labels` stands for the last `images` in its path."""
    parts = list(image.parts)
    for index in range(len(parts) - 2, -1, -1):
        if parts[index] == "images":
            parts[index] = "labels"
            break
    return Path(*parts).with_suffix(".txt")


def _outline(line: str, names: dict[int, Any], file: Path) -> tuple[str, np.ndarray]:
    try:
        label, *values = line.split()
        name = str(names[int(label)])
        points = np.array([float(value) for value in values])
    except (ValueError, KeyError) as error:
        raise ValueError(f"{file} has a line that is no outline: {line[:60]!r}.") from error
    # Four numbers are a box.
    is_outline = len(points) >= 6 and len(points) % 2 == 0 and np.isfinite(points).all()
    return name, points.reshape(-1, 2) if is_outline else np.empty((0, 2))


def _shapes(
    outlines: list[tuple[str, np.ndarray]],
) -> Callable[[tuple[int, int]], list[Shape]]:
    def shapes(size: tuple[int, int]) -> list[Shape]:
        scale = (size[1], size[0])
        return [polygon(name, points * scale) for name, points in outlines]

    return shapes
