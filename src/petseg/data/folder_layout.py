"""Which files of a folder belong together, decided by their names alone."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from petseg.data.folder_names import IMAGES, MASKS, SPLIT, SPLITS, Folders, find_folders, has_images
from petseg.data.label_scheme import (
    TRIMAPS,
    UNLABELLED,
    LabelScheme,
    checked_ignore_class,
    index_scheme,
    table_scheme,
)
from petseg.data.label_tables import (
    LABEL_FILES,
    Labels,
    LabelTable,
    checked_labels,
    find_label_file,
    read_label_file,
)
from petseg.data.name_hash import name_bucket
from petseg.data.oxford_pets import PET_CLASSES, in_val
from petseg.data.pairing import Pairs, files_in, pair_up
from petseg.data.split_lists import find_lists, listed_pairs
from petseg_runtime.image_io import is_image_name


@dataclass(frozen=True)
class Layout:
    """The files of a dataset folder.

    Attributes:
        pairs: For each split its pairs of an image file and a mask file.
        unpaired: For each file that lacks its partner what is wrong, such as "is missing".
        misplaced: For each folder whose images are not read, the reason and a remedy.
        scheme: What the labels in the masks mean.
        notes: What was decided about the folder that a user may want to know.
    """

    pairs: dict[str, Pairs]
    unpaired: dict[Path, str]
    misplaced: dict[Path, str]
    scheme: LabelScheme
    notes: tuple[str, ...] = field(default=())

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
    root: str | os.PathLike[str],
    class_names: Sequence[str] | None = None,
    *,
    images: str = IMAGES,
    masks: str = MASKS,
    ignore_class: int | None = UNLABELLED,
    labels: Labels | LabelTable | None = None,
    channels: int = 3,
) -> Layout:
    """Finds the files of a dataset folder: your own, or the official archives of Oxford-IIIT Pet.

    No image or mask is opened. See `petseg.load_folder` for the layouts.

    Args:
        root: The folder.
        class_names: Name of each class in your own masks, in the order of the labels. None for the
            official archives, or where a table has the names.
        images: Name of the folder of images.
        masks: Name of the folder of masks.
        ignore_class: Label of pixels without a class, or None.
        labels: What the labels or colours in the masks mean.
        channels: Number of channels of your own images. Where it is not 3, `.npy` files are images.

    Returns:
        The layout.

    Raises:
        FileNotFoundError: If `root` or one of the folders that it must hold is missing.
        ValueError: If the arguments do not fit the folder or each other, two files differ by the
            suffix alone, or there are several ways to read the folder.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"`root` must be a folder. Received: {root}.")
    for name, value in (("images", images), ("masks", masks)):
        if not isinstance(value, str | os.PathLike) or not os.fspath(value):
            raise ValueError(f"`{name}` must be the name of a folder. Received: {value!r}.")
    scheme = find_scheme(root, class_names, ignore_class=ignore_class, labels=labels)
    if is_official(root):
        return _official_layout(root)
    return _own_layout(root, scheme, os.fspath(images), os.fspath(masks), channels)


def find_scheme(
    root: str | os.PathLike[str],
    class_names: Sequence[str] | None,
    *,
    ignore_class: int | None = UNLABELLED,
    labels: Labels | LabelTable | None = None,
    name: str = "class_names",
) -> LabelScheme:
    """Finds out what the labels in the masks of a dataset folder mean.

    Args:
        root: The folder.
        class_names: Name of each class in your own masks, in the order of the labels. None for the
            official archives of Oxford-IIIT Pet, or where a table has the names.
        ignore_class: Label of pixels without a class, or None.
        labels: What the labels or colours in the masks mean. None reads a file in `root`, see
            `LABEL_FILES`, where `class_names` is None as well.
        name: The name of the argument that gave `class_names`, for the error.

    Returns:
        The scheme.

    Raises:
        FileNotFoundError: If `labels` is no file.
        ValueError: If an argument is out of its range or does not fit the others.
    """
    root = Path(root).expanduser()
    ignore_class = checked_ignore_class(ignore_class)
    if is_official(root):
        given = {name: class_names, "labels": labels}
        for argument, value in given.items():
            if value is not None:
                raise ValueError(
                    f"`{argument}` must be None for the official archives of Oxford-IIIT Pet, "
                    f"which {root} holds: the classes are {', '.join(PET_CLASSES)}. "
                    f"Received: {value!r}."
                )
        return TRIMAPS
    table = None if labels is None else checked_labels(labels)
    if isinstance(table, str):
        path: Path | None = Path(table).expanduser()
    else:
        path = find_label_file(root) if table is None and class_names is None else None
    if path is not None:
        table = read_label_file(path, class_names)
        return table_scheme(table, class_names, ignore_class, source=str(path), name=name)
    if table is not None and not isinstance(table, str):
        return table_scheme(table, class_names, ignore_class, name=name)
    try:
        return index_scheme(class_names, ignore_class, name=name)
    except ValueError as error:
        if class_names is not None:
            raise
        raise ValueError(
            f"{error} Or pass `labels`, or put one of {', '.join(LABEL_FILES)} into {root}."
        ) from None


def is_official(root: Path) -> bool:
    """Tells the unpacked archives of Oxford-IIIT Pet from other folders.

    Args:
        root: The folder.

    Returns:
        Whether it holds the official archives.
    """
    return (root / "annotations" / "trimaps").is_dir()


def _official_layout(root: Path) -> Layout:
    images, trimaps = root / "images", root / "annotations" / "trimaps"
    present = {*files_in(images), *files_in(trimaps)}
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
    return Layout(pairs, unpaired, {}, TRIMAPS)


def _own_layout(root: Path, scheme: LabelScheme, images: str, masks: str, channels: int) -> Layout:
    lists = find_lists(root)
    folders: Folders | None = None
    try:
        folders = find_folders(root, images, masks)
    except FileNotFoundError:
        if not lists:
            raise
    if lists and (folders is None or not folders.has_splits):
        pairing = None if folders is None else pair_up(*folders.found["train"], channels)
        found, unpaired = listed_pairs(root, lists, pairing)
        notes = [f"Splits: {', '.join(str(path.relative_to(root)) for path in lists.values())}"]
        pairs = _fill_splits(found, notes)
        return Layout(pairs, unpaired, {}, scheme, tuple(notes))
    assert folders is not None
    found, unpaired = {}, {}
    misplaced = _not_read(root, folders)
    for split, (image_folder, mask_folder) in folders.found.items():
        pairing = pair_up(image_folder, mask_folder, channels)
        found[split] = list(pairing.pairs.values())
        unpaired |= pairing.unpaired
        for folder in dict.fromkeys((image_folder, mask_folder)):
            misplaced |= _subfolders(folder, folders)
    notes = [
        *folders.notes,
        f"Images: {folders.images}, masks: {folders.masks}".replace(SPLIT, "train"),
    ]
    pairs = _fill_splits(found, notes)
    return Layout(pairs, unpaired, misplaced, scheme, tuple(notes))


def _fill_splits(found: dict[str, Pairs], notes: list[str]) -> dict[str, Pairs]:
    """Takes the splits that are missing from the others, by a hash of the names.

    Validation is a tenth of train. Test is a tenth of train as well or, where there are images for
    validation, half of these: scores of images that chose the best epoch would be too high.

    Args:
        found: The pairs of each split that is there.
        notes: What was decided is added here.

    Returns:
        The pairs of all splits.
    """
    pairs: dict[str, Pairs] = {split: [] for split in SPLITS}
    pairs |= found
    missing = [split for split in SPLITS if split not in found]
    if "val" not in missing and "test" in missing:
        source, targets = "val", dict.fromkeys(range(1, 10, 2), "test")
        notes.append("Test: half of val, chosen by a hash of the names")
    else:
        source = "train"
        targets = {bucket: split for bucket, split in ((0, "val"), (1, "test")) if split in missing}
        notes += [f"{split.capitalize()}: a tenth of train, by a hash" for split in missing]
    if targets and pairs[source]:
        every_pair, pairs[source] = pairs[source], []
        names = [os.fsencode(image.name) for image, _ in every_pair]
        for pair, bucket in zip(every_pair, name_bucket(names).numpy(), strict=True):
            pairs[targets.get(int(bucket), source)].append(pair)
    return pairs


def _not_read(root: Path, folders: Folders) -> dict[Path, str]:
    """Finds folders with images that would be read in another layout."""
    if not folders.has_splits:
        return {
            folder: (
                f"is not read, because {root / 'train'} does not exist. Create it, with images and "
                f"masks, or move the folder out of {root}."
            )
            for folder in (root / split / folders.images for split in SPLITS)
            if folders.images != "." and _holds_images(folder)
        }
    unread: dict[Path, str] = {}
    for name, train in zip((folders.images, folders.masks), folders.found["train"], strict=True):
        before, _, after = name.partition(SPLIT)
        folder = root / before / after.strip("/")
        # `images/{split}` are in `images`, where only files beside them are not read.
        is_unread = _holds_images(folder) if after.startswith("/") else has_images(folder)
        if (before or after.startswith("/")) and is_unread:
            splits = train if before else root / "train"
            unread[folder] = (
                f"is not read, because {splits} exists. Move its files to train, val and test, or "
                f"move the folder out of {root}."
            )
    return unread


def _subfolders(folder: Path, folders: Folders) -> dict[Path, str]:
    """Finds the folders with images in a folder of images or masks, and says what to do."""
    read = {path for pair in folders.found.values() for path in pair}
    return {
        path: f"is not read, because it is a subfolder. Move its files to {path.parent}."
        for path in files_in(folder)
        # A folder with the name of an image is taken for one, and cannot be read.
        if path not in read
        and not path.name.startswith(".")
        and not is_image_name(path)
        and _holds_images(path)
    }


def _holds_images(folder: Path) -> bool:
    return folder.is_dir() and any(map(is_image_name, folder.rglob("*")))
