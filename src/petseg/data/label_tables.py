"""Tables that say which class a label or a colour in a mask stands for, and the files of them."""

import csv
import io
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from petseg_runtime import validation
from petseg_runtime.json_text import parse_json

Colour = tuple[int, int, int]

# Labels or colours in the order of the table, each with its class name, or None for no class.
LabelTable = tuple[tuple[int | Colour, str | None], ...]

# What `load_folder` takes as `labels`.
Labels = Mapping[int | Colour, str | None] | str | os.PathLike[str]

# The files that are read where neither class names nor labels are given.
LABEL_FILES = ("classes.csv", "class_dict.csv", "labelmap.txt", "classes.json")

# In a file, these names mean no class, in any case.
VOID_NAMES = frozenset({"void", "unlabelled", "unlabeled", "ignore", "ignored"})

# Names of the columns of a CSV file, the most telling first.
NAME_COLUMNS = ("name", "class_name", "classname", "label_name", "category", "class", "label")
LABEL_COLUMNS = ("label", "id", "index", "value", "label_id", "class_id", "pixel_value", "class")
COLOUR_COLUMNS = (("r", "g", "b"), ("red", "green", "blue"))

MAX_LABEL = 65535  # labels in mask files have up to 16 bits

FILE_REMEDY = (
    "A CSV file has a header and the columns label and name, or name, r, g and b. A JSON file "
    'holds {"0": "road", "7": "car"}, {"road": [128, 64, 128]} or ["road", "car"]. labelmap.txt '
    "has lines such as road:128,64,128::."
)


def checked_labels(labels: Any) -> LabelTable | str:
    """Checks the argument `labels`.

    Args:
        labels: What was received: a mapping of labels or colours to class names, pairs of these,
            or the path of a file.

    Returns:
        The table, or the path.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(labels, str | os.PathLike):
        return os.fspath(labels)
    if not isinstance(labels, Mapping | list | tuple) or not labels:
        raise ValueError(
            "`labels` must be a mapping such as {0: 'road', 7: 'car', 11: None}, with labels or "
            f"colours (r, g, b) as keys, or the path of a CSV or JSON file. Received: {labels!r}."
        )
    pairs = labels.items() if isinstance(labels, Mapping) else labels
    return _table(pairs, "`labels`")


def label_files(root: Path) -> list[Path]:
    """Lists the files in a dataset folder that say what the labels mean.

    Args:
        root: The folder.

    Returns:
        The files, see `LABEL_FILES`.
    """
    return [root / name for name in LABEL_FILES if (root / name).is_file()]


def find_label_file(root: Path) -> Path | None:
    """Finds the file in a dataset folder that says what the labels mean.

    Args:
        root: The folder.

    Returns:
        The file, see `LABEL_FILES`, or None.

    Raises:
        ValueError: If there are several.
    """
    found = label_files(root)
    if len(found) > 1:
        names = " and ".join(path.name for path in found)
        raise ValueError(
            f"{root} must hold one file of class names. Received: {names}. Pass one of them as "
            "`labels`."
        )
    return found[0] if found else None


def read_label_file(path: Path, class_names: Collection[str] | None = None) -> LabelTable:
    """Reads a table of labels or colours from a file.

    Args:
        path: A CSV or JSON file, or labelmap.txt of CVAT.
        class_names: The class names, where these are given as well. Other names that mean no class,
            such as void, become None.

    Returns:
        The table.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is not understood.
    """
    if not path.is_file():
        raise FileNotFoundError(f"`labels` must be a CSV or JSON file. Received: {path}.")
    readers = {".csv": _csv_pairs, ".json": _json_pairs, ".txt": _labelmap_pairs}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"`labels` must be a CSV or JSON file. Received: {path}. {FILE_REMEDY}")
    try:
        pairs = reader(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, KeyError, TypeError, AttributeError, csv.Error) as error:
        raise ValueError(f"{path} is no table of labels: {error}. {FILE_REMEDY}") from error
    table = _table(pairs, str(path))
    known = set(class_names or ())
    return tuple(
        (key, None if name and name.lower() in VOID_NAMES and name not in known else name)
        for key, name in table
    )


def _table(pairs: Iterable[Any], source: str) -> LabelTable:
    """Checks labels or colours and their names."""
    found: dict[int | Colour, str | None] = {}
    for pair in pairs:
        key, name = pair if isinstance(pair, list | tuple) and len(pair) == 2 else (None, None)
        checked = _key(key)
        if checked is None:
            raise ValueError(
                f"{source} must have labels of 0 to {MAX_LABEL} or colours (r, g, b) of 0 to 255. "
                f"Received: {pair!r}."
            )
        if name is not None and (not isinstance(name, str) or not name.strip()):
            raise ValueError(
                f"{source} must give each label a class name, or None for no class. "
                f"Received: {name!r} for {key!r}."
            )
        if found.setdefault(checked, name) != name:
            raise ValueError(
                f"{source} must list each label or colour once. Received: {found[checked]!r} and "
                f"{name!r} for {checked}."
            )
    if not found or len({isinstance(key, tuple) for key in found}) > 1:
        raise ValueError(f"{source} must have either labels or colours. Received: {list(found)}.")
    return tuple(found.items())


def _key(key: Any) -> int | Colour | None:
    if validation.is_integer(key):
        return int(key) if 0 <= key <= MAX_LABEL else None
    is_colour = isinstance(key, list | tuple) and len(key) == 3
    if not is_colour or not all(validation.is_integer(v) and 0 <= v <= 255 for v in key):
        return None
    return int(key[0]), int(key[1]), int(key[2])


def _csv_pairs(text: str) -> list[tuple[Any, str | None]]:
    header = text.partition("\n")[0]
    delimiter = max(",;\t", key=header.count)
    rows = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    columns = [column.strip().lower() for column in next(rows, [])]
    name_column = next((name for name in NAME_COLUMNS if name in columns), None)
    if name_column is None:
        raise ValueError(f"it has no column of names, but {', '.join(columns) or 'nothing'}")
    label_column = next((c for c in LABEL_COLUMNS if c in columns and c != name_column), None)
    colours = max(COLOUR_COLUMNS, key=lambda each: len(set(each) & set(columns)))
    missing = [column for column in colours if column not in columns]
    if len(missing) in (1, 2) and label_column is None:
        raise ValueError(f"column {' and '.join(missing)} is missing")
    pairs: list[tuple[Any, str | None]] = []
    for row in rows:
        cells = dict(zip(columns, (cell.strip() for cell in row), strict=False))
        if not any(cells.values()):
            continue
        key: Any = len(pairs)
        if not missing:
            key = tuple(int(cells[column]) for column in colours)
        elif label_column is not None:
            key = int(cells[label_column])
        pairs.append((key, cells[name_column] or None))
    return pairs


def _json_pairs(text: str) -> list[tuple[Any, str | None]]:
    record = parse_json(text)
    if isinstance(record, list):
        return list(enumerate(record))
    if all(isinstance(value, list) for value in record.values()):
        return [(colour, name) for name, colour in record.items()]
    if all(validation.is_integer(value) for value in record.values()):
        return [(label, name) for name, label in record.items()]
    return [(parse_json(f"[{key}]") if "," in key else int(key), record[key]) for key in record]


def _labelmap_pairs(text: str) -> list[tuple[Any, str | None]]:
    """Reads the labelmap.txt of CVAT: `name:r,g,b:parts:actions`."""
    pairs: list[tuple[Any, str | None]] = []
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            name, colour, _parts, _actions = line.strip().rsplit(":", 3)
            pairs.append((tuple(int(value) for value in colour.split(",")), name or None))
    return pairs
