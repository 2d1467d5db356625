"""The weights of the pretrained models, for Keras models: `weights="pets"`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from petseg_runtime.atomic_files import whole_file, write_json
from petseg_runtime.digests import file_digest
from petseg_runtime.pretrained import (
    FOLDER,
    pretrained_backbones,
    read_arrays,
    read_card,
)

PETS = "pets"  # the value of `weights`


def find_pretrained(architecture: str, backbone: str | None, folder: Path = FOLDER) -> str:
    """Finds the pretrained weights of an architecture.

    Args:
        architecture: Key of `petseg.MODELS`.
        backbone: Key of `petseg.BACKBONES`, or None for the default one of that architecture.
        folder: Folder of the weights. By default the one in the package.

    Returns:
        A name of `pretrained_models`.

    Raises:
        ValueError: If there are no such weights.
    """
    found = pretrained_backbones(folder)
    if architecture not in found:
        raise ValueError(
            "`weights='pets'` must be used with an architecture that has such weights: "
            f"{', '.join(found)}. Received: {architecture!r}. Use `weights='imagenet'`."
        )
    backbones = found[architecture]
    if backbone is None:
        backbone = backbones[0]
    if backbone not in backbones:
        raise ValueError(
            f"`weights='pets'` must be used with `backbone` {' or '.join(map(repr, backbones))} "
            f"for {architecture}. Received: {backbone!r}. Use `weights='imagenet'`."
        )
    return f"{architecture}-{backbone}"


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
    write_json(folder / f"{name}.json", {"sha256": file_digest(path), **card})


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
    name = f"{card['architecture']}-{card['backbone']}"
    write_arrays(name, dict(zip(array_names(model), arrays, strict=True)), card, folder)


def array_names(model: keras.Model) -> list[str]:
    """Names the weights of a model in a weights file and in the graph that reads it.

    Args:
        model: A model.

    Returns:
        A name for each of `model.weights`, in their order.
    """
    return [f"arr_{index}" for index in range(len(model.weights))]


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
