"""The note that petseg leaves in each file it writes: of which photo it is and how it was made.

A PNG carries it as a text entry, an MP4 as its comment.
"""

import json
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

KEY = "petseg"
VERSION = 1
CUTOUT = "cutout"

# A PNG begins with 8 bytes of signature and 25 of IHDR. The text entry follows, after the 4 bytes
# of its length.
PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
TEXT_START = 37
TEXT_STARTS_WITH = (b"tEXt" + KEY.encode() + b"\0", b"iTXt" + KEY.encode() + b"\0")


def mask_settings(
    model: str,
    image_size: tuple[int, int] | None,
    tta: bool,
    tile: int | None,
    scales: Sequence[float] | str,
) -> dict[str, Any]:
    """Lists what decides on a mask, besides the photo.

    Args:
        model: The digest of the model.
        image_size: (height, width) at which the model sees a photo, or None.
        tta: Whether the mirrored photo is predicted too.
        tile: Side of the tiles in pixels, or None.
        scales: Factors of the size at which the model sees a photo, or "auto".

    Returns:
        The settings for `note_for`.
    """
    return {"model": model, "image_size": image_size, "tta": tta, "tile": tile, "scales": scales}


def version_of_file(status: os.stat_result) -> dict[str, Any]:
    """Tells versions of a file apart.

    Args:
        status: The status of the file.

    Returns:
        Its size and time of modification.
    """
    return {"bytes": status.st_size, "modified": status.st_mtime_ns}


def note_for(photo: str, version: dict[str, Any], settings: dict[str, Any]) -> str:
    """Builds the note for the files of a photo or video.

    Args:
        photo: What identifies the photo, see `OutputFolder`.
        version: What tells versions of the photo apart, such as `version_of_file`.
        settings: The model and the options that shape the result, such as `mask_settings`.

    Returns:
        ASCII text.
    """
    return json.dumps({"version": VERSION, "photo": photo, **version, **settings})


def note_of_cutout(note: str, arguments: dict[str, Any]) -> str:
    """Adds to a note how its photo is cut out.

    Args:
        note: What `note_for` returned.
        arguments: Arguments of `petseg.cutout` that JSON can hold.

    Returns:
        The note of the cut-out.
    """
    return json.dumps({**json.loads(note), CUTOUT: arguments})


def note_of_mask(note: str) -> str:
    """Returns the note of the mask that a picture shows.

    Args:
        note: The note of a picture, of which `photo_of` knows the photo.

    Returns:
        What `note_for` returned for it.
    """
    return json.dumps({key: value for key, value in json.loads(note).items() if key != CUTOUT})


def photo_of(note: str) -> str | None:
    """Reads which photo a note is about.

    Args:
        note: The text of a note.

    Returns:
        What identifies the photo, or None where the note does not say.
    """
    from petseg_runtime.json_text import parse_json

    try:
        record = parse_json(note)
    except ValueError:
        return None
    is_known = isinstance(record, dict) and record.get("version") == VERSION
    return record.get("photo") if is_known else None


def is_regular_file(path: Path) -> bool:
    """Tells files from links, folders and pipes.

    Args:
        path: A path that exists.

    Returns:
        Whether it is a regular file.
    """
    return stat.S_ISREG(path.lstat().st_mode)


def read_note(path: Path) -> str | None:
    """Reads the note of a PNG or an MP4.

    Args:
        path: Any file.

    Returns:
        The note; an empty text where petseg wrote the file and it is damaged; None where petseg did
        not write it.
    """
    if not is_regular_file(path):
        return None
    return _mp4_note(path) if path.suffix.lower() == ".mp4" else _png_note(path)


def is_whole(path: Path) -> bool:
    """Tells a complete output file from one that was cut off. Decodes nothing.

    Args:
        path: A PNG or an MP4 that petseg wrote.

    Returns:
        Whether the file is complete.
    """
    return _is_whole_mp4(path) if path.suffix.lower() == ".mp4" else _is_whole_png(path)


def _png_note(path: Path) -> str | None:
    from PIL import Image

    with path.open("rb") as file:
        start = file.read(TEXT_START + len(TEXT_STARTS_WITH[0]))
    if not start.startswith(PNG_SIGNATURE) or start[TEXT_START:] not in TEXT_STARTS_WITH:
        return None
    try:
        with Image.open(path) as image:
            return str(image.info.get(KEY, ""))
    except Exception:  # Pillow raises nearly anything on a damaged file.
        return ""


def _is_whole_png(path: Path) -> bool:
    from PIL import Image

    try:
        with Image.open(path) as image:
            image.verify()  # the checksums of all parts up to the end mark
    except Exception:  # Pillow raises nearly anything on a damaged file.
        return False
    return True


def _mp4_note(path: Path) -> str | None:
    import av

    try:
        with av.open(str(path)) as video:
            comment = video.metadata.get("comment", "")
    except (av.error.FFmpegError, ValueError):
        return None
    key, _, note = comment.partition(" ")
    return note if key == KEY else None


def _is_whole_mp4(path: Path) -> bool:
    """Walks the boxes that an MP4 consists of: the last one must end where the file ends."""
    size = path.stat().st_size
    position = 0
    with path.open("rb") as file:
        while position + 8 <= size:
            file.seek(position)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:  # the length follows, in 8 bytes
                length = int.from_bytes(head[8:], "big")
            if length < 8:
                return False
            position += length
    return position == size
