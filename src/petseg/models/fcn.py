"""Fully convolutional networks (Long et al., arXiv:1411.4038): FCN-32s, FCN-16s and FCN-8s."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models.arguments import image_input
from petseg.models.assembly import assemble
from petseg.models.layers import classify, conv_bn_relu, upsample_like
from petseg_runtime import validation


def fcn32(
    num_classes: int = 3,
    *,
    backbone: str = "mobilenetv2",
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    decoder_filters: int = 256,
    dropout: float = 0.5,
) -> keras.Model:
    """FCN-32s: scores of the last features alone (Long et al., arXiv:1411.4038).

    Takes RGB `(N, H, W, 3)` in [0, 255], any size of 32 or more; returns float32 logits
    `(N, H, W, num_classes)`. Compiled; `get_layer("encoder")` is the backbone.

    Unlike the paper (section 4.1), one 3 x 3 convolution `decoder_filters` wide stands for the two
    of 4096, and resizing is bilinear rather than learned, so that any size fits. `dropout` is the
    share of that layer's channels set to zero in training. The other arguments are those of `unet`.

    Raises `ValueError` when an argument is out of its range.
    """
    images = image_input(image_shape)
    features = encode(images, backbone, weights)
    scores = _fuse_scores(features[-1:], num_classes, decoder_filters, dropout)
    return assemble(
        images,
        scores,
        architecture="fcn32",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        decoder_filters=decoder_filters,
        dropout=dropout,
    )


def fcn16(
    num_classes: int = 3,
    *,
    backbone: str = "mobilenetv2",
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    decoder_filters: int = 256,
    dropout: float = 0.5,
) -> keras.Model:
    """FCN-16s: scores at strides 32 and 16, added (Long et al., arXiv:1411.4038).

    Input, output, arguments and errors are those of `fcn32`.
    """
    images = image_input(image_shape)
    features = encode(images, backbone, weights)
    scores = _fuse_scores(features[-2:], num_classes, decoder_filters, dropout)
    return assemble(
        images,
        scores,
        architecture="fcn16",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        decoder_filters=decoder_filters,
        dropout=dropout,
    )


def fcn8(
    num_classes: int = 3,
    *,
    backbone: str = "mobilenetv2",
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    decoder_filters: int = 256,
    dropout: float = 0.5,
) -> keras.Model:
    """FCN-8s: scores at strides 32, 16 and 8, added (Long et al., arXiv:1411.4038).

    Input, output, arguments and errors are those of `fcn32`.
    """
    images = image_input(image_shape)
    features = encode(images, backbone, weights)
    scores = _fuse_scores(features[-3:], num_classes, decoder_filters, dropout)
    return assemble(
        images,
        scores,
        architecture="fcn8",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        decoder_filters=decoder_filters,
        dropout=dropout,
    )


def _fuse_scores(
    features: list[keras.KerasTensor], num_classes: int, decoder_filters: int, dropout: float
) -> keras.KerasTensor:
    """Logits at the finest of `features`, each of which has a score layer of its own."""
    *skips, x = features
    filters = validation.integer("decoder_filters", decoder_filters, 1)
    x = conv_bn_relu(x, filters, name="decoder_conv")
    x = layers.SpatialDropout2D(validation.fraction("dropout", dropout), name="decoder_dropout")(x)
    scores = classify(x, num_classes, name="scores")
    for step, skip in enumerate(reversed(skips), start=1):
        scores = upsample_like(scores, skip, dtype="float32")
        skip_scores = classify(skip, num_classes, name=f"skip{step}_scores", kernel_size=3)
        scores = layers.Add(dtype="float32", name=f"fused{step}_scores")([scores, skip_scores])
    return scores
