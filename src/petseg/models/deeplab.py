"""DeepLabV3 (Chen et al., arXiv:1706.05587) and DeepLabV3+ (Chen et al., arXiv:1802.02611)."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models.arguments import atrous_stride, image_input
from petseg.models.assembly import assemble
from petseg.models.layers import (
    classify,
    conv_bn_relu,
    separable_conv_bn_relu,
    upsample_like,
)
from petseg_runtime import validation


def deeplabv3(
    num_classes: int = 3,
    *,
    backbone: str = "mobilenetv2",
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    output_stride: int = 16,
    atrous_rates: Sequence[int] = (6, 12, 18),
    decoder_filters: int = 128,
    dropout: float = 0.1,
) -> keras.Model:
    """DeepLabV3: atrous spatial pyramid pooling on a dilated encoder (arXiv:1706.05587).

    Takes RGB `(N, H, W, 3)` in [0, 255], any size of 32 or more; returns float32 logits
    `(N, H, W, num_classes)`. Compiled; `get_layer("encoder")` is the backbone.

    `output_stride` (8 or 16) is that of the encoder; `atrous_rates` those of the pyramid at output
    stride 16, doubled at 8; `decoder_filters` the width of its branches; `dropout` the share of
    channels set to zero after it. Unlike the paper's, the encoder ends before the backbone's stage
    of stride 32, which classifies better than it locates, so that stride 16 dilates nothing; and
    the atrous convolutions are depthwise separable, as in DeepLabV3+. The other arguments are those
    of `unet`.

    Raises `ValueError` when an argument is out of its range.
    """
    images = image_input(image_shape)
    x = encode(images, backbone, weights, atrous_stride(output_stride))[-1]
    x = _atrous_pyramid(x, output_stride, atrous_rates, decoder_filters, dropout)
    return assemble(
        images,
        classify(x, num_classes),
        architecture="deeplabv3",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        output_stride=output_stride,
        atrous_rates=atrous_rates,
        decoder_filters=decoder_filters,
        dropout=dropout,
    )


def deeplabv3_plus(
    num_classes: int = 3,
    *,
    backbone: str = "mobilenetv2",
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    output_stride: int = 16,
    atrous_rates: Sequence[int] = (6, 12, 18),
    decoder_filters: int = 128,
    low_level_filters: int = 48,
    dropout: float = 0.1,
) -> keras.Model:
    """DeepLabV3+: DeepLabV3 with a decoder that joins the features at stride 4 (arXiv:1802.02611).

    `low_level_filters` is the width that those are projected to before they are joined (section
    3.1). Input, output, the other arguments and errors are those of `deeplabv3`.
    """
    images = image_input(image_shape)
    features = encode(images, backbone, weights, atrous_stride(output_stride))
    low_level_filters = validation.integer("low_level_filters", low_level_filters, 1)
    low_level = conv_bn_relu(features[1], low_level_filters, 1, name="low_level")
    x = _atrous_pyramid(features[-1], output_stride, atrous_rates, decoder_filters, dropout)
    x = layers.Concatenate(name="decoder_join")([upsample_like(x, low_level), low_level])
    x = separable_conv_bn_relu(x, decoder_filters, name="decoder_conv1")
    x = separable_conv_bn_relu(x, decoder_filters, name="decoder_conv2")
    return assemble(
        images,
        classify(x, num_classes),
        architecture="deeplabv3_plus",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        output_stride=output_stride,
        atrous_rates=atrous_rates,
        decoder_filters=decoder_filters,
        low_level_filters=low_level_filters,
        dropout=dropout,
    )


def _atrous_pyramid(
    x: keras.KerasTensor,
    output_stride: int,
    atrous_rates: Sequence[int],
    filters: int,
    dropout: float,
) -> keras.KerasTensor:
    """Atrous spatial pyramid pooling with image pooling (arXiv:1706.05587, section 3.3)."""
    filters = validation.integer("decoder_filters", filters, 1)
    atrous_rates = validation.integers("atrous_rates", atrous_rates, at_most=8)
    branches = [conv_bn_relu(x, filters, 1, name="aspp_conv")]
    for step, rate in enumerate(atrous_rates, start=1):
        # Halving the stride doubles the rates (section 3.3).
        rate = max(1, rate * 16 // output_stride)
        branches.append(
            separable_conv_bn_relu(x, filters, dilation_rate=rate, name=f"aspp_atrous{step}")
        )
    image = layers.GlobalAveragePooling2D(keepdims=True, name="aspp_image_pool")(x)
    image = conv_bn_relu(image, filters, 1, name="aspp_image_conv")
    branches.append(upsample_like(image, x))
    x = layers.Concatenate(name="aspp")(branches)
    x = conv_bn_relu(x, filters, 1, name="aspp_projection")
    return layers.SpatialDropout2D(validation.fraction("dropout", dropout), name="aspp_dropout")(x)
