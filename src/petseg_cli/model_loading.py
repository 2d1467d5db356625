"""From the path of a model to the model and its record."""

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

    from petseg_runtime import ModelInfo, Runtime
    from petseg_runtime.predictor import Predictor

DEFAULT_MODEL = "unet"
RUN_MODEL = "model.keras"  # in the folder of a run; a test compares it with `RunFiles`
FALLBACK_SIZE = (224, 224)
SMALLEST_SIDE = 32
# Written out, because the formats import NumPy. A test compares them with `petseg_runtime`.
KERAS_SUFFIX = ".keras"
SUFFIXES = (KERAS_SUFFIX, ".onnx", ".tflite", ".xml")

MODEL_HELP = (
    "A pretrained model by name (petseg models), a saved or exported model, or the folder of a "
    f"run. Default: {DEFAULT_MODEL}."
)

ModelOption = Annotated[
    Path | None,
    typer.Option("--model", metavar="MODEL", help=MODEL_HELP),
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

    def predictor(
        self,
        image_size: tuple[int, int] | None,
        tta: bool,
        tile: int | None,
        scales: tuple[float, ...] | str,
        output: str,
    ) -> "Predictor":
        """Makes what predicts photos.

        Args:
            image_size: (height, width) at which the model sees a photo, or None.
            tta: Whether to average with the mirrored photo.
            tile: Side of the tiles in pixels, or None.
            scales: Factors of the size at which the model sees a photo, or "auto".
            output: "mask" or "probabilities".

        Returns:
            The predictor.
        """
        from petseg_runtime import Runtime

        if isinstance(self.model, Runtime):  # without an import of TensorFlow
            return self.model.predictor(image_size, tta, tile, scales, output)
        from petseg.prediction import predictor

        return predictor(self.model, image_size, tta, tile, scales, output)

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


def find_model(model: Path | None) -> Path | str:
    """Finds a model by a path or a name, without importing anything large.

    Args:
        model: A file, a folder, the name of a pretrained model, or None for the default model. What
            exists in the file system comes before a name.

    Returns:
        The path of a model, or the full name of a pretrained one.

    Raises:
        FileNotFoundError: If there is neither a file nor a pretrained model.
        ValueError: If it is neither a file nor a directory, a directory that holds no model, or a
            file of another format.
    """
    from petseg_runtime.pretrained import full_name

    if model is None:
        return full_name(DEFAULT_MODEL)
    shown = printable(model)
    if not model.exists():
        try:
            return full_name(str(model))
        except ValueError:
            hint = (
                "."
                if model.suffix
                else ", and no pretrained model of that name. `petseg models` lists them."
            )
            raise FileNotFoundError(f"There is no model file {shown}{hint}") from None
    if model.is_dir():
        if (model / RUN_MODEL).is_file():
            return model / RUN_MODEL
        if not (model / "saved_model.pb").is_file():
            raise ValueError(
                f"{shown} is a directory, but neither that of a run, which holds {RUN_MODEL}, nor "
                "that of a SavedModel."
            )
    elif not stat.S_ISREG(model.stat().st_mode):
        raise ValueError(f"{shown} is not a regular file.")
    elif model.suffix not in SUFFIXES:
        hint = ""
        if model.name.endswith(".weights.h5"):
            hint = " Weights alone are not a model: save the model with `model.save`."
        raise ValueError(
            f"A model must be a file that ends in {', '.join(SUFFIXES)}, the folder of a run, the "
            "directory of a SavedModel, or the name of a pretrained model. "
            f"Received: {shown}.{hint}"
        )
    return model


def image_channels(found: Path | str) -> int:
    """Reads how many channels the images of a model have. Loads it only if it has no record.

    Args:
        found: What `find_model` returned.

    Returns:
        The number.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged.
        ImportError: If the runtime of an exported model is not installed.
    """
    from petseg_runtime.runtime import read_model_info

    if isinstance(found, str):
        return 3
    try:
        return read_model_info(found).channels
    except ValueError:  # damaged, or from elsewhere
        return load_model(found).info.channels


def load_model(found: Path | str) -> LoadedModel:
    """Loads a model. Pretrained and exported ones run without TensorFlow.

    Args:
        found: What `find_model` returned.

    Returns:
        The model with its record.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged.
        ImportError: If the runtime of an exported model is not installed.
    """
    from petseg_runtime import Runtime

    if isinstance(found, str):
        runtime = Runtime.pretrained(found)
        return LoadedModel(runtime, runtime.info, found, runtime.digest)
    if found.suffix == KERAS_SUFFIX:
        return load_keras_model(found)
    with quiet_stderr():
        runtime = _open_runtime(found)
    return LoadedModel(runtime, runtime.info, printable(found), runtime.digest)


def load_keras_model(found: Path | str) -> LoadedModel:
    """Loads a model in Keras.

    Args:
        found: What `find_model` returned: a `.keras` file, or the name of a pretrained model.

    Returns:
        The model with its record.

    Raises:
        ValueError: If the file is damaged.
    """
    with quiet_import():
        import petseg
    from petseg_runtime.digests import files_digest
    from petseg_runtime.pretrained import read_card

    if isinstance(found, str):
        card = read_card(found)
        model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
        return LoadedModel(model, petseg.model_info(model), found, card["sha256"])
    model = _load_keras(found)
    digest = files_digest(found, [found])
    return LoadedModel(model, petseg.model_info(model), printable(found), digest)


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

    from petseg_runtime import Runtime

    runtime = Runtime(path)
    height, width = (side or SMALLEST_SIDE for side in runtime.input_size)
    runtime(np.zeros((1, height, width, runtime.info.channels), np.float32))
    return runtime
