"""Exported models in their own runtimes, one class for four formats."""

import os
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Self, overload

import numpy as np

from petseg_runtime.digests import files_digest
from petseg_runtime.formats import Artifact, Format, format_of
from petseg_runtime.keras_file import SUFFIX as KERAS_SUFFIX
from petseg_runtime.keras_file import read_keras_info
from petseg_runtime.model_info import ModelInfo
from petseg_runtime.predictor import AUTO, Prediction, Predictor
from petseg_runtime.pretrained import (
    DEFAULT_ARCHITECTURE,
    FOLDER,
    full_name,
    open_pretrained,
    read_card,
)

# On a CPU, larger batches are no faster, and make reading and writing wait.
IMAGES_AT_ONCE = 4


class Runtime:
    """Runs an exported or a pretrained model, with neither Keras nor TensorFlow.

    Calling it with images `(N, H, W, C)` in [0, 255] returns what the model returns: float32
    logits `(N, H, W, num_classes)`, or int classes `(N, H, W)` where it was exported with `argmax`.
    All formats compute in float32 on all usable cores.

    Args:
        path: An ONNX file (`.onnx`, run by `onnxruntime`), a LiteRT file (`.tflite`, run by
            `ai-edge-litert`), an OpenVINO file (`.xml`, run by `openvino`) or the directory of a
            SavedModel (run by `tensorflow`).

    Attributes:
        path: The path.
        info: The `petseg.ModelInfo` of the model.
        input_size: (height, width) of the input, None for a side of any length.
        digest: SHA-256 of the files, which tells whether a result was made by the same model.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another format or is damaged.
        ImportError: If the format's runtime is not installed.

    Example:
        >>> runtime = petseg.Runtime("unet.onnx")
        >>> mask = runtime.predict("cat.jpg")
    """

    _digest: Callable[[], str]

    def __init__(self, path: str | os.PathLike[str]):
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"There is no exported model {self.path}.")
        row = format_of(self.path)
        self._use(_opened(self.path, row))
        self._digest = lambda: files_digest(self.path, row.files(self.path))

    def _use(self, artifact: Artifact) -> None:
        self.info = _info_of(self.path, artifact)
        self.input_size = artifact.input_size
        self._run = artifact.run
        self._one_core = artifact.one_core

    @classmethod
    def pretrained(cls, name: str = DEFAULT_ARCHITECTURE) -> Self:
        """Opens a pretrained model of the package in ONNX Runtime.

        It is the model that `petseg.unet(weights="pets")` and its like build in Keras. The command
        `petseg models` lists the names.

        Args:
            name: An architecture, such as "unet", or an architecture and a backbone, such as
                "unet-mobilenetv2".

        Returns:
            The model, whose `path` is that of its graph.

        Raises:
            ValueError: If there is no such model.
            OSError: If a file of the package is missing or was changed.

        Example:
            >>> from petseg_runtime import Runtime
            >>> mask = Runtime.pretrained().predict("cat.jpg")
        """
        name = full_name(name)
        runtime = cls.__new__(cls)
        runtime.path = FOLDER / f"{name}.onnx"
        runtime._use(open_pretrained(name))
        runtime._digest = lambda: read_card(name)["sha256"]
        return runtime

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the files, which tells whether a result was made by the same model."""
        return self._digest()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each class, in the order of the labels."""
        return self.info.class_names

    def __call__(self, images: Any) -> np.ndarray:
        pixels = np.asarray(images, np.float32)
        sizes = zip(self.input_size, pixels.shape[1:3], strict=False)
        if (
            pixels.ndim != 4
            or pixels.shape[3] != self.info.channels
            or any(own not in (None, given) for own, given in sizes)
        ):
            height, width = ("any" if side is None else side for side in self.input_size)
            raise ValueError(
                f"`images` must be {'RGB ' if self.info.channels == 3 else ''}of shape "
                f"(N, {height}, {width}, {self.info.channels}). "
                f"Received: shape {pixels.shape}."
            )
        return self._run(pixels)

    @overload
    def predict(  # type: ignore[overload-overlap] # a str is a sequence of str
        self,
        images: str | os.PathLike[str] | np.ndarray,
        *,
        image_size: tuple[int, int] | None = None,
        tta: bool = False,
        tile: int | None = None,
        scales: Sequence[float] | str = AUTO,
        output: str = "mask",
    ) -> np.ndarray: ...

    @overload
    def predict(
        self,
        images: Sequence[str | os.PathLike[str]],
        *,
        image_size: tuple[int, int] | None = None,
        tta: bool = False,
        tile: int | None = None,
        scales: Sequence[float] | str = AUTO,
        output: str = "mask",
    ) -> Iterator[Prediction]: ...

    @overload
    def predict(
        self,
        images: Iterator[Any],
        *,
        image_size: tuple[int, int] | None = None,
        tta: bool = False,
        tile: int | None = None,
        scales: Sequence[float] | str = AUTO,
        output: str = "mask",
    ) -> Iterator[np.ndarray]: ...

    def predict(
        self,
        images: Any,
        *,
        image_size: tuple[int, int] | None = None,
        tta: bool = False,
        tile: int | None = None,
        scales: Sequence[float] | str = AUTO,
        output: str = "mask",
    ) -> Any:
        """Predicts the class of each pixel, as `petseg.predict` does.

        Args:
            images: One image, a batch, a list of files, or batches; see `petseg.predict`.
            image_size: (height, width) at which the model sees an image.
            tta: Whether to average with the prediction for the mirrored image.
            tile: Side in pixels of the tiles in which the model sees large images.
            scales: Factors of the size at which the model sees an image, once at each. "auto" is 1,
                and 1.5 as well where that pays.
            output: "mask", or "probabilities" for the probability of each class.

        Returns:
            Masks or probabilities, or records of them for files; see `petseg.predict`.

        Raises:
            FileNotFoundError: If one image is given by a path that does not exist.
            ValueError: If an image or an argument does not fit the model.
            TypeError: If `images` is none of these.
        """
        return self.predictor(image_size, tta, tile, scales, output)(images)

    def predictor(
        self,
        image_size: tuple[int, int] | None = None,
        tta: bool = False,
        tile: int | None = None,
        scales: Sequence[float] | str = AUTO,
        output: str = "mask",
    ) -> Predictor:
        """Builds the object that `predict` calls.

        Args:
            image_size: (height, width) at which the model sees an image, or None for the size in
                the model's record.
            tta: Whether to average with the prediction for the mirrored image.
            tile: Side in pixels of the tiles in which the model sees large images, or None.
            scales: Factors of the size at which the model sees an image, or "auto".
            output: "mask" or "probabilities".

        Returns:
            A `Predictor`, which can be called many times.

        Raises:
            ValueError: If a size does not fit the model.
        """
        return Predictor(
            self,
            self.info,
            self.input_size,
            image_size,
            tta,
            tile,
            scales,
            output,
            images_at_once=IMAGES_AT_ONCE,
            one_core=self._one_core,
        )

    def __repr__(self) -> str:
        return f"Runtime({str(self.path)!r})"


def read_model_info(path: str | os.PathLike[str]) -> ModelInfo:
    """Reads the model record of a saved or exported model, without loading the model.

    Args:
        path: A `.keras` file, or an exported model as `Runtime` takes it.

    Returns:
        The record.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file has another format, is damaged, or holds no record.
        ImportError: If the format's runtime is needed to read it and not installed.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no model {path}.")
    if path.suffix == KERAS_SUFFIX and path.is_file():
        return read_keras_info(path)
    if path.name.endswith(".weights.h5"):
        raise ValueError(f"{path} holds weights alone. Pass a `.keras` file or an exported model.")
    try:
        record = format_of(path).read_record(path)
    except ImportError:
        raise
    except Exception as error:  # each runtime has errors of its own
        raise ValueError(f"{path} cannot be read: {error} Export the model again.") from error
    if record is None:
        raise ValueError(f"{path} holds no model record. Export the model with `petseg.export`.")
    return _parsed(path, record)


def _opened(path: Path, row: Format) -> Artifact:
    try:
        return row.open(path)
    except ImportError:
        raise
    except Exception as error:  # each runtime has errors of its own
        raise ValueError(f"{path} cannot be opened: {error} Export the model again.") from error


def _info_of(path: Path, artifact: Artifact) -> ModelInfo:
    if artifact.record is not None:
        return _parsed(path, artifact.record)
    # A model from elsewhere: its classes have numbers alone.
    if artifact.num_classes is None or artifact.num_classes < 2:
        raise ValueError(
            f"{path} holds no model record, and its output is not logits (N, H, W, num_classes). "
            "Export the model with `petseg.export`."
        )
    return ModelInfo(tuple(map(str, range(artifact.num_classes))))


def _parsed(path: Path, record: str) -> ModelInfo:
    try:
        return ModelInfo.from_json(record)
    except ValueError as error:
        raise ValueError(
            f"{path} holds a damaged model record: {error} Export the model again."
        ) from error
