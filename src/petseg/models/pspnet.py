"""PSPNet (Zhao et al., arXiv:1612.01105)."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models.arguments import atrous_stride, image_input
from petseg.models.assembly import assemble
from petseg.models.layers import GridAveragePooling2D, classify, conv_bn_relu, upsample_like
from petseg_runtime import validation


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
    filters = validation.integer("decoder_filters", decoder_filters, 1)
    bin_sizes = validation.integers("bin_sizes", bin_sizes, at_most=8)
    images = image_input(image_shape)
    x = encode(images, backbone, weights, atrous_stride(output_stride))[-1]
    pyramid = [x]
    for bins in bin_sizes:
        level = GridAveragePooling2D(bins, name=f"pool{bins}")(x)
        level = conv_bn_relu(level, max(1, filters // len(bin_sizes)), 1, name=f"pool{bins}_conv")
        pyramid.append(upsample_like(level, x))
    x = layers.Concatenate(name="pyramid")(pyramid)
    x = conv_bn_relu(x, filters, name="decoder_conv")
    x = layers.SpatialDropout2D(validation.fraction("dropout", dropout), name="decoder_dropout")(x)
    return assemble(
        images,
        classify(x, num_classes),
        architecture="pspnet",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        output_stride=output_stride,
        bin_sizes=bin_sizes,
        decoder_filters=filters,
        dropout=dropout,
    )
