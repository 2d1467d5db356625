"""The files that petseg writes for a photo or video: their names, and how a PNG is written."""

import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from petseg_runtime.output_notes import KEY, note_of_mask, photo_of, read_note

PHOTO_FILES = {
    "overlay": "_overlay.png",
    "cutout": "_cutout.png",
    "confidence": "_confidence.png",
    "mask": "_mask.png",
}
VIDEO_FILES = {"overlay": "_overlay.mp4"}
STRIP_ROWS = 1024

# Photos become 2 % larger than by Pillow's default, in a quarter of the time.
PHOTO_COMPRESSION = {"compress_level": 1, "compress_type": zlib.Z_RLE}
MASK_COMPRESSION = {"compress_level": 6}


def identity_of(path: Path, real_folder: Path) -> str:
    """Returns what identifies a photo or video in notes, whatever the working directory is.

    Args:
        path: The photo or video.
        real_folder: The output folder, resolved.

    Returns:
        The resolved path, relative to the folder.
    """
    try:
        return os.path.relpath(path.resolve(), real_folder)
    except ValueError:  # another drive of Windows
        return str(path.resolve())


class FreeNames:
    """Chooses names for the files of photos: `cat`, and for another photo `cat-2`, and so on.

    A photo keeps its name as long as its files are there.

    Args:
        folder: The folder of the files.
        kinds: What is to be written for each photo, of the keys of `PHOTO_FILES`.
        exists: Tells whether a file is there.
    """

    def __init__(
        self,
        folder: Path,
        kinds: tuple[str, ...],
        exists: Callable[[Path], bool] = os.path.lexists,
    ):
        self._folder = folder
        self._kinds = kinds
        self._exists = exists
        self._taken: dict[tuple[bool, str], str] = {}

    def take(self, stem: str, identity: str, is_video: bool = False) -> str:
        """Takes the first of `cat`, `cat-2`, ... that is of no other photo.

        Args:
            stem: The first name to try.
            identity: What identifies the photo.
            is_video: Whether it is a video.

        Returns:
            The name. From now on, it is of this photo.

        Raises:
            FileExistsError: If a file that petseg did not write has the name of one to write.
        """
        name, number = stem, 1
        while not self._is_free(name, identity, is_video):
            number += 1
            name = f"{stem}-{number}"
        self._taken[is_video, name.casefold()] = identity
        return name

    def _is_free(self, name: str, identity: str, is_video: bool) -> bool:
        # Some systems take cat.png and Cat.png for the same file.
        if self._taken.get((is_video, name.casefold()), identity) != identity:
            return False
        foreign: Path | None = None
        for kind, suffix in (VIDEO_FILES if is_video else PHOTO_FILES).items():
            file = self._folder / f"{name}{suffix}"
            if not self._exists(file):
                continue
            note = read_note(file)
            if note is None:
                foreign = file if is_video or kind in self._kinds else foreign
            elif note and photo_of(note) != identity:
                return False
        if foreign is not None:
            raise FileExistsError(
                f"{foreign} is in the way: petseg did not write it and does not replace it. Rename "
                "it, or choose another folder with `out`."
            )
        return True


def remove_outdated(
    folder: Path, name: str, identity: str, note: str, kinds: tuple[str, ...]
) -> None:
    """Removes pictures of a photo that show another mask than the one just written.

    Args:
        folder: The folder of the files.
        name: The name of the photo.
        identity: What identifies the photo.
        note: The note of the mask.
        kinds: What was written together with the mask.

    Raises:
        OSError: If a picture cannot be removed.
    """
    for kind, suffix in PHOTO_FILES.items():
        file = folder / f"{name}{suffix}"
        if kind in kinds or not os.path.lexists(file):
            continue
        found = read_note(file)
        if found and photo_of(found) == identity and note_of_mask(found) != note:
            file.unlink()


def write_png(path: Path, picture: Image.Image, kind: str, note: str) -> None:
    """Writes a PNG with a note, down to the disk.

    Args:
        path: The file.
        picture: The picture.
        kind: A key of `PHOTO_FILES`, for the compression.
        note: The note.

    Raises:
        OSError: If the file cannot be written.
    """
    entries = PngInfo()
    entries.add_text(KEY, note)
    compression = MASK_COMPRESSION if kind == "mask" else PHOTO_COMPRESSION
    with path.open("wb") as file:
        picture.save(file, "PNG", pnginfo=entries, **compression)
        os.fsync(file.fileno())


def class_shares(mask: np.ndarray, class_names: tuple[str, ...]) -> dict[str, float]:
    """Counts the pixels of each class.

    Args:
        mask: Classes `(H, W)`.
        class_names: Name of each class.

    Returns:
        The share of each class, from 0 to 1, rounded to four decimals.
    """
    counts = np.zeros(len(class_names), np.int64)
    for top in range(0, len(mask), STRIP_ROWS):  # `bincount` needs eight bytes a pixel
        counts += np.bincount(mask[top : top + STRIP_ROWS].ravel(), minlength=len(counts))
    return {
        name: round(int(count) / mask.size, 4)
        for name, count in zip(class_names, counts, strict=True)
    }
