"""SegNet (Badrinarayanan et al., arXiv:1511.00561)."""

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
        # The last window of an odd size reaches beyond the features, and takes nothing there.
        lowest = ops.cast(float("-inf"), before_pool.dtype)
        one_more = ((0, 0), (0, 1), (0, 1), (0, 0))
        padded = ops.pad(before_pool, one_more, constant_values=lowest)
        padded = padded[:, : 2 * rows, : 2 * columns]
        first, second = padded[:, 0::2], padded[:, 1::2]
        corners = (first[:, :, 0::2], first[:, :, 1::2], second[:, :, 0::2], second[:, :, 1::2])
        maximum = ops.max(ops.stack(corners), axis=0)
        taken = ops.zeros_like(maximum, dtype="bool")
        placed = []
        for corner in corners:
            here = (corner == maximum) & ops.logical_not(taken)
            taken = taken | here
            placed.append(x * ops.cast(here, x.dtype))
        top = _interleave(placed[0], placed[1], axis=2)
        bottom = _interleave(placed[2], placed[3], axis=2)
        unpooled = _interleave(top, bottom, axis=1)
        # A pooling that rounds down leaves the last odd row and column out: they get zeros.
        return ops.pad(unpooled, one_more)[:, :height, :width]

    def compute_output_shape(
        self, x_shape: tuple[Any, ...], before_pool_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return (*before_pool_shape[:3], x_shape[3])


def _interleave(a: Any, b: Any, axis: int) -> Any:
    """`a` and `b` in turn along `axis`."""
    shape = list(ops.shape(a))
    shape[axis] = 2 * shape[axis]
    return ops.reshape(ops.stack([a, b], axis=axis + 1), shape)
