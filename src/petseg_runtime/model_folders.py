"""Folders of models as TensorFlow Serving and Triton read them: one model in numbered versions."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from petseg_runtime.part_folders import locked

# The most images that Triton gives to a model at once.
MAX_BATCH_SIZE = 8

TRITON_CONFIG = "config.pbtxt"
# Triton's names of the types that exported models take and return, by ONNX's names.
TRITON_TYPES = {"FLOAT": "TYPE_FP32", "INT32": "TYPE_INT32"}

# Triton ignores folders whose name begins with 0.
VERSION = re.compile("[1-9][0-9]*")


@dataclass(frozen=True)
class Server:
    """A row of `SERVERS`.

    Attributes:
        format: Key of `FORMATS`: the format of the models that it reads.
        file: Name of a model in the folder of a version, empty where the folder is the model.
        has_config: Whether a file beside the versions describes the inputs and outputs of all.
    """

    format: str
    file: str = ""
    has_config: bool = False


SERVERS = {
    "tensorflow": Server("saved_model"),
    "triton": Server("onnx", "model.onnx", has_config=True),
}


def newest_version(folder: Path) -> int:
    """Finds the newest version in the folder of a model.

    Args:
        folder: The folder. It need not exist.

    Returns:
        The greatest number of a version, or 0 where there is none.
    """
    entries = folder.iterdir() if folder.is_dir() else ()
    return max((int(entry.name) for entry in entries if VERSION.fullmatch(entry.name)), default=0)


def model_of_version(folder: Path, version: int, server: Server) -> Path:
    """Names the exported model of a version.

    Args:
        folder: The folder of the model.
        version: The number of the version.
        server: A row of `SERVERS`.

    Returns:
        Its path.
    """
    return folder / str(version) / server.file


def add_version(exported: Path, folder: Path, server: Server) -> Path:
    """Moves an exported model into the folder of a model, as its next version.

    A server that watches the folder sees the whole version or none.

    Args:
        exported: The exported model, in a temporary folder on the same file system.
        folder: The folder of the model. It must exist.
        server: A row of `SERVERS`.

    Returns:
        The path of the exported model in the folder of its version.

    Raises:
        ValueError: If the versions share a configuration, and the model does not fit the earlier
            ones.
        OSError: If it cannot be moved.
    """
    config = exported.with_name(TRITON_CONFIG)
    if server.has_config:
        config.write_text(triton_config(exported), encoding="utf-8")
    version = exported
    if server.file:
        version = exported.with_name("version")
        version.mkdir()
        exported.rename(version / server.file)
    with locked(folder):
        newest = newest_version(folder)
        if server.has_config and newest:
            _check_fits(config, folder, model_of_version(folder, newest, server))
        version.rename(folder / str(newest + 1))
        if server.has_config and not (folder / TRITON_CONFIG).exists():  # users change it
            config.rename(folder / TRITON_CONFIG)
    return model_of_version(folder, newest + 1, server)


def triton_config(model: Path) -> str:
    """Describes an ONNX file as Triton wants it.

    Args:
        model: An ONNX file whose first dimension is that of the batch.

    Returns:
        The text of a `config.pbtxt`. The name of the model is left out: it is that of its folder.
    """
    import onnx

    graph = onnx.load(model, load_external_data=False).graph
    return "\n".join(
        [
            'backend: "onnxruntime"',
            f"max_batch_size: {MAX_BATCH_SIZE}",
            *_tensors("input", graph.input),
            *_tensors("output", graph.output),
            "dynamic_batching { }\n",
        ]
    )


def _tensors(kind: str, values: Any) -> list[str]:
    import onnx

    lines = []
    for value in values:
        tensor = value.type.tensor_type
        data_type = TRITON_TYPES[onnx.TensorProto.DataType.Name(tensor.elem_type)]
        # Triton adds the dimension of the batch. A dimension of any length has no value.
        dims = ", ".join(str(side.dim_value or -1) for side in tensor.shape.dim[1:])
        lines += [
            f"{kind} [",
            "  {",
            f"    name: {json.dumps(value.name)}",
            f"    data_type: {data_type}",
            f"    dims: [ {dims} ]",
            "  }",
            "]",
        ]
    return lines


def _check_fits(config: Path, folder: Path, earlier: Path) -> None:
    if config.read_text(encoding="utf-8") != triton_config(earlier):
        raise ValueError(
            f"A version must have the inputs and outputs of the earlier ones, which "
            f"{folder / TRITON_CONFIG} describes. Received: a model of other inputs or outputs "
            f"than {earlier}. Nothing was written. Export it to the folder of another model."
        )
