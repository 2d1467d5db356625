"""Reads annotations in the format of COCO (Lin et al., arXiv:1405.0312)."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from petseg.data.outlines import AnnotatedImage, Annotations, Shape, split_of


def is_coco(record: dict[str, Any]) -> bool:
    """Tells a COCO file from other JSON files.

    Args:
        record: What the file holds.

    Returns:
        Whether it lists images, annotations and categories.
    """
    return all(isinstance(record.get(key), list) for key in ("images", "annotations", "categories"))


def read_coco(records: dict[Path, dict[str, Any]], images: Path | None) -> Annotations:
    """Reads COCO files.

    Args:
        records: What each file holds.
        images: The folder of the images, or None to look near the files.

    Returns:
        The classes and images. Categories that no annotation has are left out.

    Raises:
        FileNotFoundError: If an image or the folder of the images is missing.
        ValueError: If a file is not understood, or several files are not told apart by splits.
    """
    splits = {path: split_of(path.stem, path.parent.name) for path in records}
    if len(records) > 1 and (None in splits.values() or len(set(splits.values())) < len(records)):
        raise ValueError(
            "`source` must hold one COCO file for each split, with train, val or test in its name "
            f"or that of its folder. Received: {', '.join(map(str, records))}."
        )
    used: dict[int, str] = {}
    found: list[AnnotatedImage] = []
    skipped = 0
    for path, record in records.items():
        try:
            names = {int(each["id"]): str(each["name"]) for each in record["categories"]}
            by_image: dict[Any, list[dict[str, Any]]] = {
                each["id"]: [] for each in record["images"]
            }
            for annotation in record["annotations"]:
                if not annotation.get("segmentation"):
                    skipped += 1
                    continue
                category = _checked_category(annotation, names, by_image)
                if used.setdefault(category, names[category]) != names[category]:
                    raise ValueError(f"category {category} has another name in another file")
                by_image[annotation["image_id"]].append(annotation)
            folder = _find_images(path, record, images)
            for each in record["images"]:
                name = str(each["file_name"]).replace("\\", "/")
                if not (folder / name).is_file():
                    raise FileNotFoundError(f"{folder / name}, which {path} lists, is missing.")
                found.append(
                    AnnotatedImage(
                        path=folder / name,
                        name=name.replace("/", "_"),
                        split=splits[path] if len(records) > 1 else None,
                        size=(int(each["height"]), int(each["width"])),
                        shapes=_Shapes(by_image[each["id"]], names, path),
                    )
                )
        except KeyError as error:
            raise ValueError(f"{path} is no valid COCO file: {error} is missing.") from error
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} is no valid COCO file: {error}.") from error
    classes = tuple(dict.fromkeys(used[category] for category in sorted(used)))
    return Annotations(classes, found, skipped)


def _checked_category(
    annotation: dict[str, Any], names: dict[int, str], images: Collection[Any]
) -> int:
    """Checks an annotation, as far as that needs no image, and returns its category."""
    title = f"annotation {annotation.get('id')}"
    for key in ("category_id", "image_id"):
        if key not in annotation:
            raise ValueError(f"{title} has no {key}")
    category = int(annotation["category_id"])
    if category not in names:
        raise ValueError(f"category {category} of {title} is not in categories")
    if annotation["image_id"] not in images:
        raise ValueError(f"image {annotation['image_id']!r} of {title} is not in images")
    outline = annotation["segmentation"]
    # pycocotools takes four numbers for a box, and leaves out the last one of an odd number.
    for each in outline if isinstance(outline, list) else []:
        is_polygon = isinstance(each, list) and len(each) >= 6 and len(each) % 2 == 0
        if not is_polygon:
            count = f", {len(each)} values" if isinstance(each, list) else ""
            raise ValueError(
                f"a polygon of {title} must be a list of x and y of three or more corners, an even "
                f"number of values. Received: {str(each)[:60]}{count}"
            )
    return category


def _find_images(path: Path, record: dict[str, Any], images: Path | None) -> Path:
    """Finds the folder of the images of a COCO file."""
    if not record["images"]:
        raise ValueError("it lists no images")
    subset = re.sub("^instances_", "", path.stem)
    near = [
        base / name
        for base in (path.parent, path.parent.parent)
        for name in (".", "images", subset, f"images/{subset}")
    ]
    folders = near if images is None else [images, images / subset]
    first = str(record["images"][0]["file_name"])
    for folder in folders:
        if (folder / first).is_file():
            return folder
    raise FileNotFoundError(
        f"{first}, which {path} lists, is missing. Pass its folder as `images`. "
        f"Looked in {', '.join(map(str, folders))}."
    )


@dataclass(frozen=True)
class _Shapes:
    annotations: list[dict[str, Any]]
    names: dict[int, str]
    file: Path

    def __call__(self, size: tuple[int, int]) -> list[Shape]:
        try:
            from pycocotools import mask as coco
        except ImportError as error:
            raise ImportError(
                'COCO files need pycocotools: pip install "petseg[convert]".'
            ) from error
        shapes = []
        for annotation in self.annotations:
            outline = annotation["segmentation"]
            try:
                if isinstance(outline, dict) and isinstance(outline["counts"], str):
                    rle = outline
                else:
                    parts = coco.frPyObjects(outline, *size)
                    rle = coco.merge(parts) if isinstance(parts, list) else parts
                if tuple(rle["size"]) != size:
                    raise ValueError(f"its size is {rle['size']}, that of the image {size}")
            except Exception as error:  # pycocotools raises this very class
                raise ValueError(
                    f"{self.file} is no valid COCO file: annotation {annotation.get('id')} has no "
                    f"valid outline: {error}"
                ) from error
            name = self.names[int(annotation["category_id"])]
            draw = _decoder(coco.decode, rle)
            shapes.append(Shape(name, float(coco.area(rle)), draw))
        return shapes


def _decoder(decode: Callable[[Any], Any], rle: Any) -> Callable[[tuple[int, int]], np.ndarray]:
    return lambda _size: np.asarray(decode(rle), bool)
