"""Checks of arguments that only the architectures have."""

from collections.abc import Sequence
from typing import Any

import keras

from petseg_runtime import validation
from petseg_runtime.predictor import MIN_SIZE


def image_input(image_shape: Any) -> keras.KerasTensor:
    """Returns the input tensor for RGB images.

    Args:
        image_shape: (height, width, 3), each size None (any) or at least 32.

    Returns:
        A float32 tensor `(N, H, W, 3)`.

    Raises:
        ValueError: If `image_shape` is not such a shape.
    """
    shape = tuple(image_shape) if isinstance(image_shape, Sequence) else ()
    if (
        len(shape) != 3
        or shape[2] != 3
        or not all(s is None or (validation.is_integer(s) and s >= MIN_SIZE) for s in shape[:2])
    ):
        raise ValueError(
            f"`image_shape` must be (height, width, 3), each size None or at least {MIN_SIZE}. "
            f"Received: {image_shape!r}."
        )
    return keras.Input(shape, name="images")


def atrous_stride(value: Any) -> int:
    """Checks the output stride of a dilated encoder.

    Args:
        value: What was received as `output_stride`.

    Returns:
        `value` as an `int`.

    Raises:
        ValueError: If `value` is not 8 or 16.
    """
    if not validation.is_integer(value) or value not in (8, 16):
        raise ValueError(f"`output_stride` must be 8 or 16. Received: {value!r}.")
    return int(value)
