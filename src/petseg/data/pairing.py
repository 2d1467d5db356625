"""Which mask belongs to which image, decided by their names alone."""

import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from petseg_runtime.image_io import is_image_name

Pairs = list[tuple[Path, Path]]

# "Nearly all": the share of the masks, or of the images, that a suffix must pair up.
NEARLY_ALL = 0.9


@dataclass(frozen=True)
class Pairing:
    """The pairs of two folders.

    Attributes:
        pairs: The pairs of an image and its mask by the image's name without suffix.
        images: The images by their names without suffix, paired or not.
        unpaired: For each file without a partner what is wrong.
    """

    pairs: dict[str, tuple[Path, Path]]
    images: dict[str, Path]
    unpaired: dict[Path, str]


def pair_up(image_folder: Path, mask_folder: Path, channels: int = 3) -> Pairing:
    """Pairs the images of a folder with the masks of another, or of the same.

    The names without suffix are equal, or the masks have something more at their end, such as
    `cat_mask.png` for `cat.jpg`; see `mask_ending`.

    Args:
        image_folder: The folder of the images.
        mask_folder: The folder of the masks.
        channels: Number of channels of the images. Where it is 3, `.npy` files are images only in a
            folder without other images.

    Returns:
        The pairs, and the files without a partner.

    Raises:
        FileNotFoundError: If a folder is missing, or holds images and no masks among them.
        ValueError: If two files differ by the suffix alone, or there are two ways to pair.
    """
    images, masks = by_stem(image_folder, channels), by_stem(mask_folder)
    image_ending, ending = "", ""
    if image_folder == mask_folder:
        ending = _ending_within(images, image_folder)
        masks = {stem: path for stem, path in images.items() if stem.endswith(ending)}
        images = {stem: path for stem, path in images.items() if stem not in masks}
    else:
        found = mask_ending(images, masks, mask_folder)
        # The images may have an ending of their own, such as 1_sat.jpg for 1_mask.png.
        image_ending, ending = _both_endings(images, masks) if found is None else ("", found)
    by_image = {stem.removesuffix(image_ending): stem for stem in images}
    by_mask = {stem.removesuffix(ending): stem for stem in masks if stem.endswith(ending)}
    pairs = {
        by_image[key]: (images[by_image[key]], masks[by_mask[key]])
        for key in sorted(by_image.keys() & by_mask.keys())
    }
    paired = {path for pair in pairs.values() for path in pair}
    unpaired = {}
    alike = _normalized(images) & _normalized(masks)
    for stem, path, key in sorted(
        [
            *((stem, path, stem.removesuffix(image_ending)) for stem, path in images.items()),
            *((stem, path, stem.removesuffix(ending)) for stem, path in masks.items()),
        ]
    ):
        if path in paired:
            continue
        is_image = images.get(stem) == path
        other, other_ending = (mask_folder, ending) if is_image else (image_folder, image_ending)
        wanted = f"the name {key}{other_ending}" if ending or image_ending else "the same name"
        unpaired[path] = f"has no file of {wanted} in {other}"
        if unicodedata.normalize("NFC", stem) in alike:
            unpaired[path] += (
                ", only one that looks the same and differs in Unicode normalization (NFC or NFD, "
                "which macOS often writes)"
            )
    return Pairing(pairs, images, unpaired)


def mask_ending(images: Collection[str], masks: Collection[str], folder: Path) -> str | None:
    """Finds what the names of masks have more than those of their images.

    Args:
        images: The names of the images without suffix.
        masks: Those of the masks.
        folder: The folder of the masks, for the error.

    Returns:
        An ending such as "_mask" or "_L" that pairs up nearly all masks or images, "" where some
        names are equal and no ending does so, or None.

    Raises:
        ValueError: If two endings pair up nearly all images.
    """
    known = set(images)
    counts = Counter({"": len(known & set(masks))})
    counts.update(_more_than(known, stem) for stem in masks if stem not in known)
    counts.pop("?", None)
    best = [
        ending
        for ending, count in counts.most_common()
        if count and count >= NEARLY_ALL * min(len(images), len(masks))
    ]
    complete = [ending for ending in best if counts[ending] >= NEARLY_ALL * len(images)]
    if len(complete) > 1:
        listed = " and ".join(f"*{ending}" for ending in complete)
        raise ValueError(
            f"{folder} must hold one mask for each image. Received: masks of {len(complete)} "
            f"kinds, {listed}. Move all but one kind to another folder."
        )
    if best:
        return best[0]
    return "" if counts[""] or not masks or not images else None


def by_stem(folder: Path, channels: int | None = None) -> dict[str, Path]:
    """Lists the images or the masks of a folder by their names without suffix.

    Args:
        folder: The folder.
        channels: Number of channels of the images, as for `pair_up`. None for masks, which are no
            `.npy` files.

    Returns:
        The files.

    Raises:
        FileNotFoundError: If the folder is missing.
        ValueError: If two files differ by the suffix alone.
    """
    paths = [path for path in files_in(folder) if is_image_name(path, channels is not None)]
    photos = [path for path in paths if is_image_name(path)]
    if channels == 3 and photos:  # Arrays beside photos are other data.
        paths = photos
    files: dict[str, Path] = {}
    for path in paths:
        if path.stem in files:
            raise ValueError(
                f"{path} and {files[path.stem].name} have the same name except for the suffix, so "
                "images and masks cannot be matched. Rename or remove one."
            )
        files[path.stem] = path
    return files


def files_in(folder: Path) -> list[Path]:
    """Lists what is in a folder.

    Args:
        folder: The folder, which need not exist.

    Returns:
        Its files and folders, sorted.
    """
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _more_than(known: set[str], stem: str) -> str:
    """Returns the ending that `stem` has more than the longest known name, "?" if none fits."""
    for end in range(len(stem) - 1, 0, -1):
        ending = stem[end:]
        # Not the number of another frame: an ending is set off and has a letter.
        if not ending[0].isalnum() and stem[:end] in known and any(map(str.isalpha, ending)):
            return ending
    return "?"


def _ending_within(files: Collection[str], folder: Path) -> str:
    """Finds the ending of the masks in a folder that holds images and masks."""
    known = set(files)
    counts = Counter(_more_than(known, stem) for stem in files)
    counts.pop("?", None)
    complete = [ending for ending, count in counts.items() if 2 * count >= NEARLY_ALL * len(files)]
    if len(complete) != 1:
        raise FileNotFoundError(
            f"{folder} must hold images such as cat.jpg with masks such as cat_mask.png, or pass "
            "the names of two folders as `images` and `masks`. Received: "
            f"{len(files)} images that no ending of their names pairs up."
        )
    return complete[0]


def _both_endings(images: Collection[str], masks: Collection[str]) -> tuple[str, str]:
    """Finds the endings of all images and of all masks, where both have one."""
    endings = _common_ending(images), _common_ending(masks)
    if all(endings):
        bare = [
            {stem.removesuffix(end) for stem in each}
            for each, end in zip((images, masks), endings, strict=True)
        ]
        if len(bare[0] & bare[1]) >= NEARLY_ALL * min(map(len, bare)):
            return endings
    return "", ""


def _common_ending(stems: Iterable[str]) -> str:
    """Returns the last part of all names, from a separator on, if it is the same and a word."""
    endings = {_last_part(stem) for stem in stems}
    return endings.pop() if len(endings) == 1 else ""


def _last_part(stem: str) -> str:
    start = max(stem.rfind(separator) for separator in "_-. ")
    ending = stem[start:] if start > 0 else ""
    return ending if any(map(str.isalpha, ending)) else ""


def _normalized(stems: Iterable[str]) -> set[str]:
    return {unicodedata.normalize("NFC", stem) for stem in stems}
