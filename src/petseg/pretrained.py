"""The weights of the pretrained models, for Keras models: `weights="pets"`."""

import dataclasses
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import keras
import numpy as np

from petseg.weight_transfer import Transfer, layers_of, transfer
from petseg_runtime.atomic_files import whole_file, write_json
from petseg_runtime.digests import file_digest
from petseg_runtime.model_info import ModelInfo
from petseg_runtime.pretrained import (
    FOLDER,
    pretrained_backbones,
    read_arrays,
    read_card,
)

PETS = "pets"  # the value of `weights`
MANTISSA_BITS = 10  # of float16
SHIPPED_BITS = 8  # of them, in the pretrained models: the file is a tenth smaller


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


def pretrained_record(name: str, folder: Path = FOLDER) -> ModelInfo:
    """Reads what is known of the pretrained weights.

    Args:
        name: A name of `pretrained_models`.
        folder: Folder of the weights. By default the one in the package.

    Returns:
        The record of the model that the weights were trained in.
    """
    card = read_card(name, folder)
    known = {field.name for field in dataclasses.fields(ModelInfo)}
    return ModelInfo(weights=PETS, **{key: value for key, value in card.items() if key in known})


def load_pretrained(
    model: keras.Model,
    name: str,
    folder: Path = FOLDER,
    *,
    is_reversed: bool = False,
    new_classes: bool = False,
) -> Transfer:
    """Loads pretrained weights into a model, as far as they fit.

    Args:
        model: A model of the architecture and the backbone that the weights are for.
        name: A name of `pretrained_models`.
        folder: Folder of the weights. By default the one in the package.
        is_reversed: As for `transfer`.
        new_classes: As for `transfer`.

    Returns:
        What was loaded.

    Raises:
        ValueError: If too little of the weights fits the model.
        OSError: If the file of the weights is missing or was changed.
    """
    arrays = iter(read_arrays(name, folder).values())
    counts = read_card(name, folder)["layers"]
    layers = {layer: [*islice(arrays, count)] for layer, count in counts.items()}
    found = transfer(model, layers, is_reversed=is_reversed, new_classes=new_classes)
    if not found.useful:
        raise ValueError(
            f"`weights='pets'` must fit the encoder or most of {model.name}. Received: a model "
            f"that too little fits: {found.describe()}. Use the default arguments, or "
            "`weights='imagenet'`."
        )
    return found


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
            training settings and the licence. The SHA-256 of the weights is added, and the number
            of arrays of each layer.
        folder: Folder of the weights. By default the one in the package.

    Raises:
        OSError: If a file cannot be written.
    """
    card = {**card, "layers": {name: len(layer.weights) for name, layer in layers_of(model)}}
    arrays = half_precision(model.get_weights(), SHIPPED_BITS)
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


def half_precision(
    arrays: list[np.ndarray], mantissa_bits: int = MANTISSA_BITS
) -> list[np.ndarray]:
    """Rounds the kernels to float16, which halves the size of the file.

    Biases and normalization statistics stay float32: they are few, and variances can be out of the
    range of float16.

    Args:
        arrays: Weights of a model.
        mantissa_bits: Number of bits of the mantissa that are kept, 1 to 10. The file is smaller
            with fewer, because zeros are compressed.

    Returns:
        The rounded weights, in the same order.
    """
    return [
        _rounded(array.astype("float16"), MANTISSA_BITS - mantissa_bits)
        if array.ndim > 1
        else array
        for array in arrays
    ]


def _rounded(array: np.ndarray, dropped: int) -> np.ndarray:
    """Rounds float16 to fewer bits of mantissa. The last `dropped` bits become zero."""
    half = (1 << dropped) >> 1
    bits = (array.view(np.uint16) + np.uint16(half)) >> dropped << dropped
    return bits.view(np.float16)
