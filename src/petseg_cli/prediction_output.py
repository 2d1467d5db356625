"""What `petseg predict` writes for each photo and video, and under which name."""

import os
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from petseg_cli.output_notes import (
    KEY,
    is_whole,
    note_for,
    note_of_cutout,
    note_of_mask,
    photo_of,
    read_note,
)
from petseg_cli.streams import printable

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

    from petseg_runtime import ModelInfo, Prediction

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


@dataclass(frozen=True)
class Item:
    """A photo or a video, and the names of its output files.

    Attributes:
        path: The photo or video.
        identity: Its path relative to the output folder, which does not depend on the working
            directory.
        name: Prefix of the names of its output files.
        note: The note that its files carry.
        is_video: Whether it is a video.
    """

    path: Path
    identity: str
    name: str
    note: str
    is_video: bool


class OutputFolder:
    """The output folder. Existing files are kept, and interrupted runs can be resumed.

    Files that petseg did not write are never replaced. Photos of the same name get different names:
    `cat`, `cat-2`, and so on. A photo keeps its name as long as its files are there. All files of a
    photo appear at once, whole, while other threads and processes may write into the same folder.

    Args:
        folder: The folder. It is made when the context is entered.
        info: The record of the model.
        settings: The model and the options that determine the masks.
        kinds: What to write for each photo, of "overlay", "cutout", "confidence" and "mask".
        cutout: Arguments of `petseg.cutout`.
    """

    def __init__(
        self,
        folder: Path,
        info: "ModelInfo",
        settings: dict[str, Any],
        kinds: tuple[str, ...],
        cutout: dict[str, Any],
    ):
        self.folder = folder
        self._info = info
        self._settings = settings
        self._kinds = kinds
        self._cutout = cutout
        self._cutout_note = {name: _named(value) for name, value in cutout.items()}
        self._real_folder = folder.resolve()
        self._taken: dict[tuple[bool, str], str] = {}
        self._numbers = count()
        self._exit = ExitStack()

    def __enter__(self) -> Self:
        from petseg_runtime.part_folders import part_folder

        self.folder.mkdir(parents=True, exist_ok=True)
        self._parts = self._exit.enter_context(part_folder(self.folder))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._exit.close()

    def item(self, path: Path, *, is_video: bool = False) -> Item:
        """Chooses the name for a photo or video.

        Args:
            path: The photo or video.
            is_video: Whether it is a video.

        Returns:
            The item.

        Raises:
            OSError: If the file is not there, or a file that petseg did not write has its name.
        """
        try:
            identity = os.path.relpath(path.resolve(), self._real_folder)
        except ValueError:  # another drive of Windows
            identity = str(path.resolve())
        note = note_for(identity, path.stat(), self._settings)
        name = self._free_name(path.stem, identity, is_video)
        self._taken[is_video, name.casefold()] = identity
        return Item(path, identity, name, note, is_video)

    def files(self, item: Item) -> dict[str, Path]:
        """Lists the files of a photo or video by kind."""
        suffixes = VIDEO_FILES if item.is_video else PHOTO_FILES
        kinds = suffixes if item.is_video else self._kinds
        return {kind: self.folder / f"{item.name}{suffixes[kind]}" for kind in kinds}

    def is_done(self, item: Item) -> bool:
        """Returns whether all files of a photo or video are there, whole, and made in this way."""
        try:
            return all(
                read_note(file) == self._note(item, kind) and is_whole(file)
                for kind, file in self.files(item).items()
            )
        except OSError:
            return False

    def _note(self, item: Item, kind: str) -> str:
        return note_of_cutout(item.note, self._cutout_note) if kind == "cutout" else item.note

    def shares(self, item: Item) -> dict[str, float]:
        """Returns the share of each class in the mask of a photo that is done."""
        import numpy as np
        from PIL import Image

        with Image.open(self.files(item)["mask"]) as mask:
            return class_shares(np.asarray(mask), self._info.class_names)

    def write_photo(self, item: Item, found: "Prediction") -> list[Path]:
        """Writes the files of a photo.

        Args:
            item: The photo.
            found: Its mask, and its probabilities where the confidence is to be written.

        Returns:
            The files, the mask first.

        Raises:
            OSError: If a file cannot be written, or one that petseg did not write has its name.
            ValueError: If the photo cannot be read any more.
        """
        from PIL.PngImagePlugin import PngInfo

        from petseg_runtime.image_io import turn

        mask = found.mask
        assert mask is not None

        def write(kind: str, part: Path) -> None:
            entries = PngInfo()
            entries.add_text(KEY, self._note(item, kind))
            with part.open("wb") as file:
                picture = self._picture(kind, found)
                compression = MASK_COMPRESSION if kind == "mask" else PHOTO_COMPRESSION
                picture.save(file, "PNG", pnginfo=entries, **compression)
                os.fsync(file.fileno())

        with turn(mask.shape):
            return self._write(item, write)

    def write_video(self, item: Item, write: Callable[[Path, str], None]) -> list[Path]:
        """Writes the file of a video.

        Args:
            item: The video.
            write: Writes an MP4 to a path, with a comment.

        Returns:
            The file.

        Raises:
            OSError: If the file cannot be written, or one that petseg did not write has its name.
            ValueError: If the video cannot be read.
        """

        def write_part(_kind: str, part: Path) -> None:
            write(part, f"{KEY} {item.note}")
            with part.open("rb+") as file:
                os.fsync(file.fileno())

        return self._write(item, write_part)

    def _write(self, item: Item, write: Callable[[str, Path], None]) -> list[Path]:
        """Writes all files of an item under other names, then gives them theirs."""
        from petseg_runtime.part_folders import locked

        number = next(self._numbers)  # other threads write other items
        parts = {kind: self._parts / f"{number}-{kind}.part" for kind in self.files(item)}
        try:
            for kind, part in parts.items():
                write(kind, part)
            with locked(self.folder):
                # Another process may have taken the name in the meantime.
                name = self._free_name(item.path.stem, item.identity, item.is_video)
                self._taken[item.is_video, name.casefold()] = item.identity
                item = Item(item.path, item.identity, name, item.note, item.is_video)
                files = self.files(item)
                for kind, part in parts.items():
                    part.replace(files[kind])
                self._remove_outdated(item)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
        return list(reversed(files.values()))

    def _remove_outdated(self, item: Item) -> None:
        """Removes pictures of this photo that show another mask than the one just written."""
        for kind, suffix in ({} if item.is_video else PHOTO_FILES).items():
            file = self.folder / f"{item.name}{suffix}"
            if kind in self._kinds or not os.path.lexists(file):
                continue
            note = read_note(file)
            if note and photo_of(note) == item.identity and note_of_mask(note) != item.note:
                file.unlink()

    def _picture(self, kind: str, found: "Prediction") -> "Image.Image":
        # The photo is read for each picture and not kept: a large one takes much memory.
        import numpy as np
        from PIL import Image

        from petseg_runtime import cutout, overlay
        from petseg_runtime.image_io import read_image

        names, ignored = self._info.class_names, self._info.ignore_class
        photo, mask = found.path, found.mask
        assert mask is not None
        if kind == "confidence":
            assert found.probabilities is not None
            confidence = found.probabilities.max(axis=-1)
            return Image.fromarray(np.rint(255 * confidence).astype(np.uint8))
        if kind == "overlay":
            return Image.fromarray(
                overlay(
                    read_image(photo, self._info.channels),
                    mask,
                    class_names=names,
                    ignore_class=ignored,
                    legend=True,
                )
            )
        if kind == "cutout":
            cut = cutout(
                read_image(photo, self._info.channels), mask, class_names=names, **self._cutout
            )
            return Image.fromarray(cut)
        return Image.fromarray(mask)

    def _free_name(self, stem: str, identity: str, is_video: bool) -> str:
        """Finds the first of `cat`, `cat-2`, ... that is of no other photo.

        Raises:
            FileExistsError: If a file that petseg did not write has the name of one to write.
        """
        suffixes = VIDEO_FILES if is_video else PHOTO_FILES
        name, number = stem, 1
        while not self._is_free(name, identity, suffixes, is_video):
            number += 1
            name = f"{stem}-{number}"
        return name

    def _is_free(self, name: str, identity: str, suffixes: dict[str, str], is_video: bool) -> bool:
        # Some systems take cat.png and Cat.png for the same file.
        if self._taken.get((is_video, name.casefold()), identity) != identity:
            return False
        foreign: Path | None = None
        for kind, suffix in suffixes.items():
            file = self.folder / f"{name}{suffix}"
            if not os.path.lexists(file):
                continue
            note = read_note(file)
            if note is None:
                foreign = file if is_video or kind in self._kinds else foreign
            elif note and photo_of(note) != identity:
                return False
        if foreign is not None:
            raise FileExistsError(
                f"{printable(foreign)} is in the way: petseg did not write it and does not replace "
                "it. Rename it, or choose another folder with --out."
            )
        return True


def _named(value: Any) -> Any:
    """Returns what stands for an argument in the note of a cut-out: for a photo, its digest."""
    from hashlib import sha256

    return sha256(value).hexdigest() if hasattr(value, "tobytes") else value


def class_shares(mask: "np.ndarray", class_names: tuple[str, ...]) -> dict[str, float]:
    """Counts the pixels of each class.

    Args:
        mask: Classes `(H, W)`.
        class_names: Name of each class.

    Returns:
        The share of each class, from 0 to 1, rounded to four decimals.
    """
    import numpy as np

    counts = np.zeros(len(class_names), np.int64)
    for top in range(0, len(mask), STRIP_ROWS):  # `bincount` needs eight bytes a pixel
        counts += np.bincount(mask[top : top + STRIP_ROWS].ravel(), minlength=len(counts))
    return {
        name: round(int(count) / mask.size, 4)
        for name, count in zip(class_names, counts, strict=True)
    }
