"""Paths as text: bytes that are not UTF-8 become escapes."""

import os
import re

ESCAPE = re.compile(r"\\x[0-9a-f]{2}")


def as_text(path: str | os.PathLike[str]) -> str:
    r"""Turns a path into text that any file can hold. Different paths have different texts.

    Args:
        path: A path, or another text with paths in it.

    Returns:
        The text. Bytes that are not UTF-8 become escapes such as `\xe9`. Backslashes of a path that
        has such bytes, or that contains what looks like such an escape, are doubled.
    """
    encoded = os.fsencode(path)
    text = encoded.decode("utf-8", "backslashreplace")
    if ESCAPE.search(text) is None:
        return text
    return encoded.replace(b"\\", b"\\\\").decode("utf-8", "backslashreplace")
