"""PSPNet (Zhao et al., arXiv:1612.01105)."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models import arguments
from petseg.models.assembly import assemble
from petseg.models.layers import GridAveragePooling2D, classify, conv_bn_relu, upsample_like
from petseg.own_backbone import BackboneLike
from petseg_runtime import validation


def pspnet(
    num_classes: int = 3,
    *,
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    output_stride: int = 8,
    bin_sizes: Sequence[int] = (1, 2, 3, 6),
    decoder_filters: int = 128,
    dropout: float = 0.1,
) -> keras.Model:
    """Builds a compiled PSPNet: a dilated encoder with a pyramid of average pooling.

    The features are averaged over grids of several sizes. These averages are upsampled and
    concatenated with the features, and fused by a 3x3 convolution.

    Differences from the paper: the encoder ends before the backbone's stage of stride 32, and there
    is no auxiliary loss.

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
        output_stride: Stride of the encoder: 8 (its last stage is dilated) or 16.
        bin_sizes: Sides of the pyramid's grids: 2 averages over 2x2 cells. One to eight grids.
        decoder_filters: Channels of the fusion convolution. The grids share the same number of
            channels equally.
        dropout: Fraction of the fused channels that is set to zero in training.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Zhao et al., 2017, arXiv:1612.01105.

    Example:
        >>> model = petseg.pspnet(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
    """
    num_classes = validation.integer("num_classes", num_classes, 2)
    backbone = arguments.resolve_backbone(backbone, "pspnet", weights)
    output_stride = arguments.output_stride(output_stride, (8, 16))
    bin_sizes = validation.integers("bin_sizes", bin_sizes, at_most=8)
    decoder_filters = validation.integer("decoder_filters", decoder_filters, 1)
    dropout = validation.fraction("dropout", dropout)
    images = arguments.image_input(image_shape)
    x = encode(images, backbone, weights, output_stride)[-1]
    level_filters = max(1, decoder_filters // len(bin_sizes))
    pyramid = [x]
    for bins in bin_sizes:
        level = GridAveragePooling2D(bins, name=f"pool{bins}")(x)
        level = conv_bn_relu(level, level_filters, 1, name=f"pool{bins}_conv")
        pyramid.append(upsample_like(level, x))
    x = layers.Concatenate(name="pyramid")(pyramid)
    x = conv_bn_relu(x, decoder_filters, name="decoder_conv")
    x = layers.SpatialDropout2D(dropout, name="decoder_dropout")(x)
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
        decoder_filters=decoder_filters,
        dropout=dropout,
    )
