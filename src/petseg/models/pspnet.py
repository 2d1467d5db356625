"""PSPNet (Zhao et al., arXiv:1612.01105)."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from petseg.backbones import encode
from petseg.models.blocks import (
    atrous_stride,
    classify,
    conv_bn_relu,
    image_input,
    positive_integer,
    segmenter,
    unit_fraction,
    upsample_like,
    widths,
)


def pspnet(
    num_classes: int = 3,
    *,
    backbone: str = "mobilenetv2",
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    output_stride: int = 8,
    bin_sizes: Sequence[int] = (1, 2, 3, 6),
    decoder_filters: int = 128,
    dropout: float = 0.1,
) -> keras.Model:
    """PSPNet: the last features beside their averages over a pyramid of grids (arXiv:1612.01105).

    Takes RGB `(N, H, W, 3)` in [0, 255], any size of 32 or more; returns float32 logits
    `(N, H, W, num_classes)`. Compiled; `get_layer("encoder")` is the backbone.

    `bin_sizes` are the sides of the pyramid's grids, whose levels share `decoder_filters` channels;
    as many has the convolution after the pyramid; `dropout` is the share of them set to zero in
    training. The encoder is that of `deeplabv3`, with its `output_stride`; the paper's auxiliary
    loss is left out. The other arguments are those of `unet`.

    Raises `ValueError` when an argument is out of its range.
    """
    filters = positive_integer("decoder_filters", decoder_filters)
    bin_sizes = widths("bin_sizes", bin_sizes, most=8)
    images = image_input(image_shape)
    x = encode(images, backbone, weights, atrous_stride(output_stride))[-1]
    pyramid = [x]
    for bins in bin_sizes:
        level = GridAveragePooling2D(bins, name=f"pool{bins}")(x)
        level = conv_bn_relu(level, max(1, filters // len(bin_sizes)), 1, name=f"pool{bins}_conv")
        pyramid.append(upsample_like(level, x))
    x = layers.Concatenate(name="pyramid")(pyramid)
    x = conv_bn_relu(x, filters, name="decoder_conv")
    x = layers.SpatialDropout2D(unit_fraction("dropout", dropout), name="decoder_dropout")(x)
    return segmenter(images, classify(x, num_classes), "pspnet", weights, class_names, ignore_class)


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
