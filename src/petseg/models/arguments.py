"""Checks of arguments that only the architectures have."""

from collections.abc import Collection
from contextlib import suppress
from typing import Any

import keras

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


def resolve_backbone(backbone: str | None, architecture: str, weights: Any) -> str:
    """Returns the backbone that an architecture is built on.

    Args:
        backbone: What was received: a key of `petseg.BACKBONES`, or None.
        architecture: Key of `petseg.MODELS`.
        weights: What was received as `weights`.

    Returns:
        The backbone. For None, the one that the weights have where that is known, or
        `DEFAULT_BACKBONE`.

    Raises:
        ValueError: If `weights` is "pets" and there are no such weights.
    """
    if backbone is not None:
        return backbone
    if weights == PETS:
        backbone = read_card(find_pretrained(architecture, None))["backbone"]
        return str(backbone)
    if weights not in (None, IMAGENET):
        with suppress(ValueError):  # There is no such file: that is said where it is loaded.
            record = saved_record(find_weights(weights))
            if record is not None and record.backbone is not None:
                return record.backbone
    return DEFAULT_BACKBONE


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
