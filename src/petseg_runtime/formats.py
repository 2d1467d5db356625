"""The formats of exported models: everything that is particular to one of them, a row each."""

import importlib
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

from petseg_runtime.archives import read_member
from petseg_runtime.digests import file_digest
from petseg_runtime.parallel import usable_cores

# What TensorFlow writes into the directory of a SavedModel.
SAVED_MODEL_ENTRIES = frozenset(
    {
        "assets",
        "assets.extra",
        "fingerprint.pb",
        "keras_metadata.pb",
        "saved_model.pb",
        "variables",
    }
)

# Name of the file that holds the model record, in formats that can carry files.
RECORD_FILE = "petseg.json"
# Key of the model record, in formats that have a table of text entries.
RECORD_KEY = "petseg"
# Key of the SHA-256 of the file beside, in formats that are two files.
WEIGHTS_KEY = "petseg_weights"


@dataclass(frozen=True)
class Artifact:
    """An opened exported model.

    Attributes:
        run: Maps float32 images `(N, H, W, 3)` to the model's output.
        input_size: (height, width) of the input, None for a side of any length.
        num_classes: Size of the output's last axis, or None where it is not known.
        record: JSON text of the model record, or None where the file has none.
        one_core: Opens the model once more, for calls of `run` from several threads at once, each
            of which takes one core. None in formats that cannot be called so.
    """

    run: Callable[[np.ndarray], np.ndarray]
    input_size: tuple[int | None, int | None]
    num_classes: int | None
    record: str | None
    one_core: Callable[[], Callable[[np.ndarray], np.ndarray]] | None = None


@dataclass(frozen=True)
class Format:
    """A row of `FORMATS`.

    Attributes:
        suffix: Suffix of its files. The empty string stands for a directory.
        keras_name: Its name in `keras.Model.export`.
        open: Opens a file in the format's own runtime.
        read_record: Reads the JSON text of the model record, None where the file has none.
        write_record: Writes the JSON text of the model record into a file.
        companion: Suffix of a second file beside the first one, or an empty string.
        entries: Names of everything in it where it is a directory.
    """

    suffix: str
    keras_name: str
    open: Callable[[Path], Artifact]
    read_record: Callable[[Path], str | None]
    write_record: Callable[[Path, str], None]
    companion: str = ""
    entries: frozenset[str] = frozenset()

    def files(self, path: Path) -> list[Path]:
        """Lists the files of an exported model.

        Args:
            path: The path of the model.

        Returns:
            The file, with its companion if it has one; all files in a directory.
        """
        if path.is_dir():
            return sorted(file for file in path.rglob("*") if file.is_file())
        return [path, path.with_suffix(self.companion)] if self.companion else [path]


def _import(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f"This format needs {package}. Install it with `pip install {package}`, or all formats "
            'with `pip install "petseg[export]"`.'
        ) from error


def _dimension(value: Any) -> int | None:
    """Returns a fixed dimension, or None for one that is a name or not positive."""
    return int(value) if isinstance(value, int | np.integer) and value > 0 else None


def _size(shape: Any) -> tuple[int | None, int | None]:
    return _dimension(shape[1]), _dimension(shape[2])


def _num_classes(shape: Any) -> int | None:
    return _dimension(shape[3]) if len(shape) == 4 else None


def _onnx_session(path: Path, weights: Mapping[str, np.ndarray], threads: int | None = None) -> Any:
    onnxruntime = _import("onnxruntime", "onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or usable_cores()
    options.log_severity_level = 3
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in weights.values()]
    options.add_external_initializers(list(weights), values)
    return onnxruntime.InferenceSession(
        path, sess_options=options, providers=["CPUExecutionProvider"]
    )


def open_onnx(
    path: Path, weights: Mapping[str, np.ndarray] | None = None, threads: int | None = None
) -> Artifact:
    """Opens an ONNX file in ONNX Runtime.

    Args:
        path: The file.
        weights: The weights that the file does not hold, float32, by name, if any.
        threads: Number of threads for one call. By default one for each core.

    Returns:
        The opened model.
    """
    session = _onnx_session(path, weights or {}, threads)
    (given,), (result,) = session.get_inputs(), session.get_outputs()
    return Artifact(
        lambda images: session.run(None, {given.name: images})[0],
        _size(given.shape),
        _num_classes(result.shape),
        session.get_modelmeta().custom_metadata_map.get(RECORD_KEY),
        one_core=lambda: open_onnx(path, weights, threads=1).run,
    )


def _read_onnx(path: Path) -> str | None:
    record: str | None = _onnx_session(path, {}).get_modelmeta().custom_metadata_map.get(RECORD_KEY)
    return record


def _write_onnx(path: Path, record: str) -> None:
    import onnx

    model = onnx.load(path, load_external_data=False)
    model.metadata_props.add(key=RECORD_KEY, value=record)
    onnx.save(model, path)


def _open_litert(path: Path) -> Artifact:
    litert = _import("ai_edge_litert.interpreter", "ai-edge-litert")
    interpreter = litert.Interpreter(model_path=str(path), num_threads=usable_cores())
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

    return Artifact(
        run,
        _size(given["shape_signature"]),
        _num_classes(result["shape_signature"]),
        _read_litert(path),
    )


def _read_litert(path: Path) -> str | None:
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as files:
        is_there = RECORD_FILE in files.namelist()
        return read_member(files, RECORD_FILE).decode() if is_there else None


def _write_litert(path: Path, record: str) -> None:
    # The format keeps associated files in a zip archive that is appended to the model.
    with zipfile.ZipFile(path, "a") as files:
        files.writestr(RECORD_FILE, record)


def _open_openvino(path: Path) -> Artifact:
    openvino = _import("openvino", "openvino")
    _check_weights(path)
    model = openvino.Core().read_model(path)
    # By default it computes in bfloat16 where the processor can, which is a hundred times less
    # precise.
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    given, result = (
        [None if side.is_dynamic else side.get_length() for side in port.partial_shape]
        for port in (model.input(), model.outputs[0])
    )
    return Artifact(
        lambda images: compiled(images)[0], _size(given), _num_classes(result), _read_openvino(path)
    )


def _read_openvino(path: Path) -> str | None:
    return _openvino_entry(path, RECORD_KEY)


def _openvino_entry(path: Path, key: str) -> str | None:
    entry = ET.parse(path).getroot().find(f"rt_info/{key}")
    return None if entry is None else entry.get("value")


def _check_weights(path: Path) -> None:
    """Refuses the weights of another export: they may fit, and then every mask is wrong."""
    wanted = _openvino_entry(path, WEIGHTS_KEY)
    weights = path.with_suffix(".bin")
    if wanted is not None and file_digest(weights) != wanted:
        raise ValueError(
            f"{weights.name} does not belong to it. An export was interrupted, or the file is "
            "damaged."
        )


def _write_openvino(path: Path, record: str) -> None:
    import openvino

    model = openvino.Core().read_model(path)
    model.set_rt_info(record, [RECORD_KEY])
    unknown = "?" * 64  # until the weights are written
    model.set_rt_info(unknown, [WEIGHTS_KEY])
    # OpenVINO cannot write over the file that it has open.
    written = path.with_name(f"record-{path.name}")
    openvino.save_model(model, written, compress_to_fp16=False)
    del model
    text = written.read_bytes()
    written.write_bytes(
        text.replace(unknown.encode(), file_digest(written.with_suffix(".bin")).encode())
    )
    for new, old in zip(
        FORMATS["openvino"].files(written), FORMATS["openvino"].files(path), strict=True
    ):
        new.replace(old)


def _open_saved_model(path: Path) -> Artifact:
    tensorflow = _import("tensorflow", "tensorflow")
    loaded = tensorflow.saved_model.load(str(path))
    signature = loaded.signatures["serving_default"]  # the one that TensorFlow Serving calls
    ((argument, given),) = signature.structured_input_signature[1].items()
    ((output, result),) = signature.structured_outputs.items()

    def run(images: np.ndarray) -> np.ndarray:
        outputs = loaded.signatures["serving_default"](**{argument: tensorflow.constant(images)})
        array: np.ndarray = outputs[output].numpy()
        return array

    return Artifact(
        run,
        _size(given.shape),
        _num_classes(result.shape),
        _read_saved_model(path),
    )


def _read_saved_model(path: Path) -> str | None:
    file = path / "assets.extra" / RECORD_FILE
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _write_saved_model(path: Path, record: str) -> None:
    folder = path / "assets.extra"
    folder.mkdir(exist_ok=True)
    (folder / RECORD_FILE).write_text(record + "\n", encoding="utf-8")


FORMATS: dict[str, Format] = {
    "saved_model": Format(
        "",
        "tf_saved_model",
        _open_saved_model,
        _read_saved_model,
        _write_saved_model,
        entries=SAVED_MODEL_ENTRIES,
    ),
    "onnx": Format(".onnx", "onnx", open_onnx, _read_onnx, _write_onnx),
    "litert": Format(".tflite", "litert", _open_litert, _read_litert, _write_litert),
    "openvino": Format(".xml", "openvino", _open_openvino, _read_openvino, _write_openvino, ".bin"),
}


def format_of(path: Path) -> Format:
    """Finds the format of an exported model by its suffix; a directory is a SavedModel.

    Args:
        path: An exported model.

    Returns:
        The row of `FORMATS`.

    Raises:
        ValueError: If no format has that suffix.
    """
    suffix = "" if path.is_dir() else path.suffix.lower()
    for row in FORMATS.values():
        if row.suffix == suffix:
            return row
    raise ValueError(f"`path` must {_endings()}. Received: {str(path)!r}.")


def format_name(path: Path, name: str | None = None) -> str:
    """Finds the format in which to export to a path.

    Args:
        path: Where to write.
        name: Key of `FORMATS`, or None for what the suffix says.

    Returns:
        A key of `FORMATS`.

    Raises:
        ValueError: If there is no such format, or `path` has another suffix.
    """
    by_suffix = {row.suffix: key for key, row in FORMATS.items()}
    if name is None:
        if path.suffix not in by_suffix:
            raise ValueError(f"`path` must {_endings()}. Received: {str(path)!r}.")
        return by_suffix[path.suffix]
    if name not in FORMATS:
        raise ValueError(f"`format` must be one of {', '.join(FORMATS)}. Received: {name!r}.")
    if path.suffix != FORMATS[name].suffix:
        raise ValueError(
            f"`path` must end in {FORMATS[name].suffix or 'no suffix'} for the format {name}. "
            f"Received: {str(path)!r}."
        )
    return name


def _endings() -> str:
    suffixes = ", ".join(row.suffix for row in FORMATS.values() if row.suffix)
    return f"end in {suffixes}, or be the directory of a SavedModel"
