"""Layers and blocks of layers that the architectures are made of."""

import functools
from typing import Any

import keras
from keras import layers, ops

from petseg.normalization import BN_MOMENTUM, FusedBatchNormalization
from petseg_runtime import validation
from petseg_runtime.model_info import ModelInfo


def conv_bn_relu(
    x: keras.KerasTensor, filters: int, kernel_size: int = 3, *, dilation_rate: int = 1, name: str
) -> keras.KerasTensor:
    """A convolution without bias, batch normalization, ReLU."""
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
    """A 3 x 3 depthwise and a 1 x 1 pointwise convolution, each normalized and rectified.

    Atrous separable convolution as in DeepLabV3+ (arXiv:1802.02611, section 3.1).
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
    """Logits of each position: a convolution, float32 under any dtype policy."""
    num_classes = validation.integer("num_classes", num_classes, 2)
    return layers.Conv2D(num_classes, kernel_size, padding="same", dtype="float32", name=name)(x)


@keras.saving.register_keras_serializable("petseg")
class ResizeLike(layers.Layer):
    """Resizes `x` `(N, h, w, C)` bilinearly to the height and width of `reference`."""

    def call(self, x: Any, reference: Any) -> Any:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # Keras's own resizing needs sizes that are known before the model runs.
            return tf.cast(tf.image.resize(x, tf.shape(reference)[1:3]), x.dtype)
        return ops.image.resize(x, ops.shape(reference)[1:3])

    def compute_output_shape(
        self, x_shape: tuple[Any, ...], reference_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return (x_shape[0], *reference_shape[1:3], x_shape[3])


def upsample_like(
    x: keras.KerasTensor, reference: keras.KerasTensor, **kwargs: Any
) -> keras.KerasTensor:
    """`x` at the height and width of `reference`."""
    return ResizeLike(**kwargs)(x, reference)


@keras.saving.register_keras_serializable("petseg")
class SegmentationOutput(ResizeLike):
    """Resizes the logits to the images, and carries the model's record.

    The last layer of every model. Being a part of the graph, it survives saving, loading, cloning
    and compiling again.

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
    """Puts each value where the 2 x 2 window before the pooling had its maximum, zeros elsewhere.

    Takes `x` `(N, h, w, C)` and the features before the pooling `(N, H, W, C)`, with h = H // 2 or
    (H + 1) // 2; returns `(N, H, W, C)` (arXiv:1511.00561, figure 3). Of equal values the first is
    the maximum.
    """

    def call(self, x: Any, before_pool: Any) -> Any:
        height, width = ops.shape(before_pool)[1:3]
        rows, columns = ops.shape(x)[1:3]
        # The last window of an odd size reaches beyond the features, and takes nothing there; or
        # the pooling rounded down and left the last row and column out, which get zeros.
        missing = _positive(2 * rows - height), _positive(2 * columns - width)
        left_out = _positive(height - 2 * rows), _positive(width - 2 * columns)
        windows = ops.pad(before_pool, _after(*missing), constant_values=float("-inf"))
        # Each row of windows is an image of its own, two rows high: more than four axes would be
        # more than LiteRT slices.
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
    """1 of a difference of 1, 0 of one of 0 or -1; of tensors and integers alike."""
    return (difference + 1) // 2


def _after(rows: Any, columns: Any) -> tuple[tuple[Any, Any], ...]:
    """Paddings of `(N, H, W, C)` below and to the right."""
    return ((0, 0), (0, rows), (0, columns), (0, 0))


@keras.saving.register_keras_serializable("petseg")
class GridAveragePooling2D(layers.Layer):
    """Averages over a grid of `bins` x `bins` cells that cover features of any size.

    Takes `(N, H, W, C)`, returns `(N, bins, bins, C)`. Cell i of n positions reaches from floor(i n
    / bins) to ceil((i + 1) n / bins), as adaptive pooling has it; Keras's own needs a size that is
    known before the model runs.
    """

    def __init__(self, bins: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.bins = bins

    def call(self, x: Any) -> Any:
        height, width = ops.shape(x)[1:3]
        # An einsum would reshape, which LiteRT cannot quantize for any number of images.
        x = ops.matmul(self._averages(width, x.dtype), x)
        x = ops.matmul(self._averages(height, x.dtype), ops.transpose(x, (0, 2, 1, 3)))
        return ops.transpose(x, (0, 2, 1, 3))

    def _averages(self, size: Any, dtype: str) -> Any:
        """A matrix `(bins, size)` whose product with `size` positions is the mean of each cell."""
        cells = ops.expand_dims(ops.arange(self.bins), 1)
        start = cells * size // self.bins
        # Rounded up without negative numbers, which ONNX rounds towards zero.
        end = ((cells + 1) * size + self.bins - 1) // self.bins
        positions = ops.expand_dims(ops.arange(size), 0)
        inside = ops.cast((positions >= start) & (positions < end), dtype)
        return inside / ops.cast(end - start, dtype)

    def compute_output_shape(self, input_shape: tuple[Any, ...]) -> tuple[Any, ...]:
        return (input_shape[0], self.bins, self.bins, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bins": self.bins}
