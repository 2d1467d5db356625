"""What may be given as `backbone`: a name, a function of Keras, a model or a `Backbone`."""

import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import applications, ops

from petseg.backbones import BACKBONES, Backbone, rescale
from petseg_runtime import validation

BackboneLike = str | Backbone | keras.Model | Callable[..., keras.Model]
Preprocess = Callable[[np.ndarray], np.ndarray]


def find_backbone(value: Any) -> Backbone:
    """Turns what was given as `backbone` into a backbone.

    Args:
        value: Key of `BACKBONES`, function of `keras.applications` or its name, Keras model, or
            `Backbone`.

    Returns:
        The backbone. Nothing is built yet.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(value, Backbone):
        return value
    if isinstance(value, keras.Model):
        return Backbone(value.name, value)
    build = getattr(applications, value, None) if isinstance(value, str) else value
    if callable(build):
        known = [row for row in BACKBONES.values() if row.build is build]
        return known[0] if known else _of_application(build)
    return BACKBONES[validation.choice("backbone", value, BACKBONES)]


def _of_application(build: Callable[..., keras.Model]) -> Backbone:
    name = getattr(build, "__name__", "")
    if getattr(applications, name, None) is not build or isinstance(build, type):
        raise ValueError(
            "`backbone` must be a key of `petseg.BACKBONES`, a function of `keras.applications` or "
            f"its name, a Keras model, or a `petseg.Backbone`. Received: {build!r}."
        )
    scale, offset, is_reversed = _constants(sys.modules[build.__module__].preprocess_input)

    def preprocess(images: keras.KerasTensor) -> keras.KerasTensor:
        if scale != [1.0, 1.0, 1.0] or offset != [0.0, 0.0, 0.0]:
            images = rescale(images, scale, offset)
        return ops.flip(images, axis=-1) if is_reversed else images

    return Backbone(
        name,
        build,
        preprocess,
        source=f"keras.applications.{name}",
        reversed_channels=is_reversed,
    )


def _constants(function: Preprocess) -> tuple[list[float], list[float], bool]:
    """Reads what a function `preprocess_input` does, so that layers that can be saved do the same.

    Returns the scale and offset of red, green and blue, and whether their order is turned round.
    Every such function of Keras is linear in each channel, so black and white are enough.
    """
    black, white, red = (
        np.ravel(function(np.array([[[pixel]]], np.float64)))
        for pixel in ([0, 0, 0], [255, 255, 255], [255, 0, 0])
    )
    is_reversed = bool(red[0] == black[0])
    scale, offset = (white - black) / 255, black
    order = slice(None, None, -1 if is_reversed else 1)
    return scale[order].tolist(), offset[order].tolist(), is_reversed
