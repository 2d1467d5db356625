"""Checks of arguments that only the architectures have."""

from collections.abc import Collection
from contextlib import suppress
from typing import Any

import keras

from petseg.backbones import BACKBONES, Backbone
from petseg.own_backbone import find_backbone
from petseg.pretrained import PETS, find_pretrained
from petseg.weight_files import find_weights, saved_record
from petseg_runtime import validation
from petseg_runtime.predictor import MIN_SIZE
from petseg_runtime.pretrained import DEFAULT_BACKBONE, read_card

IMAGENET = "imagenet"  # a value of `weights`


def image_input(image_shape: Any) -> keras.KerasTensor:
    """Returns the input tensor.

    Args:
        image_shape: (height, width, channels), each size None (any) or at least 32.

    Returns:
        A float32 tensor `(N, H, W, C)`.

    Raises:
        ValueError: If `image_shape` is not such a shape.
    """
    shape = tuple(image_shape) if isinstance(image_shape, list | tuple) else ()
    if len(shape) != 3 or not all(map(_is_size, shape[:2])) or not _is_count(shape[2]):
        raise ValueError(
            "`image_shape` must be (height, width, channels), with one channel or more, and each "
            f"size None or at least {MIN_SIZE}. Received: {image_shape!r}."
        )
    height, width = (None if size is None else int(size) for size in shape[:2])
    return keras.Input((height, width, int(shape[2])), name="images")


def resolve_backbone(backbone: Any, architecture: str, weights: Any) -> Backbone:
    """Returns the backbone that an architecture is built on.

    Args:
        backbone: What was received as `backbone`.
        architecture: Key of `petseg.MODELS`.
        weights: What was received as `weights`.

    Returns:
        The backbone. For None, the one that the weights have where that is known, or
        `DEFAULT_BACKBONE`.

    Raises:
        ValueError: If `backbone` is none, `weights` is "pets" and there are no such weights, or
            they are a file of a backbone that only its user has.
    """
    if backbone is not None:
        return find_backbone(backbone)
    if weights == PETS:
        return BACKBONES[read_card(find_pretrained(architecture, None))["backbone"]]
    record = None
    if weights not in (None, IMAGENET):
        with suppress(ValueError):  # There is no such file: that is said where it is loaded.
            record = saved_record(find_weights(weights))
    if record is None or record.backbone is None:
        return BACKBONES[DEFAULT_BACKBONE]
    try:
        return find_backbone(record.backbone)
    except ValueError:
        raise ValueError(
            f"`backbone` must be given with these weights: they are of {record.backbone!r}, which "
            "is no backbone of petseg or of Keras. Received: None."
        ) from None


def output_stride(value: Any, allowed: Collection[int]) -> int:
    """Checks an output stride.

    Args:
        value: What was received as `output_stride`.
        allowed: The strides that the architecture can have.

    Returns:
        `value` as an `int`.

    Raises:
        ValueError: If `value` is not one of `allowed`.
    """
    if not validation.is_integer(value) or value not in allowed:
        *others, last = map(str, allowed)
        raise ValueError(
            f"`output_stride` must be {', '.join(others)} or {last}. Received: {value!r}."
        )
    return int(value)


def _is_size(value: Any) -> bool:
    return value is None or (validation.is_integer(value) and value >= MIN_SIZE)


def _is_count(value: Any) -> bool:
    return validation.is_integer(value) and value >= 1
