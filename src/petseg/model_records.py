"""Reading and changing the record of a model, `ModelInfo`."""

import os
from typing import Any

import keras

from petseg.models.layers import SegmentationOutput
from petseg_runtime.keras_file import info_in_config
from petseg_runtime.model_info import ModelInfo
from petseg_runtime.runtime import Runtime, read_model_info


def model_info(source: keras.Model | Runtime | str | os.PathLike[str]) -> ModelInfo:
    """Reads what a model is: its classes, its image size, its architecture and more.

    Args:
        source: A Keras model, a `petseg.Runtime`, or the path of a `.keras` file or of an exported
            model. Where the format allows it, only the record of a file is read.

    Returns:
        The record. Models of petseg 0.1.0 and models from elsewhere have none. If they are compiled
        with `petseg.MeanIoU`, their class names and ignored class are taken from that metric, else
        their classes are called "0", "1" and so on. A model of petseg that was given a new head
        counts as one from elsewhere. A `.keras` file from elsewhere that has no such metric is
        refused.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is damaged, or the model does not return logits.
        TypeError: If `source` is none of these.

    Example:
        >>> petseg.model_info(petseg.unet(weights="pets")).class_names
        ('pet', 'background', 'border')
    """
    if isinstance(source, Runtime):
        return source.info
    if isinstance(source, str | os.PathLike):
        return read_model_info(source)
    if not isinstance(source, keras.Model):
        raise TypeError(
            f"`source` must be a keras.Model, a petseg.Runtime or a path. Received: {source!r}."
        )
    layer = _output_layer(source)
    if layer is None or not _is_output(layer.info, source):
        return _info_without_record(source)
    fixed = _fixed_size(source)
    is_known = layer.info.image_size is not None or fixed is None
    return layer.info if is_known else layer.info.replace(image_size=fixed)


def update_info(model: keras.Model, **changes: Any) -> None:
    """Changes fields of a model's record in place. Does nothing to a model without a record.

    Args:
        model: A Keras model.
        **changes: New values by field name of `ModelInfo`.

    Raises:
        ValueError: If a value is out of its range.
    """
    layer = _output_layer(model)
    if layer is not None:
        layer.info = layer.info.replace(**changes)


def copy_info(source: keras.Model, target: keras.Model) -> None:
    """Gives a model the record of another one. Does nothing where one of them has none.

    Args:
        source: A Keras model.
        target: A Keras model with the same classes.
    """
    original, copy = _output_layer(source), _output_layer(target)
    if original is not None and copy is not None:
        copy.info = original.info


def _output_layer(model: keras.Model) -> SegmentationOutput | None:
    for layer in reversed(model.layers):
        if isinstance(layer, SegmentationOutput):
            return layer
        if isinstance(layer, keras.Model):
            found = _output_layer(layer)
            if found is not None:
                return found
    return None


def _info_without_record(model: keras.Model) -> ModelInfo:
    # `model.metrics` lists compiled metrics only after the model was called on data.
    names = {"name": model.name, "layers": [{"name": layer.name} for layer in model.layers]}
    found = info_in_config({"config": names, "compile_config": model.get_compile_config()})
    shape = getattr(model, "output_shape", None)
    if found is None and isinstance(shape, tuple) and len(shape) == 4 and (shape[-1] or 0) >= 2:
        found = ModelInfo(tuple(map(str, range(shape[-1]))))
    if found is None:
        raise ValueError(
            "`source` must be a segmentation model that returns logits (N, H, W, num_classes). "
            f"Received: {model.name!r} with output shape {shape}."
        )
    fixed = _fixed_size(model)
    shape = getattr(model, "input_shape", None)  # a subclassed model has none
    if isinstance(shape, tuple) and isinstance(shape[-1], int):
        found = found.replace(channels=shape[-1])
    return found if fixed is None else found.replace(image_size=fixed)


def _is_output(info: ModelInfo, model: keras.Model) -> bool:
    """Whether a record is that of the model's output, and not of a part that has a new head."""
    shape = getattr(model, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) not in (3, 4):
        return False
    return len(shape) == 3 or shape[-1] == info.num_classes


def _fixed_size(model: keras.Model) -> tuple[int, int] | None:
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or None in shape[1:3]:
        return None
    return shape[1], shape[2]
