"""Finds out what the annotation files of a dataset are, and reads them."""

from pathlib import Path
from typing import Any

from petseg.data.coco import is_coco, read_coco
from petseg.data.labelme import read_labelme
from petseg.data.outlines import Annotations
from petseg.data.yolo import read_yolo
from petseg_runtime.json_text import parse_json

FORMATS = (
    "a COCO JSON file, the data.yaml of a YOLO dataset with outlines, or a folder with one of "
    "these or with the JSON files of LabelMe"
)


def read_annotations(source: Path, images: Path | None) -> Annotations:
    """Reads the outlines in a file or a folder.

    Args:
        source: A COCO JSON file, the data.yaml of YOLO, or a folder with these or with the JSON
            files of LabelMe.
        images: The folder of the images of COCO, where it is not found by itself.

    Returns:
        The classes and images.

    Raises:
        FileNotFoundError: If there is nothing to read, or an image is missing.
        ValueError: If a file is not understood.
        ImportError: If a package of `petseg[convert]` is missing.
    """
    if not source.exists():
        raise FileNotFoundError(f"`source` must be {FORMATS}. Received: {source}.")
    if source.is_file() and source.suffix.lower() in (".yaml", ".yml"):
        return read_yolo(source)
    if source.is_dir():
        settings = sorted([*source.glob("*.yaml"), *source.glob("*.yml")])
        if len(settings) == 1:
            return read_yolo(settings[0])
        records = {path: _parse(path) for path in sorted(source.rglob("*.json"))}
    else:
        records = {source: _parse(source)} if source.suffix.lower() == ".json" else {}
    coco = {path: record for path, record in records.items() if is_coco(record)}
    labelme = {path: record for path, record in records.items() if "shapes" in record}
    if bool(coco) == bool(labelme):
        found = "both COCO and LabelMe files" if coco else "none of these"
        raise ValueError(f"`source` must be {FORMATS}. Received: {source}, which holds {found}.")
    return read_coco(coco, images) if coco else read_labelme(labelme)


def _parse(path: Path) -> dict[str, Any]:
    try:
        record = parse_json(path.read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is no JSON file: {error}.") from error
    return record if isinstance(record, dict) else {}
