"""Files that are written completely or not at all."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a path to write to; the file gets its real name when the block ends without an error.

    Other readers see the old file or the new one, never a part. The new file is on the disk before
    it takes the name, so that this also holds after a power failure. When the block fails, what was
    written is removed. A process that is killed leaves its part file behind, called
    `.part-<process id>-<name>`.

    Args:
        path: The file to write. Its folder must exist.

    Yields:
        A path in the same folder with the same suffix, from which Keras and Matplotlib take the
        format. It is different in every process, so that two processes can write to one folder.

    Raises:
        OSError: If the file cannot be written.

    Example:
        >>> with whole_file(Path("curves.png")) as part:
        ...     figure.savefig(part)
    """
    part = path.with_name(f".part-{os.getpid()}-{path.name}")
    try:
        yield part
        _flush(part, os.O_RDWR)
        part.replace(path)
        _flush_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, record: Any) -> None:
    """Writes a record as indented JSON, completely or not at all.

    Args:
        path: The file to write. Its folder must exist.
        record: JSON types.

    Raises:
        OSError: If the file cannot be written.
        TypeError: If `record` holds something else than JSON types.
    """
    with whole_file(path) as part:
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def _flush(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    # The new name is an entry of the folder. Windows cannot open folders, and some network file
    # systems cannot flush them; the file itself is whole there too.
    with suppress(OSError):
        _flush(folder, os.O_RDONLY)
