"""Which files of a folder belong together, decided by their names alone."""

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from petseg.data.name_hash import name_bucket
from petseg.data.oxford_pets import PET_CLASSES, in_val
from petseg_runtime import validation
from petseg_runtime.image_io import is_image_name

Pairs = list[tuple[Path, Path]]

SPLITS = ("train", "val", "test")

# By convention the label of pixels that nobody labelled, for `ignore_class`.
UNLABELLED = 255


@dataclass(frozen=True)
class Layout:
    """The files of a dataset folder.

    Attributes:
        pairs: For each split its pairs of an image file and a mask file.
        unpaired: For each file that lacks its partner what is wrong, such as "is missing".
        misplaced: For each folder whose images are not read, the reason and a remedy.
        class_names: Name of each class, in the order of the labels.
        first_label: The number that stands for class 0 in the mask files.
    """

    pairs: dict[str, Pairs]
    unpaired: dict[Path, str]
    misplaced: dict[Path, str]
    class_names: tuple[str, ...]
    first_label: int

    @property
    def labels(self) -> range:
        """The numbers that stand for classes in the mask files, class 0 first."""
        return range(self.first_label, self.first_label + len(self.class_names))

    @property
    def empty_splits(self) -> list[str]:
        """What is wrong with each split without a pair, and a remedy."""
        return [
            f"has no image for {split}. Add images, or set the splits by subfolders train, val and "
            "test."
            for split, pairs in self.pairs.items()
            if not pairs
        ]


def find_layout(
    root: str | os.PathLike[str], class_names: Sequence[str] | None = None, channels: int = 3
) -> Layout:
    """Finds the files of a dataset folder: your own, or the official archives of Oxford-IIIT Pet.

    No file is opened. See `petseg.load_folder` for the layouts.

    Args:
        root: The folder.
        class_names: Name of each class in your own masks, in the order of the labels. None for the
            official archives.
        channels: Number of channels of your own images. Where it is not 3, `.npy` files are images.

    Returns:
        The layout.

    Raises:
        FileNotFoundError: If `root` or one of the folders that it must hold is missing.
        ValueError: If `class_names` does not fit the folder, or two files differ by the suffix
            alone.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"`root` must be a folder. Received: {root}.")
    names = resolve_class_names(root, class_names)
    return _official_layout(root) if _is_official(root) else _own_layout(root, names, channels)


def resolve_class_names(
    root: str | os.PathLike[str], values: Sequence[str] | None, *, name: str = "class_names"
) -> tuple[str, ...]:
    """Returns the class names of a dataset folder.

    Args:
        root: The folder.
        values: Name of each class in your own masks, in the order of the labels. None for the
            official archives of Oxford-IIIT Pet.
        name: The name of the argument that gave `values`, for the error.

    Returns:
        `values`, or those of Oxford-IIIT Pet.

    Raises:
        ValueError: If `values` is not None for the official archives, or is not 2 to 255 different
            names for your own masks.
    """
    if _is_official(Path(root).expanduser()):
        if values is not None:
            raise ValueError(
                f"`{name}` must be None for the official archives of Oxford-IIIT Pet, which {root} "
                f"holds: the classes are {', '.join(PET_CLASSES)}. Received: {values!r}."
            )
        return PET_CLASSES
    return checked_class_names(name, values)


def checked_class_names(name: str, values: Sequence[str] | None) -> tuple[str, ...]:
    """Checks the class names of your own masks.

    Args:
        name: The argument's name, for the error.
        values: What was received.

    Returns:
        `values` as a tuple.

    Raises:
        ValueError: If `values` is not 2 to 255 different names.
    """
    names = validation.class_names(name, values)
    if len(names) > UNLABELLED:
        raise ValueError(
            f"`{name}` must hold at most {UNLABELLED} names, because label {UNLABELLED} marks "
            f"unlabelled pixels. Received: {len(names)} names."
        )
    return names


def _is_official(root: Path) -> bool:
    return (root / "annotations" / "trimaps").is_dir()


def _official_layout(root: Path) -> Layout:
    images, trimaps = root / "images", root / "annotations" / "trimaps"
    present = {*_files(images), *_files(trimaps)}
    pairs: dict[str, Pairs] = {split: [] for split in SPLITS}
    unpaired: dict[Path, str] = {}
    for listing in ("trainval.txt", "test.txt"):
        path = trimaps.parent / listing
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing. Unpack annotations.tar.gz in {root} again."
            )
        names = [
            os.fsdecode(line.split()[0]) for line in path.read_bytes().splitlines() if line.strip()
        ]
        if not names:
            raise ValueError(f"{path} is empty. Unpack annotations.tar.gz in {root} again.")
        # The name that TFDS gives it.
        is_val = in_val([os.fsencode(f"{name}.jpg") for name in names]).numpy()
        for name, held_out in zip(names, is_val, strict=True):
            pair = images / f"{name}.jpg", trimaps / f"{name}.png"
            absent = [path for path in pair if path not in present]
            unpaired |= dict.fromkeys(absent, f"is listed in {listing} but missing")
            if not absent:
                split = "test" if listing == "test.txt" else "val" if held_out else "train"
                pairs[split].append(pair)
    return Layout(pairs, unpaired, {}, PET_CLASSES, first_label=1)


def _own_layout(root: Path, class_names: tuple[str, ...], channels: int) -> Layout:
    pairs: dict[str, Pairs] = {split: [] for split in SPLITS}
    unpaired: dict[Path, str] = {}
    misplaced: dict[Path, str] = {}
    if (root / "train").is_dir():
        for folder in filter(_holds_images, (root / "images", root / "masks")):
            misplaced[folder] = (
                f"is not read, because {root / 'train'} exists. Move its files to train, val and "
                f"test, or move the folder out of {root}."
            )
        for split in SPLITS:
            pairs[split], alone = _pair_up(root / split, channels)
            unpaired |= alone
            misplaced |= _subfolders(root / split)
    else:
        for folder in filter(_holds_images, (root / "val" / "images", root / "test" / "images")):
            misplaced[folder] = (
                f"is not read, because {root / 'train'} does not exist. Create it, with images and "
                f"masks, or move the folder out of {root}."
            )
        misplaced |= _subfolders(root)
        every_pair, unpaired = _pair_up(root, channels)
        buckets = (
            name_bucket([os.fsencode(image.name) for image, _ in every_pair]).numpy()
            if every_pair
            else ()
        )
        for pair, bucket in zip(every_pair, buckets, strict=True):
            pairs[{0: "val", 1: "test"}.get(int(bucket), "train")].append(pair)
    return Layout(pairs, unpaired, misplaced, class_names, first_label=0)


def _pair_up(folder: Path, channels: int) -> tuple[Pairs, dict[Path, str]]:
    images, masks = _by_stem(folder / "images", channels), _by_stem(folder / "masks")
    pairs = [(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]
    unpaired = {}
    alike = set.intersection(
        *({unicodedata.normalize("NFC", stem) for stem in files} for files in (images, masks))
    )
    for stem in sorted(images.keys() ^ masks.keys()):
        path, other = (images[stem], "masks") if stem in images else (masks[stem], "images")
        unpaired[path] = f"has no file of the same name in {folder / other}"
        if unicodedata.normalize("NFC", stem) in alike:
            unpaired[path] += (
                ", only one that looks the same and differs in Unicode normalization (NFC or NFD, "
                "which macOS often writes)"
            )
    return pairs, unpaired


def _subfolders(folder: Path) -> dict[Path, str]:
    """Finds the folders with images in `folder/images` and `folder/masks`, and says what to do."""
    return {
        path: f"is not read, because it is a subfolder. Move its files to {path.parent}."
        for kind in ("images", "masks")
        for path in _files(folder / kind)
        # A folder with the name of an image is taken for one, and cannot be read.
        if not path.name.startswith(".") and not is_image_name(path) and _holds_images(path)
    }


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(map(is_image_name, folder.rglob("*")))


def _by_stem(folder: Path, channels: int = 3) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing. `root` must hold images/ and masks/, or train/, val/ and test/ "
            "with both in each, or images/ and annotations/ of the official archives."
        )
    files: dict[str, Path] = {}
    for path in _files(folder):
        if not is_image_name(path, channels):
            continue
        if path.stem in files:
            raise ValueError(
                f"{path} and {files[path.stem].name} have the same name except for the suffix, so "
                "images and masks cannot be matched. Rename or remove one."
            )
        files[path.stem] = path
    return files


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []
