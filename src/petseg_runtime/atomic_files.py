"""Files that are written completely or not at all."""

import glob
import json
import os
import sys
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
    `.part-<process id>-<name>`; the next one that writes the same file removes it.

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
    _remove_stale_parts(path)
    try:
        yield part
        _flush(part, os.O_RDWR)
        part.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        if error.errno is not None and error.filename is None:  # as where the disk is full
            error.filename = str(path)
        raise
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


def _remove_stale_parts(path: Path) -> None:
    """Removes the part files of processes that have ended."""
    if sys.platform == "win32":  # There the question whether a process runs ends it.
        return
    for part in path.parent.glob(f".part-*-{glob.escape(path.name)}"):
        process = part.name.removeprefix(".part-").removesuffix(f"-{path.name}")
        with suppress(OSError):
            if process.isdecimal() and not _is_running(int(process)):
                part.unlink()


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # a process of another user
        return True
    return True


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
