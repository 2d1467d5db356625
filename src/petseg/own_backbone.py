"""What may be given as `backbone`: a name, a function of Keras, a model or a `Backbone`."""

import functools
import sys
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import applications, layers, ops

from petseg.backbones import BACKBONES, Backbone, rescale, to_imagenet_statistics
from petseg_runtime import validation

BackboneLike = str | Backbone | keras.Model | Callable[..., keras.Model]
Preprocess = Callable[[np.ndarray], np.ndarray]

NORMALIZING = (layers.Rescaling, layers.Normalization)


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
    if isinstance(value, str) and value in BACKBONES:
        return BACKBONES[value]
    build: Any = getattr(applications, value, None) if isinstance(value, str) else value
    name = getattr(build, "__name__", "")
    is_known = getattr(applications, name, None) is build
    if not callable(build) or not is_known:
        names = [*BACKBONES, *(name for name in dir(applications) if name[0].isupper())]
        raise ValueError(
            f"`backbone` must be one of {', '.join(BACKBONES)}; or a function of "
            "`keras.applications` or its name, such as DenseNet121, a Keras model, or a "
            f"`petseg.Backbone`. Received: {value!r}.{validation.did_you_mean(value, names)}"
        )
    known = [row for row in BACKBONES.values() if row.build is build]
    return known[0] if known else _of_application(name, build)


def _of_application(name: str, build: Callable[..., keras.Model]) -> Backbone:
    if build.__module__ == applications.EfficientNetB0.__module__:
        # Keras normalizes inside these networks, and differently without pretrained weights. The
        # constants are those that they were trained with.
        return Backbone(
            name,
            functools.partial(_without_normalization, build),
            to_imagenet_statistics,
            source=f"keras.applications.{name}",
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


def _without_normalization(build: Callable[..., keras.Model], **arguments: Any) -> keras.Model:
    """Builds an EfficientNet without the layers that normalize its images."""

    def call(layer: keras.Layer, x: Any, *args: Any, **kwargs: Any) -> Any:
        return x if isinstance(layer, NORMALIZING) else layer(x, *args, **kwargs)

    network = build(**arguments)
    bare = keras.models.clone_model(network, call_function=call)
    statistics = sum(len(part.weights) for part in network.layers if isinstance(part, NORMALIZING))
    bare.set_weights(network.get_weights()[statistics:])  # Those layers are the first ones.
    return bare


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
