"""From the path of a model to the model and its record."""

import hashlib
import os
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from petseg_cli.streams import printable, warn
from petseg_cli.tensorflow_logging import quiet_import, quiet_stderr

if TYPE_CHECKING:
    import keras

    from petseg import ModelInfo, Runtime

DEFAULT_ARCHITECTURE = "unet"
DEFAULT_MODEL = "the U-Net for pets"
FALLBACK_SIZE = (224, 224)
SMALLEST_SIDE = 32
# Written out, because the formats import NumPy. A test compares them with `petseg_runtime`.
SUFFIXES = (".keras", ".onnx", ".tflite", ".xml")

ModelOption = Annotated[
    Path | None,
    typer.Option(
        "--model", metavar="MODEL", help=f"A saved or exported model. Default: {DEFAULT_MODEL}."
    ),
]


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that is ready to run.

    Attributes:
        model: A Keras model or a `petseg.Runtime`.
        info: Its record.
        name: How to call it in messages.
        digest: Hash of its files, which tells whether a result was made by the same model.
    """

    model: Any
    info: "ModelInfo"
    name: str
    digest: str

    @property
    def fixed_size(self) -> tuple[int, int] | None:
        """(height, width) of the only images that it takes, or None."""
        size = getattr(self.model, "input_size", None) or self.model.input_shape[1:3]
        return None if None in size else (size[0], size[1])

    def size_for(self, wanted: tuple[int, int] | None) -> tuple[int, int]:
        """Decides on the size of the images to give to the model.

        Args:
            wanted: `--image-size`, or None.

        Returns:
            (height, width): what is wanted, the size the model was trained at, or 224 x 224 with a
            warning where that is unknown.

        Raises:
            typer.BadParameter: If the model does not take images of the wanted size.
        """
        fixed = self.fixed_size
        if wanted is not None and fixed not in (None, wanted):
            assert fixed is not None
            raise typer.BadParameter(
                f"{self.name} takes images of {fixed[0]}x{fixed[1]} only. "
                f"Received: {wanted[0]}x{wanted[1]}.",
                param_hint="--image-size",
            )
        size = wanted or fixed or self.info.image_size
        if size is None:
            size = FALLBACK_SIZE
            self.warn_of_unknown_size(f"{size[0]} x {size[1]} is used")
        return size

    def warn_of_unknown_size(self, used: str) -> None:
        """Says that the size the model was trained at is unknown.

        Args:
            used: What is used in its place, as a clause.
        """
        warn(
            f"{self.name} does not say which image size it was trained at; {used}. "
            "Pass --image-size to set it."
        )


def check_model(path: Path | None) -> None:
    """Refuses a path that cannot be a model, without importing anything large.

    Args:
        path: The path, or None for the default model.

    Raises:
        FileNotFoundError: If there is nothing at the path.
        ValueError: If it is neither a file nor a directory, a directory that holds no model, or a
            file of another format.
    """
    if path is None:
        return
    shown = printable(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no model file {shown}.")
    if path.is_dir():
        if not (path / "saved_model.pb").is_file():
            hint = f" Did you mean {shown}/model.keras?" if (path / "model.keras").exists() else ""
            raise ValueError(f"{shown} is a directory, but not that of a SavedModel.{hint}")
    elif not stat.S_ISREG(path.stat().st_mode):
        raise ValueError(f"{shown} is not a regular file.")
    elif path.suffix not in SUFFIXES:
        hint = ""
        if path.name.endswith(".weights.h5"):
            hint = " Weights alone are not a model: save the model with `model.save`."
        raise ValueError(
            f"A model must be a file that ends in {', '.join(SUFFIXES)}, or the directory of a "
            f"SavedModel. Received: {shown}.{hint}"
        )


def load_model(path: Path | None) -> LoadedModel:
    """Loads a saved or exported model.

    Args:
        path: A `.keras` file or what `petseg export` wrote. None for the U-Net that comes with
            petseg.

    Returns:
        The model with its record.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another format or is damaged.
        ImportError: If the runtime of an exported model is not installed.
    """
    check_model(path)
    with quiet_import():
        import petseg
    if path is None:
        from petseg.pretrained import find_pretrained, read_card

        pretrained = petseg.MODELS[DEFAULT_ARCHITECTURE](weights="pets")
        digest = read_card(find_pretrained(DEFAULT_ARCHITECTURE, None))["sha256"]
        return LoadedModel(pretrained, petseg.model_info(pretrained), DEFAULT_MODEL, digest)
    if path.suffix == ".keras":
        model = _load_keras(path)
    else:
        with quiet_stderr():
            model = _open_runtime(path)
    return LoadedModel(model, petseg.model_info(model), printable(path), _digest(path))


def _load_keras(path: Path) -> "keras.Model":
    import keras

    from petseg_runtime.runtime import read_model_info

    read_model_info(path)  # Keras calls a damaged file missing; this says what is wrong.
    with warnings.catch_warnings():
        # A model saved before it was trained. Nothing here needs the optimizer.
        warnings.filterwarnings("ignore", message="Skipping variable loading for optimizer")
        try:
            return keras.saving.load_model(path)
        except Exception as error:  # Keras raises nearly anything on a damaged file.
            raise ValueError(
                f"{printable(path)} cannot be loaded as a Keras model: {error}"
            ) from error


def _open_runtime(path: Path) -> "Runtime":
    """Opens an exported model and runs it once: the first run is when LiteRT writes to stderr."""
    import numpy as np

    from petseg import Runtime

    runtime = Runtime(path)
    height, width = (side or SMALLEST_SIDE for side in runtime.input_size)
    runtime(np.zeros((1, height, width, 3), np.float32))
    return runtime


def _digest(path: Path) -> str:
    """Hashes the files of a model."""
    from petseg_runtime.formats import format_of
    from petseg_runtime.keras_file import SUFFIX as KERAS_SUFFIX

    digest = hashlib.sha256()
    files = [path] if path.suffix == KERAS_SUFFIX else format_of(path).files(path)
    for file in files:
        digest.update(os.fsencode(file.relative_to(path) if path.is_dir() else ""))
        with file.open("rb") as opened:
            digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
