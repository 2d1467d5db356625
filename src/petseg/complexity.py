"""How much a network computes, whatever machine it runs on."""

import math

import keras
from keras import layers


def multiply_adds(model: keras.Model, image_size: tuple[int, int]) -> int:
    """The multiplications that convolutions and dense layers do for one image `(height, width)`.

    Everything else (normalization, activations, resizing) is left out, as is usual for this
    figure. Twice as many are its floating-point operations.
    """
    total = 0
    for part in (model, model.get_layer("encoder")):
        counted = [
            layer
            for layer in part.layers
            if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense))
        ]
        probe = keras.Model(part.inputs, {layer.name: layer.output for layer in counted})
        shapes = probe.compute_output_shape((1, *image_size, 3))
        # Each weight of a kernel is used once at each position of the output.
        total += sum(
            math.prod(shapes[layer.name][1:-1]) * math.prod(layer.kernel.shape) for layer in counted
        )
    return total
