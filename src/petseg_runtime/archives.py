"""Members of zip archives that somebody else may have written."""

import zipfile

# A model record or configuration is a few kilobytes to a few megabytes. A damaged or hostile
# archive can claim any size, and a small one can unpack to gigabytes.
LARGEST_MEMBER = 2**26


def read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    """Reads a member of an archive in bounded memory.

    Args:
        archive: The archive.
        name: Name of the member.

    Returns:
        Its content.

    Raises:
        KeyError: If there is no such member.
        ValueError: If it is larger than `LARGEST_MEMBER`.
    """
    size = archive.getinfo(name).file_size
    if size > LARGEST_MEMBER:
        raise ValueError(f"{name} claims {size} bytes, more than {LARGEST_MEMBER}")
    return archive.read(name)  # never gives more than the claimed size
