"""Which folders of a dataset hold images and masks, and of which splits."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from petseg_runtime.image_io import is_image_name

SPLITS = ("train", "val", "test")
SPLIT_NAMES = {
    "train": ("train", "training", "Train"),
    "val": ("val", "valid", "validation", "Val"),
    "test": ("test", "testing", "Test"),
}
IMAGES, MASKS = "images", "masks"

# Names of the folder of images and of the folder of masks, where SPLIT stands for train, val or
# test. The layouts of this package come first; a folder may fit only one of the others.
SPLIT = "{split}"
OWN_LAYOUTS = (
    (f"{SPLIT}/images", f"{SPLIT}/masks"),
    (f"images/{SPLIT}", f"masks/{SPLIT}"),
    ("images", "masks"),
)
KNOWN_LAYOUTS = (
    (f"images/{SPLIT}", f"labels/{SPLIT}"),
    (f"images/{SPLIT}", f"annotations/{SPLIT}"),
    (f"{SPLIT}/images", f"{SPLIT}/labels"),
    (f"{SPLIT}/images", f"{SPLIT}/annotations"),
    (SPLIT, f"{SPLIT}annot"),  # CamVid of SegNet
    (SPLIT, f"{SPLIT}_labels"),  # CamVid of Kaggle
    (SPLIT, f"{SPLIT}_masks"),
    (SPLIT, f"{SPLIT}_annotations"),
    (f"{SPLIT}_images", f"{SPLIT}_masks"),
    (f"{SPLIT}_images", f"{SPLIT}_labels"),
    ("images", "annotations"),
    ("images", "labels"),
    ("JPEGImages", "SegmentationClass"),  # Pascal VOC, CVAT
)
# Images and masks in one folder, told apart by the ends of their names.
SHARED_LAYOUTS = ((SPLIT, SPLIT), ("images", "images"), (".", "."))


@dataclass(frozen=True)
class Folders:
    """The folders of images and masks.

    Attributes:
        images: The name of the folder of images, with `SPLIT` for the name of the split.
        masks: The name of the folder of masks.
        found: For each split that has folders of its own that of its images and that of its masks.
            Only "train" where all images are in one folder.
        notes: What a user may want to know of them.
    """

    images: str
    masks: str
    found: dict[str, tuple[Path, Path]]
    notes: tuple[str, ...] = ()

    @property
    def has_splits(self) -> bool:
        """Whether the splits have folders of their own."""
        return SPLIT in self.images or SPLIT in self.masks


def find_folders(root: Path, images: str, masks: str) -> Folders:
    """Finds the folders of images and masks.

    Args:
        root: The folder of the dataset.
        images: The name of the folder of images. With that of this package, `masks` too, other
            known layouts are found as well.
        masks: The name of the folder of masks.

    Returns:
        The folders.

    Raises:
        FileNotFoundError: If there are none, or one of a pair is missing.
        ValueError: If several layouts fit.
    """
    if (images, masks) != (IMAGES, MASKS):
        for layout in _named_layouts(images, masks):
            if _fits(root, *layout):
                return _folders(root, *layout)
        raise FileNotFoundError(
            f"{_missing(root, images, masks)} is missing. `images` and `masks` must be the names "
            f"of folders in {root}, such as images and masks or train and trainannot. "
            f"{_received(root)}"
        )
    for layout in OWN_LAYOUTS:
        if _fits(root, *layout):
            return _folders(root, *layout)
    known = [layout for layout in KNOWN_LAYOUTS if _fits(root, *layout, needs_masks=True)]
    if len(known) > 1:
        listed = " or ".join(f"{one} with {other}" for one, other in known)
        raise ValueError(
            f"`root` must hold one pair of folders of images and masks. Received: {root}, which "
            f"holds {listed.replace(SPLIT, 'train')}. Pass the names as `images` and `masks`."
        )
    if not known:
        known = [layout for layout in SHARED_LAYOUTS if _fits(root, *layout, needs_masks=True)]
    if not known:
        raise FileNotFoundError(
            f"{_missing(root, images, masks)} is missing. `root` must hold images/ and masks/, or "
            "train/, val/ and test/ with both in each, or images/ and annotations/ of the official "
            f"archives. Pass other names as `images` and `masks`. {_received(root)}"
        )
    return _folders(root, *known[0])


def _named_layouts(images: str, masks: str) -> Sequence[tuple[str, str]]:
    """Lists the layouts that two names of folders can mean."""
    of_split = tuple(re.sub("training|train", SPLIT, name, flags=re.I) for name in (images, masks))
    if of_split != (images, masks):
        return [(of_split[0], of_split[1])]
    return [
        (f"{SPLIT}/{images}", f"{SPLIT}/{masks}"),
        (f"{images}/{SPLIT}", f"{masks}/{SPLIT}"),
        (images, masks),
    ]


def _fits(root: Path, images: str, masks: str, *, needs_masks: bool = False) -> bool:
    """Tells whether both folders of a layout exist, those of train where the splits have folders.

    Args:
        root: The folder of the dataset.
        images: The name of the folder of images.
        masks: The name of the folder of masks.
        needs_masks: Whether there must be an image file directly in the folder of masks.
    """
    return any(
        one.is_dir() and other.is_dir() and (not needs_masks or has_images(other))
        for one, other in _candidates(root, images, masks, "train")
    )


def _folders(root: Path, images: str, masks: str) -> Folders:
    if SPLIT not in images + masks:
        return Folders(images, masks, {"train": (root / images, root / masks)})
    found: dict[str, tuple[Path, Path]] = {}
    notes: list[str] = []
    for split in SPLITS:
        pairs = _candidates(root, images, masks, split)
        whole = [pair for pair in pairs if pair[0].is_dir() and pair[1].is_dir()]
        if len(whole) > 1:
            raise ValueError(
                f"`root` must have one folder for {split}. Received: {root}, which holds "
                f"{' and '.join(str(pair[0].relative_to(root)) for pair in whole)}. Rename one."
            )
        if whole:
            found[split] = whole[0]
            continue
        for image_folder, mask_folder in pairs:
            if has_images(image_folder) and split == "test":
                # Many published test sets come without masks.
                notes.append(
                    f"{image_folder.relative_to(root)} is not read, because there is no "
                    f"{mask_folder.relative_to(root)}"
                )
            elif has_images(image_folder) or mask_folder.is_dir():
                missing = mask_folder if image_folder.is_dir() else image_folder
                raise FileNotFoundError(
                    f"{missing} is missing. `root` must hold images and masks for {split}: "
                    f"{images} and {masks}, with {split} for {SPLIT}."
                )
    return Folders(images, masks, found, tuple(notes))


def _candidates(root: Path, images: str, masks: str, split: str) -> list[tuple[Path, Path]]:
    if SPLIT not in images + masks:
        return [(root / images, root / masks)]
    listed = [
        (root / images.replace(SPLIT, name), root / masks.replace(SPLIT, name))
        for name in SPLIT_NAMES[split]
    ]
    # A file system may take Train and train for one folder.
    unique: list[tuple[Path, Path]] = []
    for pair in listed:
        if not any(
            pair[0].exists() and one.exists() and one.samefile(pair[0]) for one, _ in unique
        ):
            unique.append(pair)
    return unique


def has_images(folder: Path) -> bool:
    """Tells whether image files are directly in a folder.

    Args:
        folder: The folder, which need not exist.

    Returns:
        Whether there are some.
    """
    return folder.is_dir() and any(map(is_image_name, folder.iterdir()))


def _missing(root: Path, images: str, masks: str) -> Path:
    return root / (masks if (root / images).is_dir() else images)


def _received(root: Path) -> str:
    names = sorted(path.name for path in root.iterdir() if path.is_dir())
    return f"Received: {root}, which holds {', '.join(names[:20]) or 'no folder'}."
