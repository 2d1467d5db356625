"""An exclusive lock on the folder of a run."""

import contextlib
import errno
import os
import socket
import sys
import warnings
from pathlib import Path

# Windows locks a region of the file, which others cannot read meanwhile: one far behind the text.
REGION = 1 << 30


class RunLock:
    """A lock that one process at a time holds, and that the system releases when it ends.

    The file holds the process id and the host of the holder, for the error of everybody else.

    Args:
        path: The lock file. It exists while the lock is held.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file: int | None = None

    def acquire(self) -> None:
        """Takes the lock.

        Raises:
            BlockingIOError: If another process holds it, or another run of this process.
        """
        while self._file is None:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                _lock(file)
                # The holder before us may have removed the file between `open` and the lock.
                if _is_same_file(file, self.path):
                    self._file = file
            except BlockingIOError:
                raise BlockingIOError(
                    f"{self.path.parent} is in use by {self._holder()}. Wait until that training "
                    "has finished, stop it, or choose another folder."
                ) from None
            finally:
                if self._file is None:
                    os.close(file)
        os.ftruncate(self._file, 0)
        os.lseek(self._file, 0, os.SEEK_SET)
        os.write(self._file, f"{os.getpid()} {socket.gethostname()}\n".encode())

    def release(self) -> None:
        """Releases the lock and removes its file. Does nothing when the lock is not held."""
        if self._file is None:
            return
        # Removed while locked, so that it cannot be the file of the next holder. Windows does not
        # remove an open file; there it stays, unlocked.
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._file)
        self._file = None

    def _holder(self) -> str:
        with contextlib.suppress(OSError, ValueError):
            process, host = self.path.read_text(encoding="utf-8").split()
            return f"process {process} on {host}"
        return "another process"


def _is_same_file(file: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _lock(file: int) -> None:
        os.lseek(file, REGION, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError as error:
            raise BlockingIOError from error

else:
    import fcntl

    def _lock(file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno not in (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP):
                raise
            warnings.warn(
                "This file system has no locks: make sure yourself that no other training uses the "
                "same folder.",
                stacklevel=4,
            )
