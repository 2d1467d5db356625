"""Splits in text files: train.txt, val.txt and test.txt."""

import os
from pathlib import Path

from petseg.data.folder_names import SPLIT_NAMES, SPLITS
from petseg.data.pairing import Pairing, Pairs
from petseg_runtime.image_io import is_image_name

LIST_FOLDERS = (".", "ImageSets/Segmentation", "splits")


def find_lists(root: Path) -> dict[str, Path]:
    """Finds the lists of the splits.

    Args:
        root: The folder of the dataset.

    Returns:
        The text file of each split that has one. Empty where there is none of train.
    """
    for folder in LIST_FOLDERS:
        found: dict[str, Path] = {}
        for split in SPLITS:
            paths = [root / folder / f"{name}.txt" for name in SPLIT_NAMES[split]]
            present = [path for path in paths if path.is_file()]
            if present:
                found[split] = present[0]
        if "train" in found:
            return found
    return {}


def listed_pairs(
    root: Path, lists: dict[str, Path], pairing: Pairing | None
) -> tuple[dict[str, Pairs], dict[Path, str]]:
    """Reads the pairs of each split from its list.

    A line is the name or the path of an image, or the paths of an image and its mask with a space
    between. Of a path, the last parts count that exist in `root`.

    Args:
        root: The folder of the dataset.
        lists: The text file of each split.
        pairing: The files of the folders of images and masks, for lines without a mask. None where
            there are no such folders.

    Returns:
        The pairs of each split, and for each file that lacks its partner what is wrong. A list of
        test whose images all lack masks counts as none.

    Raises:
        ValueError: If a list is empty, or two lists name the same image.
    """
    pairs: dict[str, Pairs] = {}
    unpaired: dict[Path, str] = {}
    seen: dict[Path, Path] = {}
    for split, path in lists.items():
        lines = [line.strip() for line in os.fsdecode(path.read_bytes()).splitlines()]
        lines = [line for line in lines if line]
        if not lines:
            raise ValueError(f"{path} must list the images of {split}. Received: an empty file.")
        of_split: Pairs = []
        alone: dict[Path, str] = {}
        for line in lines:
            image, mask = _find(root, line, pairing)
            if image is None:
                alone[root / line] = f"is listed in {path.name} but missing"
            elif mask is None:
                alone[image] = f"is listed in {path.name} but has no mask"
            elif seen.setdefault(image, path) != path:
                raise ValueError(
                    f"{path} must not list images of another split. Received: {line}, which "
                    f"{seen[image].name} lists too. Remove it from one of them."
                )
            else:
                of_split.append((image, mask))
        if split == "test" and not of_split:
            continue  # Many published test sets come without masks.
        pairs[split] = of_split
        unpaired |= alone
    return pairs, unpaired


def _find(root: Path, line: str, pairing: Pairing | None) -> tuple[Path | None, Path | None]:
    """Finds the image and the mask that a line names."""
    parts = line.replace("\\", "/").split()
    if len(parts) == 2 and all(is_image_name(Path(part), arrays=True) for part in parts):
        return trailing_path(root, parts[0]), trailing_path(root, parts[1])
    name = Path(line.replace("\\", "/"))
    stem = name.stem if is_image_name(name, arrays=True) else name.name
    if pairing is None:
        return trailing_path(root, line), None
    return pairing.pairs.get(stem, (pairing.images.get(stem), None))


def trailing_path(root: Path, path: str) -> Path | None:
    """Finds the file in a folder whose path ends like another path, by as many parts as possible.

    Args:
        root: The folder.
        path: The path, perhaps of another machine.

    Returns:
        The file, or None.
    """
    parts = [part for part in path.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    for start in range(len(parts)):
        file = root.joinpath(*parts[start:])
        if file.is_file():
            return file
    return None
