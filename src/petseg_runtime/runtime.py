"""Exported networks in their own runtimes: one door to four formats."""

import importlib
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from petseg_runtime.prediction import Predictor

METADATA = "petseg.json"  # where the format keeps files beside the network, or its entry "petseg"
ONNX_KEY = "petseg"


@dataclass(frozen=True)
class Artifact:
    """An opened network: images `(N, H, W, 3)` to its output, its input size, what is noted."""

    run: Callable[[np.ndarray], np.ndarray]
    input_size: tuple[int | None, int | None]
    metadata: dict[str, Any]


class Runtime:
    """A network that `petseg.export` wrote, in the runtime of its format.

    Called with RGB images `(N, H, W, 3)` in [0, 255], it returns what the model did: float32 logits
    `(N, H, W, C)`, or the classes `(N, H, W)` when it was exported with `argmax`. Its `predict` is
    `petseg.predict`.

    `path` is an ONNX file (`.onnx`, run by `onnxruntime`), a LiteRT file (`.tflite`,
    `ai-edge-litert`), an OpenVINO file (`.xml`, `openvino`) or the folder of a SavedModel
    (`tensorflow`). All compute in float32 on all cores.

    `input_size` is the `(H, W)` that it takes, `None` for any; `class_names` name the classes;
    `metadata` is all that the artifact says about itself.

    Raises `FileNotFoundError` when there is no such file, `ValueError` when it is none of these
    formats or is damaged, and `ImportError` when its runtime is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]):
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"There is no exported network {path}.")
        suffix = "" if path.is_dir() else path.suffix
        if suffix not in OPENERS:
            raise ValueError(
                f"`path` must be a file {', '.join(filter(None, OPENERS))}, or the folder of a "
                f"SavedModel. Received: {path}."
            )
        try:
            artifact = OPENERS[suffix](path)
        except ImportError:
            raise
        except Exception as error:  # each runtime has errors of its own
            raise ValueError(f"{path} cannot be opened: {error} Export the model anew.") from error
        self.path = path
        self.metadata = artifact.metadata
        self.input_size = artifact.input_size
        self._run = artifact.run

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes, in their order; none where the artifact says nothing."""
        return tuple(self.metadata.get("class_names", ()))

    def __call__(self, images: Any) -> np.ndarray:
        pixels = np.asarray(images, np.float32)
        sizes = zip(self.input_size, pixels.shape[1:3], strict=False)
        if (
            pixels.ndim != 4
            or pixels.shape[3] != 3
            or any(own not in (None, given) for own, given in sizes)
        ):
            height, width = ("any" if side is None else side for side in self.input_size)
            raise ValueError(
                f"`images` must be RGB of shape (N, {height}, {width}, 3). "
                f"Received: shape {pixels.shape}."
            )
        return self._run(pixels)

    def predict(
        self,
        images: Any,
        *,
        image_size: tuple[int, int] | None = None,
        tta: bool = False,
        tile: int | None = None,
    ) -> Any:
        """The masks of images, files, folders or batches, as `petseg.predict` gives them."""
        return Predictor(self, self.input_size, image_size, tta, tile)(images)

    def __repr__(self) -> str:
        return f"Runtime({str(self.path)!r})"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _runtime(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"This format needs {package}: pip install {package}, or petseg[export] for all."
        ) from error


def _size(shape: Any) -> tuple[int | None, int | None]:
    """Height and width of an input shape in which any side is a name, or not positive."""
    height, width = (
        int(s) if isinstance(s, int | np.integer) and s > 0 else None for s in shape[1:3]
    )
    return height, width


def _open_onnx(path: Path) -> Artifact:
    onnxruntime = _runtime("onnxruntime", "onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _cores()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(
        path, sess_options=options, providers=["CPUExecutionProvider"]
    )
    (given,) = session.get_inputs()
    noted = session.get_modelmeta().custom_metadata_map.get(ONNX_KEY, "{}")
    return Artifact(
        lambda images: session.run(None, {given.name: images})[0],
        _size(given.shape),
        json.loads(noted),
    )


def _open_litert(path: Path) -> Artifact:
    litert = _runtime("ai_edge_litert.interpreter", "ai-edge-litert")
    interpreter = litert.Interpreter(model_path=str(path), num_threads=_cores())
    given, result = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    shape: tuple[int, ...] = ()

    def run(images: np.ndarray) -> np.ndarray:
        nonlocal shape
        if images.shape != shape:
            shape = images.shape
            interpreter.resize_tensor_input(given["index"], shape)
            interpreter.allocate_tensors()
        interpreter.set_tensor(given["index"], images)
        interpreter.invoke()
        return interpreter.get_tensor(result["index"])

    noted = "{}"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as files:
            if METADATA in files.namelist():
                noted = files.read(METADATA).decode()
    return Artifact(run, _size(given["shape_signature"]), json.loads(noted))


def _open_openvino(path: Path) -> Artifact:
    openvino = _runtime("openvino", "openvino")
    core = openvino.Core()
    model = core.read_model(path)
    # It would compute in bfloat16 where the processor can, a hundred times less precise.
    compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    noted = "{}"
    if model.has_rt_info([ONNX_KEY]):
        noted = model.get_rt_info([ONNX_KEY]).value
    sides = [None if side.is_dynamic else side.get_length() for side in model.input().partial_shape]
    return Artifact(lambda images: compiled(images)[0], _size(sides), json.loads(noted))


def _open_saved_model(path: Path) -> Artifact:
    tensorflow = _runtime("tensorflow", "tensorflow")
    loaded = tensorflow.saved_model.load(str(path))
    (given,) = loaded.signatures["serving_default"].structured_input_signature[1].values()
    noted = path / "assets.extra" / METADATA
    metadata = json.loads(noted.read_text(encoding="utf-8")) if noted.exists() else {}
    return Artifact(lambda images: loaded.serve(images).numpy(), _size(given.shape), metadata)


OPENERS: dict[str, Callable[[Path], Artifact]] = {
    ".onnx": _open_onnx,
    ".tflite": _open_litert,
    ".xml": _open_openvino,
    "": _open_saved_model,
}
