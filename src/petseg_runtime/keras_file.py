"""The model record in a `.keras` file, read without Keras."""

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from petseg_runtime.archives import read_member
from petseg_runtime.json_text import parse_json
from petseg_runtime.model_info import ModelInfo

SUFFIX = ".keras"
OUTPUT_LAYER = "petseg>SegmentationOutput"
METRIC = "petseg>MeanIoU"


def read_keras_info(path: Path) -> ModelInfo:
    """Reads the model record of a `.keras` file.

    Files of petseg 0.1.0 have none. What these know is read instead: the class names and the
    ignored class of the metric that the model was compiled with.

    Args:
        path: A file that `keras.Model.save` wrote.

    Returns:
        The record.

    Raises:
        ValueError: If the file is damaged, or the model is not one of petseg.
    """
    try:
        with zipfile.ZipFile(path) as files:
            found = info_in_config(parse_json(read_member(files, "config.json")))
    except Exception as error:  # zipfile raises nearly anything on a damaged file
        raise ValueError(
            f"{path} is not a file that `keras.Model.save` wrote, or it is damaged: {error}. "
            "Save the model again."
        ) from error
    if found is None:
        raise ValueError(
            f"{path} holds a model that is not one of petseg: it has no model record. Build the "
            "model with petseg, for example `petseg.unet(...)`."
        )
    return found


def info_in_config(config: Any) -> ModelInfo | None:
    """Finds the model record in the configuration of a Keras model.

    Args:
        config: What `keras.saving.serialize_keras_object` returns for the model.

    Returns:
        The record of the output layer; without one, the names of the compiled `MeanIoU`; else None.
    """
    for layer in _nodes(config, OUTPUT_LAYER):
        return ModelInfo.from_dict(layer["config"]["info"])
    if not isinstance(config, Mapping):
        return None
    for metric in _nodes(config.get("compile_config"), METRIC):
        settings = metric["config"]
        names = settings.get("class_names") or range(settings["num_classes"])
        model = config["config"]
        # Every model of petseg has a layer of that name, and is called after its architecture.
        is_ours = any(layer.get("name") == "encoder" for layer in model.get("layers", ()))
        return ModelInfo(
            tuple(map(str, names)),
            settings.get("ignore_class"),
            architecture=model["name"] if is_ours else None,
        )
    return None


def _nodes(node: Any, registered_name: str) -> Iterator[Mapping[str, Any]]:
    """Yields the serialized objects of a registered class, in document order."""
    if isinstance(node, Mapping):
        if node.get("registered_name") == registered_name:
            yield node
        else:
            for child in node.values():
                yield from _nodes(child, registered_name)
    elif isinstance(node, list):
        for child in node:
            yield from _nodes(child, registered_name)
