"""YAML files that somebody else may have written."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


def read_yaml(path: Path) -> Any:
    """Reads a file of YAML 1.2, of which JSON is a part.

    Args:
        path: The file.

    Returns:
        The document, as mappings, lists, strings, numbers, booleans and None.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it is not YAML.
    """
    try:
        return YAML(typ="safe", pure=True).load(path.read_bytes())
    except (YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no YAML file: {error}.") from error
