"""SegNet (Badrinarayanan et al., arXiv:1511.00561)."""

import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from petseg.backbones import encode
from petseg.models.blocks import (
    classify,
    conv_bn_relu,
    image_input,
    segmenter,
    separable_conv_bn_relu,
)


def segnet(
    num_classes: int = 3,
    *,
    backbone: str = "mobilenetv2",
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    output_stride: int = 4,
) -> keras.Model:
    """SegNet: a decoder that is told where each maximum was, and nothing else (arXiv:1511.00561).

    Takes RGB `(N, H, W, 3)` in [0, 255], any size of 32 or more; returns float32 logits
    `(N, H, W, num_classes)`. Compiled; `get_layer("encoder")` is the backbone.

    Each step brings the features to the channels of the encoder's next finer ones, unpools them to
    where those have their maxima, and convolves. With `vgg16` the maxima are those of its own max
    pools; a backbone that strides instead has none, and the maxima of the features before the
    stride stand in. The encoder ends at stride 16, the decoder at `output_stride` (2, 4 or 8),
    whence the logits are resized; its convolutions are depthwise separable, which the paper's are
    not. The other arguments are those of `unet`.

    Raises `ValueError` when an argument is out of its range.
    """
    if output_stride not in (2, 4, 8):
        raise ValueError(f"`output_stride` must be 2, 4 or 8. Received: {output_stride!r}.")
    images = image_input(image_shape)
    *finer, x = encode(images, backbone, weights, output_stride=16)
    steps = {2: 3, 4: 2, 8: 1}[output_stride]
    for step, before_pool in enumerate(list(reversed(finer))[:steps], start=1):
        filters = before_pool.shape[-1]
        x = conv_bn_relu(x, filters, 1, name=f"decoder{step}_input")
        x = MaxUnpooling2D(name=f"decoder{step}_unpool")(x, before_pool)
        x = separable_conv_bn_relu(x, filters, name=f"decoder{step}_conv")
    return segmenter(images, classify(x, num_classes), "segnet", weights, class_names, ignore_class)


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
