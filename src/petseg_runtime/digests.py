"""The checksum by which files are known."""

import hashlib
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
