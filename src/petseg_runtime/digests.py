"""The checksums by which files are known."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def file_digest(path: Path) -> str:
    """Hashes a file.

    Args:
        path: The file.

    Returns:
        Its SHA-256 as hexadecimal digits.

    Raises:
        OSError: If the file cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(path: Path, files: Iterable[Path]) -> str:
    """Hashes the files of a model.

    Args:
        path: The model: a file or a directory.
        files: Its files.

    Returns:
        The SHA-256 of their names in the directory and of their contents, as hexadecimal digits.

    Raises:
        OSError: If a file cannot be read.
    """
    digest = hashlib.sha256()
    for file in files:
        digest.update(os.fsencode(file.relative_to(path) if path.is_dir() else ""))
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
