"""The features of a network at each stride: found, or taken from named layers."""

import math
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers

STRIDES = (2, 4, 8, 16, 32)

# Large, because convolutions without padding make features smaller than size / stride.
_PROBE_SIZE = 512
# Layers that prepare the next one, and have other sizes than the features.
_NO_FEATURES = (layers.ZeroPadding2D, layers.Cropping2D, layers.InputLayer)


def image_network(model: Any) -> keras.Model:
    """Gives a model the form that its features are taken from.

    Args:
        model: A functional model or a `keras.Sequential`, whose input may be in a list or a dict.

    Returns:
        A functional model with the same layers, whose input is one tensor of images.

    Raises:
        ValueError: If it is another model, or its input is not one tensor `(N, H, W, C)`.
    """
    inputs = getattr(model, "inputs", [])  # A subclassed model has none.
    shapes = [tuple(tensor.shape) for tensor in inputs]
    if [len(shape) for shape in shapes] != [4]:
        if shapes:
            received = f"inputs {', '.join(map(str, shapes))}"
        elif isinstance(model, keras.Sequential):
            received = "no input. Begin it with `keras.Input((None, None, 3))`"
        else:
            received = "no input"
        raise ValueError(
            "`backbone` must be a functional model with one input of images (N, H, W, C). "
            f"Received: {getattr(model, 'name', model)!r} with {received}."
        )
    return keras.Model(inputs[0], model.outputs, name=model.name)


def find_features(network: keras.Model, name: str) -> list[keras.KerasTensor]:
    """Finds the last features at each stride.

    Args:
        network: A functional model with one input tensor.
        name: Name of the backbone, for the error.

    Returns:
        Features `(N, h, w, C)` at strides 2, 4, 8, 16 and 32. Where the network has none at stride
        2, its input, averaged over 2 x 2 pixels, stands for them.

    Raises:
        ValueError: If the network has no features at another of these strides.
    """
    tensors = [
        tensor
        for operation, tensor in _feature_maps(network)
        if not isinstance(operation, _NO_FEATURES)
    ]
    found = dict(zip(_strides(network, tensors), tensors, strict=True))  # keeps the last one
    missing = [stride for stride in STRIDES[1:] if stride not in found]
    if missing:
        raise ValueError(
            "`backbone` must have features (N, H, W, C) at strides 4, 8, 16 and 32. Received: "
            f"{name!r}, which has none at {', '.join(map(str, missing))}.{_inner_model(network)}"
        )
    if STRIDES[0] not in found:
        pool = layers.AveragePooling2D(2, padding="same", name="image_at_stride2")
        found[STRIDES[0]] = pool(network.input)
    return [found[stride] for stride in STRIDES]


def named_features(
    network: keras.Model, taps: Sequence[str], name: str, *, check: bool
) -> list[keras.KerasTensor]:
    """Takes the features from layers that are named.

    Args:
        network: A functional model with one input tensor.
        taps: Names of five layers.
        name: Name of the backbone, for the error.
        check: Whether to check their strides, which takes a second.

    Returns:
        The outputs of the layers.

    Raises:
        ValueError: If the network has no such layers, or `check` finds other strides than 2, 4, 8,
            16 and 32.
    """
    outputs: dict[str, keras.KerasTensor] = {}
    for operation, tensor in _feature_maps(network):
        outputs.setdefault(operation.name, tensor)
    unknown = [tap for tap in taps if tap not in outputs]
    if unknown:
        raise ValueError(
            f"`taps` must name layers of {name!r} that return features (N, H, W, C). Received: "
            f"{', '.join(map(repr, unknown))}.{_inner_model(network)}"
        )
    features = [outputs[tap] for tap in taps]
    if check and tuple(strides := _strides(network, features)) != STRIDES:
        raise ValueError(
            "`taps` must name layers whose outputs have strides 2, 4, 8, 16 and 32. Received: "
            f"layers of {name!r} with strides {', '.join(map(str, strides))}."
        )
    return features


def coarsest_stride(encoder: keras.Model) -> int:
    """Measures the stride of the last features of an encoder.

    Args:
        encoder: A functional model from images to a list of features.

    Returns:
        The stride in pixels, rounded to a power of 2.
    """
    return _strides(encoder, encoder.outputs)[-1]


def _feature_maps(network: keras.Model) -> list[tuple[keras.Operation, keras.KerasTensor]]:
    """Lists the outputs (N, H, W, C) inside a network, in the order in which they are computed.

    `operation.output` may belong to another network: the first one that used the layer.
    """
    depths = {node: depth for depth, nodes in network._nodes_by_depth.items() for node in nodes}
    found = [
        (depths[node], operation, node.outputs[0])
        for operation in network.operations
        for node in operation._inbound_nodes
        if node in depths and [len(tensor.shape) for tensor in node.outputs] == [4]
    ]
    found.sort(key=lambda row: row[0], reverse=True)  # The output has depth 0.
    return [(operation, tensor) for _, operation, tensor in found]


def _inner_model(network: keras.Model) -> str:
    """What to do if the features are inside a model that is used as a layer."""
    models = [layer for layer in network.layers if isinstance(layer, keras.Model)]
    if not models:
        return ""
    largest = max(models, key=lambda model: model.count_params())
    return (
        f" If they are inside its model {largest.name!r}, pass that one, "
        f"`backbone=model.get_layer({largest.name!r})`, and what comes before it as `preprocess` "
        "of a `petseg.Backbone`."
    )


def _strides(network: keras.Model, tensors: list[keras.KerasTensor]) -> list[int]:
    """Computes the strides from the shapes for an image of a known size, without its values."""
    _, height, width, channels = network.input_shape
    size = (height or _PROBE_SIZE, width or _PROBE_SIZE)
    probe = keras.KerasTensor((1, *size, channels), dtype=network.input.dtype)
    inner = keras.Model(network.input, tensors)
    try:
        specs = inner.compute_output_spec(probe)
    except ValueError as error:
        raise ValueError(
            f"`backbone` must take images of any size, which {network.name!r} does not: {error}. "
            "Build it with a fixed `input_shape`, and pass that model and the same `image_shape`."
        ) from error
    return [2 ** round(math.log2(max(size) / max(spec.shape[1:3]))) for spec in specs]
