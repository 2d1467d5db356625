"""JSON from files that somebody else may have written."""

import json
from typing import Any


def parse_json(text: str | bytes) -> Any:
    """Parses JSON text; whatever is wrong with it is a `ValueError`.

    Args:
        text: JSON text. Bytes must be UTF-8, UTF-16 or UTF-32.

    Returns:
        The document.

    Raises:
        ValueError: If it is not JSON, or is nested more deeply than Python can follow.
    """
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("the JSON text is nested too deeply") from None
