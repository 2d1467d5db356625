"""Temporary folders beside the files that are moved out of them, and locks on folders."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: two processes at once in one folder are not told apart there.
    fcntl = None  # type: ignore[assignment]

PART_PREFIX = ".part-"


@contextmanager
def part_folder(folder: Path) -> Iterator[Path]:
    """Makes a temporary folder in a folder, and removes what killed processes have left there.

    Args:
        folder: An existing folder.

    Yields:
        The temporary folder. It is removed at the end, with what is still in it.

    Raises:
        OSError: If it cannot be made.
    """
    with locked(folder):
        _remove_stale_parts(folder)
        parts = Path(tempfile.mkdtemp(prefix=PART_PREFIX, dir=folder))
        lock = _lock(parts)
    try:
        yield parts
    finally:
        shutil.rmtree(parts, ignore_errors=True)
        _unlock(lock)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes of petseg from entering the same block for the same folder.

    Args:
        folder: An existing folder. No file is written.

    Yields:
        Nothing.
    """
    lock = _lock(folder)
    try:
        yield
    finally:
        _unlock(lock)


@contextmanager
def only_process(folder: Path) -> Iterator[None]:
    """Refuses to enter the block while another process is in it for the same folder.

    Args:
        folder: An existing folder. No file is written.

    Yields:
        Nothing. On a file system without locks, other processes are not noticed.

    Raises:
        BlockingIOError: If another process is in the block.
    """
    lock = _lock(folder, wait=False, or_fail=True)
    try:
        yield
    finally:
        _unlock(lock)


def _remove_stale_parts(folder: Path) -> None:
    """Removes what killed processes have left: their locks are free."""
    if fcntl is None:
        return
    for parts in folder.glob(f"{PART_PREFIX}*"):
        if parts.is_dir() and not parts.is_symlink():
            lock = _lock(parts, wait=False)
            if lock is not None:
                shutil.rmtree(parts, ignore_errors=True)
                _unlock(lock)


def _lock(folder: Path, *, wait: bool = True, or_fail: bool = False) -> int | None:
    """Locks a folder against other processes of petseg.

    Args:
        folder: The folder.
        wait: Whether to wait for another process that has the lock.
        or_fail: Whether to raise `BlockingIOError` where another process has it.

    Returns:
        A number for `_unlock`; None where another process has the lock, or there are no locks.
    """
    if fcntl is None:
        return None
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:  # held by another process, or a file system without locks
        os.close(number)
        if or_fail and isinstance(error, BlockingIOError):
            raise BlockingIOError(
                f"{folder.parent} is in use by another process of petseg. Wait until it has "
                "finished, stop it, or choose another folder."
            ) from None
        return None
    return number


def _unlock(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)
