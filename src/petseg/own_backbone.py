"""What may be given as `backbone`: a name, a function of Keras, a model or a `Backbone`."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import applications, layers, ops

from petseg.backbones import BACKBONES, Backbone, in_cycle
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
    preprocess = sys.modules[build.__module__].preprocess_input
    _, _, is_reversed = _constants(preprocess)
    return Backbone(
        name,
        build,
        preprocess=functools.partial(_preprocess, preprocess),
        source=f"keras.applications.{name}",
        reversed_channels=is_reversed,
    )


def _preprocess(function: Preprocess, images: keras.KerasTensor) -> keras.KerasTensor:
    """Does what a function `preprocess_input` of Keras does, by layers that can be saved."""
    scale, offset, is_reversed = _constants(function)
    if scale != [1.0, 1.0, 1.0] or offset != [0.0, 0.0, 0.0]:
        scale, offset = (in_cycle(values, images.shape[-1]) for values in (scale, offset))
        images = layers.Rescaling(scale, offset=offset, name="preprocess")(images)
    return ops.flip(images, axis=-1) if is_reversed else images


def _constants(function: Preprocess) -> tuple[list[float], list[float], bool]:
    """Reads scale and offset of red, green and blue, and whether their order is turned round.

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
