"""DeepLabV3 (Chen et al., arXiv:1706.05587) and DeepLabV3+ (Chen et al., arXiv:1802.02611)."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models import arguments
from petseg.models.assembly import assemble
from petseg.models.layers import (
    classify,
    conv_bn_relu,
    separable_conv_bn_relu,
    upsample_like,
)
from petseg.own_backbone import BackboneLike
from petseg_runtime import validation


def deeplabv3(
    num_classes: int = 3,
    *,
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    output_stride: int = 16,
    atrous_rates: Sequence[int] = (6, 12, 18),
    decoder_filters: int = 128,
    dropout: float = 0.1,
) -> keras.Model:
    """Builds a compiled DeepLabV3: atrous spatial pyramid pooling on an encoder.

    Differences from the paper: the encoder ends before the backbone's stage of stride 32, so that
    nothing is dilated at output stride 16. The atrous convolutions are depthwise separable, as in
    DeepLabV3+.

    Args:
        num_classes: Number of classes, at least 2.
        backbone: Key of `petseg.BACKBONES`, function of `keras.applications` or its name, Keras
            model, or `petseg.Backbone`. By default the one of the "pets" weights or of the `.keras`
            file where these are used, else "efficientnetlite0".
        image_shape: (height, width, channels) of the images. Each size is at least 32, or None for
            images of any size. For other channels than RGB, the first convolution of pretrained
            weights is adapted.
        weights: "imagenet" (pretrained encoder, random decoder), "pets" (the whole model, trained
            on Oxford-IIIT Pet; these weights come with the package), None (random), or the path of
            a `.weights.h5` or `.keras` file or of the folder of a run. Layers that do not fit, such
            as the last one for other classes, stay random, and a `WeightsWarning` names them.
        class_names: Name of each class, for the logs and the model's record. By default the names
            that the "pets" weights have, else "0", "1" and so on.
        ignore_class: Label of pixels that count in no loss and no score, such as 255.
        output_stride: Stride of the encoder: 16, or 8 (its last stage is dilated).
        atrous_rates: Dilation rates of the pyramid at output stride 16, one to eight. At output
            stride 8 they are doubled.
        decoder_filters: Channels of each branch of the pyramid and of its projection.
        dropout: Fraction of the projected channels that is set to zero in training.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Chen et al., 2017, arXiv:1706.05587.

    Example:
        >>> model = petseg.deeplabv3(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
    """
    num_classes = validation.integer("num_classes", num_classes, 2)
    backbone = arguments.resolve_backbone(backbone, "deeplabv3", weights)
    output_stride = arguments.output_stride(output_stride, (8, 16))
    atrous_rates = validation.integers("atrous_rates", atrous_rates, at_most=8)
    decoder_filters = validation.integer("decoder_filters", decoder_filters, 1)
    dropout = validation.fraction("dropout", dropout)
    images = arguments.image_input(image_shape)
    x = encode(images, backbone, weights, output_stride)[-1]
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
    backbone: BackboneLike | None = None,
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
    """Builds a compiled DeepLabV3+: DeepLabV3 with a decoder that adds features at stride 4.

    The output of the pyramid is upsampled, concatenated with the projected features at stride 4,
    and fused by two separable convolutions.

    Differences from the paper: the encoder ends before the backbone's stage of stride 32, so that
    nothing is dilated at output stride 16.

    Args:
        num_classes: Number of classes, at least 2.
        backbone: Key of `petseg.BACKBONES`, function of `keras.applications` or its name, Keras
            model, or `petseg.Backbone`. By default the one of the "pets" weights or of the `.keras`
            file where these are used, else "efficientnetlite0".
        image_shape: (height, width, channels) of the images. Each size is at least 32, or None for
            images of any size. For other channels than RGB, the first convolution of pretrained
            weights is adapted.
        weights: "imagenet" (pretrained encoder, random decoder), "pets" (the whole model, trained
            on Oxford-IIIT Pet; these weights come with the package), None (random), or the path of
            a `.weights.h5` or `.keras` file or of the folder of a run. Layers that do not fit, such
            as the last one for other classes, stay random, and a `WeightsWarning` names them.
        class_names: Name of each class, for the logs and the model's record. By default the names
            that the "pets" weights have, else "0", "1" and so on.
        ignore_class: Label of pixels that count in no loss and no score, such as 255.
        output_stride: Stride of the encoder: 16, or 8 (its last stage is dilated).
        atrous_rates: Dilation rates of the pyramid at output stride 16, one to eight. At output
            stride 8 they are doubled.
        decoder_filters: Channels of each branch of the pyramid, of its projection, and of the
            decoder's convolutions.
        low_level_filters: Channels to which the features at stride 4 are projected (section 3.1).
        dropout: Fraction of the pyramid's projected channels that is set to zero in training.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Chen et al., 2018, arXiv:1802.02611.

    Example:
        >>> model = petseg.deeplabv3_plus(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
    """
    num_classes = validation.integer("num_classes", num_classes, 2)
    backbone = arguments.resolve_backbone(backbone, "deeplabv3_plus", weights)
    output_stride = arguments.output_stride(output_stride, (8, 16))
    atrous_rates = validation.integers("atrous_rates", atrous_rates, at_most=8)
    decoder_filters = validation.integer("decoder_filters", decoder_filters, 1)
    low_level_filters = validation.integer("low_level_filters", low_level_filters, 1)
    dropout = validation.fraction("dropout", dropout)
    images = arguments.image_input(image_shape)
    features = encode(images, backbone, weights, output_stride)
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
    return layers.SpatialDropout2D(dropout, name="aspp_dropout")(x)
