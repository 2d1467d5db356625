"""The weights in the package: whole models, trained on Oxford-IIIT Pet.

The weights of a model are `weights/<architecture>-<backbone>.npz`. Next to them is their card, a
JSON file of the same name: the scores, the training settings, the licence and the SHA-256.
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
PETS = "pets"  # the value of `weights`
DEFAULT_BACKBONE = "efficientnetlite0"  # its ImageNet weights come with the package


def pretrained_models(folder: Path = FOLDER) -> list[str]:
    """Lists the pretrained weights.

    Args:
        folder: Folder of the weights. By default the one in the package.

    Returns:
        Their names, `<architecture>-<backbone>`, sorted.
    """
    return sorted(path.stem for path in folder.glob("*.json"))


def find_pretrained(architecture: str, backbone: str | None, folder: Path = FOLDER) -> str:
    """Finds the pretrained weights of an architecture.

    Args:
        architecture: Key of `petseg.MODELS`.
        backbone: Key of `petseg.BACKBONES`, or None for `DEFAULT_BACKBONE`, and for the first of
            those that have weights where it has none.
        folder: Folder of the weights. By default the one in the package.

    Returns:
        A name of `pretrained_models`.

    Raises:
        ValueError: If there are no such weights.
    """
    found = [name.split("-", 1) for name in pretrained_models(folder)]
    architectures = list(dict.fromkeys(name for name, _ in found))
    if architecture not in architectures:
        raise ValueError(
            "`weights='pets'` must be used with an architecture that has such weights: "
            f"{', '.join(architectures)}. Received: {architecture!r}. Use `weights='imagenet'`."
        )
    backbones = [row for name, row in found if name == architecture]
    if backbone is None:
        backbone = DEFAULT_BACKBONE if DEFAULT_BACKBONE in backbones else backbones[0]
    if backbone not in backbones:
        raise ValueError(
            f"`weights='pets'` must be used with `backbone` {' or '.join(map(repr, backbones))} "
            f"for {architecture}. Received: {backbone!r}. Use `weights='imagenet'`."
        )
    return f"{architecture}-{backbone}"


def read_card(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """Reads the card of pretrained weights.

    Args:
        name: A name of `pretrained_models`.
        folder: Folder of the weights. By default the one in the package.

    Returns:
        The card.
    """
    card: dict[str, Any] = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return card


def load_pretrained(model: keras.Model, name: str, folder: Path = FOLDER) -> None:
    """Loads pretrained weights into a model.

    Args:
        model: A model of the architecture and the backbone that the weights are for.
        name: A name of `pretrained_models`.
        folder: Folder of the weights. By default the one in the package.

    Raises:
        ValueError: If the weights do not fit the model.
        OSError: If the file of the weights is missing or was changed.
    """
    card = read_card(name, folder)
    arrays = list(read_arrays(name, folder).values())
    wanted = [tuple(weight.shape) for weight in model.weights]
    if [array.shape for array in arrays] != wanted:
        raise ValueError(
            f"`weights='pets'` must be used with {len(card['class_names'])} classes and the "
            f"default arguments of {model.name}. Received: a model with other weight shapes. "
            "Use `weights='imagenet'`."
        )
    model.set_weights([array.astype("float32") for array in arrays])


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
    if not path.is_file() or _digest(path) != read_card(name, folder)["sha256"]:
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
        np.savez_compressed(part, allow_pickle=False, **arrays)
    write_json(folder / f"{name}.json", {"sha256": _digest(path), **card})


def ship(model: keras.Model, card: dict[str, Any], folder: Path = FOLDER) -> None:
    """Writes the weights of a model and their card.

    Args:
        model: A model of `petseg.MODELS`.
        card: JSON types: the architecture and the backbone, which name the files, the scores, the
            training settings and the licence. The SHA-256 of the weights is added.
        folder: Folder of the weights. By default the one in the package.

    Raises:
        OSError: If a file cannot be written.
    """
    arrays = half_precision(model.get_weights())
    names = [f"arr_{index}" for index in range(len(arrays))]  # their order is that of the model
    name = f"{card['architecture']}-{card['backbone']}"
    write_arrays(name, dict(zip(names, arrays, strict=True)), card, folder)


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
