"""Settings of a training from a file: one that a user wrote, or that of another run."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from petseg.data.yaml_files import read_yaml
from petseg.experiment import SECTION, Settings
from petseg.models import MODELS
from petseg_runtime import validation


def read_config(path: Path) -> dict[str, Any]:
    """Reads settings from a YAML or JSON file.

    Args:
        path: A file of settings by name, the run.json or result.json of a run, or the run's folder.

    Returns:
        The settings that the file holds, by name, checked.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, a name is unknown, or a value is out of its range.
    """
    if path.is_dir():
        path = path / "run.json"
    if not path.is_file():
        raise FileNotFoundError(f"`config` must be a YAML or JSON file. Received: {path}.")
    content = read_yaml(path)
    if isinstance(content, dict) and "settings" in content:  # of a run
        content = content["settings"]
        content = content.get(SECTION, content) if isinstance(content, dict) else None
    known = [field.name for field in fields(Settings)]
    if not isinstance(content, dict) or not content:
        raise ValueError(f"`config` must hold settings by name. Received: {path}, which does not.")
    for name in content:
        if name not in known:
            raise ValueError(
                f"`config` must hold settings by name: {', '.join(known)}. Received: {path}, with "
                f"{name!r}.{validation.did_you_mean(name, known)}"
            )
    Settings.from_dict({"architecture": next(iter(MODELS)), **content})
    return content
