"""The features of a network at each stride: found, or taken from named layers."""

import math
from collections.abc import Sequence

import keras
from keras import layers

STRIDES = (2, 4, 8, 16, 32)

# Large, because convolutions without padding make features smaller than size / stride.
_PROBE_SIZE = 512
# Layers that prepare the next one, and have other sizes than the features.
_NO_FEATURES = (layers.ZeroPadding2D, layers.Cropping2D, layers.InputLayer)


def find_features(network: keras.Model, name: str) -> list[keras.KerasTensor]:
    """Finds the last features at each stride.

    Args:
        network: A functional model.
        name: Name of the backbone, for the error.

    Returns:
        Features `(N, h, w, C)` at strides 2, 4, 8, 16 and 32. Where the network has none at stride
        2, its input, averaged over 2 x 2 pixels, stands for them.

    Raises:
        ValueError: If the network has no features at another of these strides.
    """
    tensors = [
        operation.output
        for operation in network.operations
        if not isinstance(operation, _NO_FEATURES) and _is_feature_map(operation)
    ]
    found = dict(zip(_strides(network, tensors), tensors, strict=True))  # keeps the last one
    missing = [stride for stride in STRIDES[1:] if stride not in found]
    if missing:
        raise ValueError(
            "`backbone` must have features (N, H, W, C) at strides 4, 8, 16 and 32. Received: "
            f"{name!r}, which has none at {', '.join(map(str, missing))}."
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
        network: A functional model.
        taps: Names of five layers.
        name: Name of the backbone, for the error.
        check: Whether to check their strides, which takes a second.

    Returns:
        The outputs of the layers.

    Raises:
        ValueError: If the network has no such layers, or `check` finds other strides than 2, 4, 8,
            16 and 32.
    """
    outputs = {layer.name: layer.output for layer in network.layers if _is_feature_map(layer)}
    unknown = [tap for tap in taps if tap not in outputs]
    if unknown:
        raise ValueError(
            f"`taps` must name layers of {name!r} that return features (N, H, W, C). Received: "
            f"{', '.join(map(repr, unknown))}."
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


def _is_feature_map(operation: keras.Operation) -> bool:
    try:
        output = operation.output
    except (AttributeError, ValueError):  # It is used several times.
        return False
    return isinstance(output, keras.KerasTensor) and len(output.shape) == 4


def _strides(network: keras.Model, tensors: list[keras.KerasTensor]) -> list[int]:
    """Computes the strides from the shapes for an image of a known size, without its values."""
    _, height, width, channels = network.input_shape
    size = (height or _PROBE_SIZE, width or _PROBE_SIZE)
    probe = keras.KerasTensor((1, *size, channels), dtype=network.input.dtype)
    try:
        specs = keras.Model(network.input, tensors).compute_output_spec(probe)
    except ValueError as error:
        raise ValueError(
            f"`backbone` must take images of any size, which {network.name!r} does not: {error} "
            "Build it with a fixed `input_shape`, and pass that model and the same `image_shape`."
        ) from error
    return [2 ** round(math.log2(max(size) / max(spec.shape[1:3]))) for spec in specs]
