"""What `petseg predict` writes for each photo and video, and under which name."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from PIL import Image

from petseg_runtime import ModelInfo, Prediction, cutout, overlay
from petseg_runtime.image_io import read_image, turn
from petseg_runtime.output_files import (
    PHOTO_FILES,
    VIDEO_FILES,
    FreeNames,
    class_shares,
    identity_of,
    remove_outdated,
    write_png,
)
from petseg_runtime.output_notes import (
    KEY,
    is_whole,
    note_for,
    note_of_cutout,
    read_note,
    version_of_file,
)
from petseg_runtime.part_folders import locked, part_folder


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
        info: ModelInfo,
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
        self._names = FreeNames(folder, kinds)
        self._numbers = count()
        self._exit = ExitStack()

    def __enter__(self) -> Self:
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
        identity = identity_of(path, self._real_folder)
        note = note_for(identity, version_of_file(path.stat()), self._settings)
        name = self._names.take(path.stem, identity, is_video)
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
        with Image.open(self.files(item)["mask"]) as mask:
            return class_shares(np.asarray(mask), self._info.class_names)

    def write_photo(self, item: Item, found: Prediction) -> list[Path]:
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
        mask = found.mask
        assert mask is not None

        def write(kind: str, part: Path) -> None:
            write_png(part, self._picture(kind, found), kind, self._note(item, kind))

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
        number = next(self._numbers)  # other threads write other items
        parts = {kind: self._parts / f"{number}-{kind}.part" for kind in self.files(item)}
        try:
            for kind, part in parts.items():
                write(kind, part)
            with locked(self.folder):
                # Another process may have taken the name in the meantime.
                name = self._names.take(item.path.stem, item.identity, item.is_video)
                item = Item(item.path, item.identity, name, item.note, item.is_video)
                files = self.files(item)
                for kind, part in parts.items():
                    part.replace(files[kind])
                if not item.is_video:
                    remove_outdated(self.folder, name, item.identity, item.note, self._kinds)
        finally:
            for part in parts.values():
                part.unlink(missing_ok=True)
        return list(reversed(files.values()))

    def _picture(self, kind: str, found: Prediction) -> Image.Image:
        # The photo is read for each picture and not kept: a large one takes much memory.
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


def _named(value: Any) -> Any:
    """Returns what stands for an argument in the note of a cut-out: for a photo, its digest."""
    from hashlib import sha256

    return sha256(value).hexdigest() if hasattr(value, "tobytes") else value
