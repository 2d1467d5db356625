"""The amount of computation of a model, which does not depend on the machine."""

import math

import keras
from keras import layers

from petseg_runtime import validation


def multiply_adds(model: keras.Model, image_size: tuple[int, int]) -> int:
    """Counts the multiply-adds of the convolutions and dense layers for one image.

    Normalization, activations and resizing are left out, as is usual for this figure. The number of
    floating-point operations is twice as high.

    Args:
        model: A model of `petseg.MODELS`, or another one with a nested model called "encoder".
        image_size: (height, width) of the image.

    Returns:
        The number of multiply-adds.

    Raises:
        ValueError: If `image_size` is not two positive integers, or there is no "encoder".

    Example:
        >>> multiply_adds(petseg.unet(), (224, 224)) / 1e9
    """
    image_size = validation.image_size("image_size", image_size)
    total = 0
    for part in (model, model.get_layer("encoder")):
        counted = [
            layer
            for layer in part.layers
            if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense))
        ]
        probe = keras.Model(part.inputs, {layer.name: layer.output for layer in counted})
        shapes = probe.compute_output_shape((1, *image_size, part.input_shape[-1]))
        # Each weight of a kernel is used once at each position of the output.
        total += sum(
            math.prod(shapes[layer.name][1:-1]) * math.prod(layer.kernel.shape) for layer in counted
        )
    return total
