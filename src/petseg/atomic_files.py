"""Files that are written whole or not at all."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, whose file gets its name only when it is whole.

    The suffix stays, from which Keras and Matplotlib know the format. When the writing fails, what
    was written is removed.
    """
    part = path.with_name(f".part-{path.name}")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, record: Any) -> None:
    """Writes `record` as indented JSON."""
    with whole_file(path) as part:
        part.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
