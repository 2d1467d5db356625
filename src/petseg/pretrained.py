"""The weights in the package: whole models, trained on Oxford-IIIT Pet.

The weights of an architecture are `weights/<architecture>.npz`. Next to them is their card,
`weights/<architecture>.json`: the scores, the training settings, the licence and the SHA-256.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from petseg.atomic_files import whole_file, write_json

FOLDER = Path(__file__).parent / "weights"


def pretrained_models(folder: Path = FOLDER) -> list[str]:
    """Lists the architectures that have pretrained weights.

    Args:
        folder: Folder of the weights. By default the one in the package.

    Returns:
        Keys of `petseg.MODELS`, sorted.
    """
    return sorted(path.stem for path in folder.glob("*.json"))


def read_card(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Reads the card of pretrained weights.

    Args:
        name: Key of `petseg.MODELS`.
        folder: Folder of the weights. By default the one in the package.

    Returns:
        The card.

    Raises:
        ValueError: If the architecture has no pretrained weights.
    """
    if name not in pretrained_models(folder):
        raise ValueError(
            "`weights='pets'` must be used with an architecture that has such weights: "
            f"{', '.join(pretrained_models(folder))}. Received: {name!r}. Use `weights='imagenet'`."
        )
    card: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return card


def load_pretrained(model: keras.Model, folder: Path = FOLDER) -> dict[str, Any]:
    """Loads pretrained weights into a model.

    Args:
        model: A model of `petseg.MODELS`. Its name tells which weights to load.
        folder: Folder of the weights. By default the one in the package.

    Returns:
        The card of the weights.

    Raises:
        ValueError: If there are no weights for this architecture, or they do not fit the model.
        OSError: If the file of the weights is missing or was changed.
    """
    card = read_card(model.name, folder)
    arrays = list(read_arrays(model.name, folder).values())
    wanted = [tuple(weight.shape) for weight in model.weights]
    if [array.shape for array in arrays] != wanted:
        raise ValueError(
            f"`weights='pets'` must be used with backbone={card['backbone']!r}, "
            f"{len(card['class_names'])} classes and the default arguments of {model.name}. "
            "Received: a model with other weight shapes. Use `weights='imagenet'`."
        )
    model.set_weights([array.astype("float32") for array in arrays])
    return card


def read_arrays(name: str, folder: Path = FOLDER) -> dict[str, np.ndarray]:
    """Reads a weights file whose SHA-256 is in the card beside it.

    Args:
        name: Name of both files, without suffix.
        folder: Their folder.

    Returns:
        The arrays by name, in the order in which they were written.

    Raises:
        OSError: If the file is missing or was changed.
    """
    path = folder / f"{name}.npz"
    card = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    if not path.is_file() or _digest(path) != card["sha256"]:
        state = "was changed" if path.is_file() else "is missing"
        raise OSError(f"The weights file {path} {state}. Install petseg again.")
    with np.load(path) as file:
        return {key: file[key] for key in file.files}


def write_arrays(
    name: str, arrays: Mapping[str, np.ndarray], card: dict[str, Any], folder: Path = FOLDER
) -> None:
    """Writes a weights file and its card.

    Args:
        name: Name of both files, without suffix.
        arrays: The arrays by name.
        card: JSON types. The SHA-256 of the weights file is added.
        folder: Their folder.

    Raises:
        OSError: If a file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.npz"
    with whole_file(path) as part:
        np.savez_compressed(part, **arrays)
    write_json(folder / f"{name}.json", {"sha256": _digest(path), **card})


def ship(model: keras.Model, card: dict[str, Any], folder: Path = FOLDER) -> None:
    """Writes the weights of a model and their card.

    Args:
        model: A model of `petseg.MODELS`, whose name the files get.
        card: JSON types: the scores, the training settings and the licence. The SHA-256 of the
            weights is added.
        folder: Folder of the weights. By default the one in the package.

    Raises:
        OSError: If a file cannot be written.
    """
    arrays = half_precision(model.get_weights())
    names = [f"arr_{index}" for index in range(len(arrays))]  # their order is that of the model
    write_arrays(model.name, dict(zip(names, arrays, strict=True)), card, folder)


def half_precision(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Rounds the kernels to float16, which halves the size of the file.

    Biases and normalization statistics stay float32: they are few, and variances can be out of the
    range of float16.

    Args:
        arrays: Weights of a model.

    Returns:
        The rounded weights, in the same order.
    """
    return [array.astype("float16") if array.ndim > 1 else array for array in arrays]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
