"""Where an exported model may be written."""

import os
from pathlib import Path

from petseg_runtime.formats import FORMATS, RECORD_FILE
from petseg_runtime.model_folders import Server, model_of_version, newest_version
from petseg_runtime.runtime import read_model_info


def check_export_path(path: Path, name: str) -> None:
    """Refuses a path to which a model cannot be exported, before any work is done.

    Args:
        path: The path to write to.
        name: Key of `FORMATS`.

    Raises:
        ValueError: If something that petseg did not write is at `path`.
        NotADirectoryError: If one of its parents is a file.
        PermissionError: If its directory cannot be written to.
    """
    _check_named(path)
    if os.path.lexists(path):
        _check_earlier(path, name)
    elif FORMATS[name].companion and os.path.lexists(path.with_suffix(FORMATS[name].companion)):
        companion = path.with_suffix(FORMATS[name].companion)
        raise ValueError(
            f"`path` must be one beside which {companion.name} can be written. "
            f"Received: {str(path)!r}, but {companion} is there and belongs to no earlier export. "
            "Choose another path, or remove that file."
        )
    _check_parent(path, path)


def check_model_folder(path: Path, server: Server) -> None:
    """Refuses a folder to which no version of a model can be added, before any work is done.

    Args:
        path: The folder of the model.
        server: The row of `SERVERS`.

    Raises:
        ValueError: If `path` is no folder, or something else than versions of a model that petseg
            exported for this server is in it.
        NotADirectoryError: If one of its parents is a file.
        PermissionError: If it cannot be written to.
    """
    _check_named(path)
    is_file = os.path.lexists(path) and not path.is_dir()
    if is_file or path.suffix in {row.suffix for row in FORMATS.values() if row.suffix}:
        raise ValueError(
            "`path` must be the folder of the model where `serving` is given, for example "
            f"'models/unet'. Received: {str(path)!r}{', which is a file' if is_file else ''}."
        )
    newest = newest_version(path)
    held = sorted(entry.name for entry in path.iterdir()) if path.is_dir() else []
    held = [name for name in held if not name.startswith(".")]
    if held and not (newest and _has_record(model_of_version(path, newest, server))):
        raise ValueError(
            "`path` must be new, or hold versions of a model that petseg exported for the same "
            f"server. Received: {str(path)!r}, which holds {', '.join(held[:3])}. "
            "Choose another path."
        )
    _check_parent(path, path / "version")


def _check_named(path: Path) -> None:
    here = Path.cwd()
    if path.resolve() in (here, *here.parents):
        raise ValueError(
            "`path` must name a file, or a directory to make. "
            f"Received: {str(path)!r}, the current directory or one above it."
        )


def _check_parent(path: Path, inside: Path) -> None:
    """Checks the innermost existing directory in which `inside` will be."""
    parent = next(folder for folder in inside.absolute().parents if os.path.lexists(folder))
    if not parent.is_dir():
        raise NotADirectoryError(
            f"`path` must be in a directory. Received: {str(path)!r}, but {parent} is a file."
        )
    if not os.access(parent, os.W_OK):
        raise PermissionError(f"{parent} cannot be written to. Choose another `path`.")


def _check_earlier(path: Path, name: str) -> None:
    """Raises `ValueError` if what is at `path` is no earlier export, and not empty."""
    if path.is_dir() != (name == "saved_model"):
        kind = "a directory" if path.is_dir() else "a file"
        raise ValueError(
            f"`path` must not be {kind} for the format {name}. Received: {str(path)!r}. "
            "Choose another path."
        )
    held = {entry.name for entry in path.iterdir()} if path.is_dir() else set()
    if path.is_dir() and not held:
        return
    foreign = sorted(held - FORMATS[name].entries)
    if foreign or not _has_record(path):
        found = f", which holds {', '.join(foreign[:3])}" if foreign else ""
        raise ValueError(
            "`path` must be new, or an earlier export, which is replaced. "
            f"Received: {str(path)!r}{found}. Choose another path, or remove it."
        )


def _has_record(path: Path) -> bool:
    if path.is_dir():
        return (path / "assets.extra" / RECORD_FILE).is_file()
    try:
        read_model_info(path)
    except (ValueError, FileNotFoundError):  # a link may lead nowhere
        return False
    return True
