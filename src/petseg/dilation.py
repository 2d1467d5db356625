"""Dilation of an encoder: finer features in place of coarse ones, with the same weights."""

from typing import Any

import keras
from keras import layers

Padding = tuple[tuple[int, int], tuple[int, int]]


def dilate(encoder: keras.Model, output_stride: int) -> keras.Model:
    """Copies an encoder so that no feature is coarser than `output_stride`.

    A layer whose stride would go beyond `output_stride` gets stride 1 and the dilation rate of the
    layers before it; each such layer doubles the rate of the layers after it (arXiv:1706.05587,
    section 3.1). At the positions that the original encoder computes, the features are the same,
    except where squeeze-and-excitation averages over more positions, where pooling pads the image
    border, and where a strided layer with "same" padding has an odd number of positions before it:
    its kernel then lies one position further, as it would on an even number.

    Args:
        encoder: A functional model of convolutions and pooling with square strides.
        output_stride: The greatest stride of the copy, a power of 2.

    Returns:
        The copy, with the weights of `encoder`.

    Raises:
        ValueError: If a pooling layer would need a dilation rate, or has windows that overlap. Only
            the stride of other pooling can be removed.
    """
    strides = {encoder.input._keras_history.operation.name: 1}
    configs: dict[str, dict[str, Any]] = {}
    paddings: dict[str, Padding] = {}
    for layer in encoder.operations[1:]:
        inputs = layer._inbound_nodes[0].input_tensors  # `input` of a nested model is its own
        producers = [tensor._keras_history.operation for tensor in inputs]
        stride = max(strides[producer.name] for producer in producers)
        strides[layer.name] = stride * _own_stride(layer)
        if strides[layer.name] <= output_stride:
            continue
        if isinstance(layer, (layers.MaxPooling2D, layers.AveragePooling2D)):
            configs[layer.name] = _pooling_without_stride(layer, stride, output_stride)
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.SeparableConv2D)):
            rate = stride // output_stride
            configs[layer.name] = {"strides": 1, "dilation_rate": rate}
            if _own_stride(layer) > 1 and layer.kernel_size[0] > 1:
                # "same" padding depends on the stride. Explicit padding keeps the kernel where the
                # strided layer has it.
                if isinstance(producers[0], layers.ZeroPadding2D):
                    before = producers[0].padding[0][0]
                    configs[producers[0].name] = {"padding": _padding(rate, layer, before)}
                else:
                    before = (layer.kernel_size[0] - 2) // 2  # "same" on an even size
                    configs[layer.name]["padding"] = "valid"
                    paddings[layer.name] = _padding(rate, layer, before)

    def rebuild(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), **configs.get(layer.name, {})})

    def call(layer: keras.Layer, x: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name in paddings:
            x = layers.ZeroPadding2D(paddings[layer.name], name=f"{layer.name}_pad")(x)
        return layer(x, *args, **kwargs)

    dilated = keras.models.clone_model(encoder, None, rebuild, call)
    dilated.set_weights(encoder.get_weights())
    return dilated


def _pooling_without_stride(layer: Any, stride: int, output_stride: int) -> dict[str, Any]:
    has_overlap = layer.pool_size[0] > _own_stride(layer)
    if layer.pool_size[0] > 1 and (stride > output_stride or has_overlap):
        least = stride * _own_stride(layer) if has_overlap else stride
        raise ValueError(
            f"`output_stride` must be at least {least} for this encoder, because its pooling "
            f"layer {layer.name} cannot be dilated. Received: {output_stride}."
        )
    return {"strides": 1, "padding": "same"}


def _own_stride(layer: Any) -> int:
    return layer.strides[0] if hasattr(layer, "strides") else 1


def _padding(rate: int, layer: Any, before: int) -> Padding:
    """Padding for a kernel dilated by `rate` that has `before` elements before its position."""
    side = (rate * before, rate * (layer.kernel_size[0] - 1 - before))
    return (side, side)
