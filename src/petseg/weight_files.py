"""Files of weights: which one is meant, what its model was, and its arrays layer by layer."""

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

from petseg.run_state import RunFiles
from petseg.weight_transfer import Transfer, transfer
from petseg_runtime.keras_file import SUFFIX as KERAS_SUFFIX
from petseg_runtime.keras_file import read_keras_info
from petseg_runtime.model_info import ModelInfo

WEIGHTS_SUFFIX = ".weights.h5"
ARRAYS = "model.weights.h5"  # in a `.keras` file


def find_weights(weights: Any) -> Path:
    """Finds the file that is meant by `weights`.

    Args:
        weights: What was received: the path of a file, or of the folder of a run.

    Returns:
        The path of a `.weights.h5` or `.keras` file. Of a run, its model, or before the run has
        written that, the weights of its best epoch.

    Raises:
        ValueError: If there is no such file.
    """
    path = Path(weights) if isinstance(weights, str | Path) else None
    if path is not None and path.is_dir():
        run = RunFiles(path)
        path = run.model if run.model.is_file() else run.best
    if path is None or not path.name.endswith((WEIGHTS_SUFFIX, KERAS_SUFFIX)) or not path.is_file():
        raise ValueError(
            "`weights` must be 'imagenet', 'pets', None, or the path of a .weights.h5 or .keras "
            f"file or of the folder of a run. Received: {str(weights)!r}, which is none of these."
        )
    return path


def saved_record(path: Path) -> ModelInfo | None:
    """Reads the record of the model whose weights a file holds.

    Args:
        path: A `.weights.h5` or `.keras` file.

    Returns:
        The record, or None where there is none: a `.weights.h5` file has none, and a model from
        elsewhere neither.
    """
    if path.suffix != KERAS_SUFFIX:
        return None
    try:
        return read_keras_info(path)
    except ValueError:  # A model of the user: the weights decide whether it fits.
        return None


def file_name(weights: str | Path, file: Path) -> str:
    """Names a file for the record of the model that its weights are loaded into.

    Args:
        weights: What was received: the path of a file, or of the folder of a run.
        file: What `find_weights` returned for it.

    Returns:
        The name of the file, for a run after that of its folder: the names are the same in all.
    """
    is_run = Path(weights) != file
    return f"{file.resolve().parent.name}/{file.name}" if is_run else file.name


def load_file(
    model: keras.Model, path: Path, *, is_reversed: bool = False, new_classes: bool = False
) -> Transfer:
    """Loads the weights of a file into a model, as far as they fit.

    Args:
        model: A model of `petseg.MODELS`.
        path: A `.weights.h5` or `.keras` file.
        is_reversed: As for `transfer`.
        new_classes: As for `transfer`.

    Returns:
        What was loaded.

    Raises:
        ValueError: If the file is damaged, or too little of it fits.
    """
    try:
        arrays = read_layers(path)
    except Exception as error:  # zipfile and HDF5 raise nearly anything, and name no file
        raise ValueError(
            f"`weights` must be a whole file. Received: {str(path)!r}, which cannot be read: "
            f"{error}. Put it back from a copy."
        ) from error
    loaded = transfer(model, arrays, is_reversed=is_reversed, new_classes=new_classes)
    if not loaded.useful:
        raise ValueError(
            f"`weights` must fit the encoder or most of {model.name}. Received: {str(path)!r}, of "
            f"which too little fits: {loaded.describe()}. Build the model with the backbone and "
            "the arguments that the file was saved with."
        )
    return loaded


def read_layers(path: Path) -> dict[str, list[np.ndarray]]:
    """Reads the arrays of a file by the name of their layer.

    Keras files the arrays of a layer under its class and a number, such as `conv2d_3`, which differ
    between models that have that layer in common. Its name is in an attribute beside them.

    Args:
        path: A `.weights.h5` or `.keras` file.

    Returns:
        The arrays of each layer that has some, in the order of `layer.weights`.

    Raises:
        Exception: Nearly any, if the file is damaged.
    """
    if path.suffix == KERAS_SUFFIX:
        with zipfile.ZipFile(path) as archive:
            source: Any = io.BytesIO(archive.read(ARRAYS))
    else:
        source = path
    with h5py.File(source, "r") as file:
        return dict(_layers_in(file))


def _layers_in(group: h5py.Group) -> Iterator[tuple[str, list[np.ndarray]]]:
    for key, child in group.items():
        if not isinstance(child, h5py.Group) or key == "optimizer":
            continue
        if key == "vars" and len(child) and "name" in child.attrs and all(map(str.isdigit, child)):
            indices = sorted(child, key=int)
            yield str(child.attrs["name"]), [np.asarray(child[index]) for index in indices]
        else:
            yield from _layers_in(child)
