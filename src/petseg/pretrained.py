"""Weights that come with the package: whole networks, trained on Oxford-IIIT Pet.

Each has a card beside it, `weights/MODEL.json`: its figures, how it was trained, and its SHA-256.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import keras
import numpy as np

from petseg.atomic_files import whole_file, write_json

FOLDER = Path(__file__).parent / "weights"


def pretrained_models(folder: Path = FOLDER) -> list[str]:
    """The names of the networks that have weights here."""
    return sorted(path.stem for path in folder.glob("*.json"))


def read_card(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """The card of the network `name`. Raises `ValueError` when it has no weights here."""
    if name not in pretrained_models(folder):
        raise ValueError(
            f"`weights='pets'` come with the package for {', '.join(pretrained_models(folder))}. "
            f"Received: {name!r}."
        )
    card: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return card


def load_pretrained(model: keras.Model, folder: Path = FOLDER) -> dict[str, Any]:
    """Gives `model` the weights of its name; returns their card.

    Raises `ValueError` when there are none or they do not fit, `OSError` when their file is missing
    or altered.
    """
    card = read_card(model.name, folder)
    path = folder / f"{model.name}.npz"
    if not path.is_file() or _digest(path) != card["sha256"]:
        state = "was altered" if path.is_file() else "is missing"
        raise OSError(f"{path} {state}: install petseg again.")
    with np.load(path) as file:
        arrays = [file[name] for name in file.files]
    wanted = [tuple(weight.shape) for weight in model.weights]
    if [array.shape for array in arrays] != wanted:
        raise ValueError(
            f"`weights='pets'` fit {model.name}(backbone={card['backbone']!r}) with its "
            f"{len(card['class_names'])} classes and default arguments. Received: other arguments."
        )
    model.set_weights([array.astype("float32") for array in arrays])
    return card


def ship(model: keras.Model, card: dict[str, Any], folder: Path = FOLDER) -> None:
    """Writes the weights of `model` and its card."""
    folder.mkdir(parents=True, exist_ok=True)
    arrays = half_precision(model.get_weights())
    path = folder / f"{model.name}.npz"
    with whole_file(path) as part:
        np.savez_compressed(part, *arrays)
    write_json(folder / f"{model.name}.json", {"sha256": _digest(path), **card})


def half_precision(arrays: list[np.ndarray]) -> list[np.ndarray]:
    """Kernels as float16. Offsets and statistics, which are few, stay float32.

    Variances may be too large or small for less.
    """
    return [array.astype("float16") if array.ndim > 1 else array for array in arrays]


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
