"""Keeps resized examples, in memory or in a file, so that they are read only once."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from petseg.data.records import Records
from petseg_runtime.atomic_files import whole_file

# "memory", the path of a folder, or False.
Cache = str | os.PathLike[str] | bool
MEMORY = "memory"

# Changes with what resizing returns, and with the layout of the files.
VERSION = 1


def checked_cache(value: Any) -> Path | str | bool:
    """Checks the argument `cache`.

    Args:
        value: What was received.

    Returns:
        "memory", the path of a folder, or False.

    Raises:
        ValueError: If it is none of these, or the path of a file.
    """
    if value is False or value == MEMORY:
        return value
    if not isinstance(value, str | os.PathLike) or not os.fspath(value):
        raise ValueError(
            f'`cache` must be "{MEMORY}", False or the path of a folder. Received: {value!r}.'
        )
    folder = Path(value).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"`cache` must be a folder. Received: {folder}, which is a file.")
    return folder


def cached(records: Records, cache: Cache) -> Records:
    """Keeps examples, so that they are read only once.

    Args:
        records: Images `(H, W, C)` and masks `(H, W, 1)` of one size, uint8.
        cache: The result of `checked_cache`. With a folder, all examples that are not in it yet are
            read now, into one file.

    Returns:
        The records of the same examples in the same order.

    Raises:
        tf.errors.OpError: If an example cannot be read.
        OSError: If the file cannot be written, as where the disk is full.
    """
    if cache is False:
        return records
    if not isinstance(cache, Path):
        return Records(records.examples().cache())
    shapes = [tuple(spec.shape) for spec in records.examples().element_spec]
    path = cache / _file_name(records, shapes)
    size = sum(int(np.prod(shape)) for shape in shapes)  # bytes of an example
    if not path.is_file() or path.stat().st_size != size * records.count:
        _write(records, path)

    def read(number: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with path.open("rb") as file:
            file.seek(size * int(number))
            pixels = np.frombuffer(file.read(size), np.uint8)
        image, mask = np.split(pixels, [int(np.prod(shapes[0]))])
        return image.reshape(shapes[0]), mask.reshape(shapes[1])

    def example(number: tf.Tensor) -> tuple[tf.Tensor, ...]:
        found = tf.numpy_function(read, [number], (tf.uint8, tf.uint8))
        return tuple(tf.ensure_shape(*pair) for pair in zip(found, shapes, strict=True))

    return Records(tf.data.Dataset.range(records.count), example)


def _file_name(records: Records, shapes: list[tuple[int, ...]]) -> str:
    """Names the file after everything that decides what is in it."""
    if records.identity is None:
        raise ValueError(
            f'`cache` must be "{MEMORY}" or False for a dataset of your own. Received: a folder, '
            "which would not notice that the data changed."
        )
    text = json.dumps([VERSION, records.identity(), shapes], default=str)
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:20]
    height, width, channels = shapes[0]
    return f"{records.count}x{height}x{width}x{channels}-{digest}.examples"


def _write(records: Records, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    # A process that is killed leaves a part file, which the next one removes.
    with whole_file(path) as part, part.open("wb") as file:
        for example in records.examples().as_numpy_iterator():
            for pixels in example:
                file.write(pixels.tobytes())
