"""Converts outlines of objects to a folder of images and masks."""

import csv
import os
import shutil
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from petseg.data.annotation_files import read_annotations
from petseg.data.label_scheme import UNLABELLED, checked_class_names
from petseg.data.outlines import BACKGROUND, AnnotatedImage
from petseg_runtime.palette import class_colours
from petseg_runtime.part_folders import part_folder


def convert_labels(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    images: str | os.PathLike[str] | None = None,
) -> Path:
    """Converts COCO, YOLO or LabelMe annotations to a folder that `load_folder` reads.

    The folder gets `images`, `masks` and `classes.csv`, or the same in `train`, `val` and `test`
    where the source has splits. Images are hard links, or copies where the file system has none.
    Masks are PNG files with the index of each pixel's class. The first class is "background"; then
    come those of the source, without categories of COCO that no annotation has.

    Objects are drawn from the largest to the smallest, so that small ones are on top. Shapes of
    LabelMe with the label `__ignore__` get the label 255, no class. Boxes, points and lines are
    left out, with a warning.

    COCO needs pycocotools: `pip install "petseg[convert]"`.

    Args:
        source: A COCO JSON file, the `data.yaml` of a YOLO dataset with outlines, or a folder with
            one of these or with the JSON files of LabelMe. The files of COCO for several splits
            have train, val or test in their name or that of their folder.
        out: The new folder. Nothing is left of it if the conversion fails.
        images: The folder of COCO's images, where they are not near the JSON file.

    Returns:
        `out`.

    Raises:
        FileExistsError: If `out` exists and is not empty.
        FileNotFoundError: If there is nothing to read, an image is missing, or no image of a split
            of YOLO has a file of labels.
        ValueError: If a file or an annotation is not understood, or an image has another size than
            stated.
        ImportError: If a package of `petseg[convert]` is missing.

    Example:
        >>> petseg.data.convert_labels("instances.json", "streets", images="photos")
        >>> streets = petseg.load_folder("streets")
    """
    out = Path(out).expanduser()
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise FileExistsError(
            f"`out` must be a new or an empty folder. Received: {out}, which is there already. "
            "Choose another name or remove it."
        )
    found = read_annotations(
        Path(source).expanduser(), None if images is None else Path(images).expanduser()
    )
    if not found.images or not found.class_names:
        raise ValueError(
            f"`source` must hold images with outlines of objects. Received: {source}, with "
            f"{len(found.images)} images, {len(found.class_names)} classes and {found.skipped} "
            "annotations that are no outlines."
        )
    names = tuple(dict.fromkeys((BACKGROUND, *found.class_names)))
    names = checked_class_names("source", names)
    out.parent.mkdir(parents=True, exist_ok=True)
    with part_folder(out.parent) as parts:
        new = parts / "new"
        written: dict[tuple[str | None, str], Path] = {}
        for image in found.images:
            key = image.split, Path(image.name).stem
            if written.setdefault(key, image.path) != image.path:
                raise ValueError(
                    f"{image.path} and {written[key]} must have different names without the "
                    "suffix, because their masks are PNG files of these names. Rename one."
                )
            _write(image, names, new if image.split is None else new / image.split)
        with (new / "classes.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("label", "name"), *enumerate(names)])
        if out.exists():
            out.rmdir()
        new.rename(out)
    if found.skipped:
        warnings.warn(
            f"{found.skipped} annotations of {os.fspath(source)} are left out: they are boxes, "
            "points or lines and no areas.",
            stacklevel=2,
        )
    return out


def _write(image: AnnotatedImage, names: tuple[str, ...], folder: Path) -> None:
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    # The mask has the size of the image as it is shown. Where the annotation is of the image as it
    # is stored, the mask gets the same orientation tag.
    try:
        with Image.open(image.path) as photo:
            stored = photo.height, photo.width
            exif = photo.getexif()
    except OSError as error:
        raise ValueError(f"{image.path} cannot be read as an image: {error}.") from error
    is_turned = exif.get(ExifTags.Base.Orientation, 1) in (5, 6, 7, 8)
    shown = stored[::-1] if is_turned else stored
    size = image.size or shown
    if size not in (stored, shown):
        raise ValueError(
            f"{image.path} must have the size of its annotation, {size[0]} x {size[1]} pixels "
            f"(height x width). Received: {stored[0]} x {stored[1]}."
        )
    mask = np.zeros(size, np.uint8)
    shapes = image.shapes(size)
    # `sorted` keeps the order of equal areas: the later one is on top.
    for shape in sorted(shapes, key=lambda each: -each.area):
        mask[shape.draw(size)] = UNLABELLED if shape.name is None else names.index(shape.name)
    picture = Image.fromarray(mask)
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(names)] = class_colours(names)
    palette[UNLABELLED] = 255
    picture.putpalette(palette.tobytes())
    tag = exif if is_turned and size != shown else None
    picture.save(folder / "masks" / f"{Path(image.name).stem}.png", exif=tag)
    target = folder / "images" / image.name
    with suppress(OSError):
        os.link(image.path.resolve(), target)
    if not target.exists():
        shutil.copy2(image.path, target)
