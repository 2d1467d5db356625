"""Layers, and blocks of layers, of which the architectures consist."""

import functools
from typing import Any

import keras
from keras import layers, ops

from petseg.normalization import BN_MOMENTUM, FusedBatchNormalization
from petseg_runtime.model_info import ModelInfo


def conv_bn_relu(
    x: keras.KerasTensor, filters: int, kernel_size: int = 3, *, dilation_rate: int = 1, name: str
) -> keras.KerasTensor:
    """Applies a convolution without bias, batch normalization and ReLU.

    Args:
        x: Features `(N, H, W, C)`.
        filters: Output channels.
        kernel_size: Side of the kernel.
        dilation_rate: Distance between the kernel's elements.
        name: Name of the convolution, and the beginning of the other layers' names.

    Returns:
        Features `(N, H, W, filters)`.
    """
    x = layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        dilation_rate=dilation_rate,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = FusedBatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def separable_conv_bn_relu(
    x: keras.KerasTensor, filters: int, *, dilation_rate: int = 1, name: str
) -> keras.KerasTensor:
    """Applies an atrous separable convolution (arXiv:1802.02611, section 3.1).

    A 3x3 depthwise and a 1x1 pointwise convolution, each with batch normalization and ReLU.

    Args:
        x: Features `(N, H, W, C)`.
        filters: Output channels.
        dilation_rate: Distance between the elements of the depthwise kernel.
        name: Name of the pointwise convolution, and the beginning of the other layers' names.

    Returns:
        Features `(N, H, W, filters)`.
    """
    x = layers.DepthwiseConv2D(
        3, padding="same", dilation_rate=dilation_rate, use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = FusedBatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(name=f"{name}_depthwise_relu")(x)
    return conv_bn_relu(x, filters, 1, name=name)


def classify(
    x: keras.KerasTensor, num_classes: int, name: str = "logits", kernel_size: int = 1
) -> keras.KerasTensor:
    """Computes the logits of each position by a convolution.

    Args:
        x: Features `(N, H, W, C)`.
        num_classes: Number of classes.
        name: Name of the layer.
        kernel_size: Side of the kernel.

    Returns:
        Logits `(N, H, W, num_classes)`, float32 under any dtype policy.
    """
    return layers.Conv2D(num_classes, kernel_size, padding="same", dtype="float32", name=name)(x)


@keras.saving.register_keras_serializable("petseg")
class ResizeLike(layers.Layer):
    """Resizes features bilinearly to the height and width of a reference.

    Called with features `(N, h, w, C)` and a reference `(N, H, W, D)`; returns `(N, H, W, C)`.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def call(self, x: Any, reference: Any) -> Any:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # `keras.ops.image.resize` fails on sizes that are unknown while the graph is traced
            # (keras issue 22079).
            return tf.cast(tf.image.resize(x, tf.shape(reference)[1:3]), x.dtype)
        return ops.image.resize(x, ops.shape(reference)[1:3])

    def compute_output_shape(
        self, x_shape: tuple[Any, ...], reference_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return (x_shape[0], *reference_shape[1:3], x_shape[3])


def upsample_like(
    x: keras.KerasTensor, reference: keras.KerasTensor, **kwargs: Any
) -> keras.KerasTensor:
    """Resizes features bilinearly to the height and width of a reference.

    Args:
        x: Features `(N, h, w, C)`.
        reference: Features or images `(N, H, W, D)`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Returns:
        Features `(N, H, W, C)`.
    """
    return ResizeLike(**kwargs)(x, reference)


@keras.saving.register_keras_serializable("petseg")
class SegmentationOutput(ResizeLike):
    """Resizes the logits to the images, and holds the model's record.

    The last layer of every model. As a part of the graph, it is kept when the model is saved,
    loaded, cloned or compiled again.

    Args:
        info: What `ModelInfo.to_dict` returns.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, info: dict[str, Any], **kwargs: Any):
        super().__init__(**kwargs)
        self.info = ModelInfo.from_dict(info)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "info": self.info.to_dict()}


@keras.saving.register_keras_serializable("petseg")
class MaxUnpooling2D(layers.Layer):
    """Unpools with max-pooling indices (arXiv:1511.00561, figure 3).

    Called with features `x` `(N, h, w, C)` and the features before the pooling `(N, H, W, C)`, with
    h = H // 2 or (H + 1) // 2, and w likewise; returns `(N, H, W, C)`. Each value of `x` is placed
    where its 2x2 window of the features before the pooling has the maximum, the first one of
    several equal values. All other positions are zero.

    Args:
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def call(self, x: Any, before_pool: Any) -> Any:
        height, width = ops.shape(before_pool)[1:3]
        rows, columns = ops.shape(x)[1:3]
        # Of an odd size, pooling that rounds up has a last window that reaches beyond the features:
        # pad them. Pooling that rounds down left the last row or column out: it becomes zeros.
        missing = _positive(2 * rows - height), _positive(2 * columns - width)
        left_out = _positive(height - 2 * rows), _positive(width - 2 * columns)
        windows = ops.pad(before_pool, _after(*missing), constant_values=float("-inf"))
        # Rows of windows become the first axis, because LiteRT slices at most four axes.
        channels = x.shape[-1]
        windows = windows[:, : 2 * rows, : 2 * columns]
        windows = ops.reshape(windows, (-1, 2, columns, 2 * channels))
        x = ops.reshape(x, (-1, columns, channels))
        halves = slice(channels), slice(channels, None)
        corners = [windows[:, row, :, half] for row in (0, 1) for half in halves]
        maximum = functools.reduce(ops.maximum, corners)
        free = ops.ones_like(maximum, dtype="bool")
        placed = []
        for corner in corners:
            here = (corner == maximum) & free
            free = free & ~here
            placed.append(ops.where(here, x, ops.zeros_like(x)))
        top, bottom = ops.concatenate(placed[:2], -1), ops.concatenate(placed[2:], -1)
        unpooled = ops.reshape(
            ops.stack([top, bottom], axis=1), (-1, 2 * rows, 2 * columns, channels)
        )
        unpooled = ops.pad(unpooled, _after(*left_out))[:, :height, :width]
        return ops.reshape(unpooled, (-1, height, width, channels))

    def compute_output_shape(
        self, x_shape: tuple[Any, ...], before_pool_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return (*before_pool_shape[:3], x_shape[3])


def _positive(difference: Any) -> Any:
    """Returns 1 for 1, and 0 for 0 or -1. Works for tensors and for integers."""
    return (difference + 1) // 2


def _after(rows: Any, columns: Any) -> tuple[tuple[Any, Any], ...]:
    """Paddings of `(N, H, W, C)` below and to the right."""
    return ((0, 0), (0, rows), (0, columns), (0, 0))


@keras.saving.register_keras_serializable("petseg")
class GridAveragePooling2D(layers.Layer):
    """Averages features of any size over a grid of `bins` x `bins` cells.

    Called with features `(N, H, W, C)`; returns `(N, bins, bins, C)`. Of n positions, cell i covers
    floor(i n / bins) to ceil((i + 1) n / bins), as in adaptive average pooling. The layers of Keras
    for that need a size that is known when the model is built.

    Args:
        bins: Cells along each side.
        **kwargs: Arguments of `keras.layers.Layer`.
    """

    def __init__(self, bins: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, x: Any) -> Any:
        height, width = ops.shape(x)[1:3]
        # Two matrix products: `einsum` reshapes, which LiteRT cannot quantize for batches of any
        # size.
        x = ops.matmul(self._averages(width, x.dtype), x)
        x = ops.matmul(self._averages(height, x.dtype), ops.transpose(x, (0, 2, 1, 3)))
        return ops.transpose(x, (0, 2, 1, 3))

    def _averages(self, size: Any, dtype: str) -> Any:
        """Returns the matrix `(bins, size)` that maps `size` positions to the means of cells."""
        cells = ops.expand_dims(ops.arange(self.bins), 1)
        start = cells * size // self.bins
        # Rounded up without negative numbers, because ONNX rounds those towards zero.
        end = ((cells + 1) * size + self.bins - 1) // self.bins
        positions = ops.expand_dims(ops.arange(size), 0)
        inside = ops.cast((positions >= start) & (positions < end), dtype)
        return inside / ops.cast(end - start, dtype)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (input_shape[0], self.bins, self.bins, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}
