"""Which files of a folder belong together, from their names alone."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from petseg.data.oxford_pets import PET_CLASSES, in_val, name_bucket

Pairs = list[tuple[Path, Path]]

SPLITS = ("train", "val", "test")
SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})

# By custom the label of pixels that nobody labelled, for `ignore_class`.
UNLABELLED = 255


@dataclass(frozen=True)
class Layout:
    """Pairs of image and mask by split, what is wrong with files that have no partner, and labels.

    `first_label` is the number that stands for class 0 in the mask files.
    """

    pairs: dict[str, Pairs]
    unpaired: dict[Path, str]
    class_names: tuple[str, ...]
    first_label: int

    @property
    def labels(self) -> range:
        """The numbers that stand for classes in the mask files, class 0 first."""
        return range(self.first_label, self.first_label + len(self.class_names))


def find_layout(root: str | os.PathLike[str], class_names: Sequence[str] | None = None) -> Layout:
    """The layout of a folder of one's own, or of the official archives as unpacked.

    Raises `FileNotFoundError` when `root` is neither, `ValueError` for bad `class_names`.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"`root` must be a folder. Received: {root}.")
    if (root / "annotations" / "trimaps").is_dir():
        if class_names is not None:
            raise ValueError(
                f"`class_names` must be None for the official archives, which {root} holds: theirs "
                f"are {PET_CLASSES}. Received: {class_names!r}."
            )
        return _official_layout(root)
    return _own_layout(root, _checked(class_names))


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
        names = [line.split()[0] for line in path.read_text().splitlines() if line.strip()]
        is_val = in_val([f"{name}.jpg" for name in names]).numpy()  # the name that TFDS gives it
        for name, held_out in zip(names, is_val, strict=True):
            pair = images / f"{name}.jpg", trimaps / f"{name}.png"
            absent = [path for path in pair if path not in present]
            unpaired |= dict.fromkeys(absent, f"is listed in {listing} but missing")
            if not absent:
                split = "test" if listing == "test.txt" else "val" if held_out else "train"
                pairs[split].append(pair)
    return Layout(pairs, unpaired, PET_CLASSES, first_label=1)


def _own_layout(root: Path, class_names: tuple[str, ...]) -> Layout:
    pairs: dict[str, Pairs] = {split: [] for split in SPLITS}
    unpaired: dict[Path, str] = {}
    if (root / "train").is_dir():
        for split in SPLITS:
            pairs[split], alone = _pair_up(root / split)
            unpaired |= alone
    else:
        every_pair, unpaired = _pair_up(root)
        buckets = name_bucket([image.name for image, _ in every_pair]).numpy() if every_pair else ()
        for pair, bucket in zip(every_pair, buckets, strict=True):
            pairs[{0: "val", 1: "test"}.get(int(bucket), "train")].append(pair)
    return Layout(pairs, unpaired, class_names, first_label=0)


def _pair_up(folder: Path) -> tuple[Pairs, dict[Path, str]]:
    images, masks = _by_stem(folder / "images"), _by_stem(folder / "masks")
    pairs = [(images[stem], masks[stem]) for stem in sorted(images.keys() & masks.keys())]
    unpaired = {}
    for stem in sorted(images.keys() ^ masks.keys()):
        path, other = (images[stem], "masks") if stem in images else (masks[stem], "images")
        unpaired[path] = f"has no file of the same name in {folder / other}"
    return pairs, unpaired


def _by_stem(folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        raise FileNotFoundError(
            f"{folder} is missing. `root` must hold images/ and masks/, or train/, val/ and test/ "
            "with both in each, or images/ and annotations/ of the official archives."
        )
    files: dict[str, Path] = {}
    for path in _files(folder):
        if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
            if path.stem in files:
                raise ValueError(
                    f"{path} and {files[path.stem].name} have the same name but for the suffix, so "
                    "that it isn't clear which mask is whose. Rename or remove one."
                )
            files[path.stem] = path
    return files


def _files(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _checked(class_names: Sequence[str] | None) -> tuple[str, ...]:
    names = () if class_names is None or isinstance(class_names, str) else tuple(class_names)
    distinct = {name for name in names if isinstance(name, str)}
    if not 2 <= len(names) == len(distinct) <= UNLABELLED:
        raise ValueError(
            "`class_names` must be two or more different names, in the order of the labels in your "
            f"masks. Received: {class_names!r}."
        )
    return names
