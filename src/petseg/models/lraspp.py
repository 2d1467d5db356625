"""LR-ASPP (Howard et al., arXiv:1905.02244)."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models import arguments
from petseg.models.assembly import assemble
from petseg.models.layers import classify, conv_bn_relu, upsample_like
from petseg.own_backbone import BackboneLike
from petseg_runtime import validation


def lraspp(
    num_classes: int = 3,
    *,
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    output_stride: int = 16,
    decoder_filters: int = 128,
) -> keras.Model:
    """Builds a compiled model with the lite reduced ASPP decoder of MobileNetV3.

    A 1x1 convolution of the coarsest features is weighted by channel, with the sigmoid of a
    convolution of their average over the image. Its scores are added to those of finer features.

    Differences from the paper: the average is over the whole image, so that images of any size
    work, and the encoder ends before the backbone's stage of stride 32.

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
        decoder_filters: Channels of the two 1x1 convolutions.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Howard et al., 2019, arXiv:1905.02244, section 6.3 and figure 10.

    Example:
        >>> model = petseg.lraspp(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
    """
    num_classes = validation.integer("num_classes", num_classes, 2)
    backbone = arguments.resolve_backbone(backbone, "lraspp", weights)
    output_stride = arguments.output_stride(output_stride, (8, 16))
    decoder_filters = validation.integer("decoder_filters", decoder_filters, 1)
    images = arguments.image_input(image_shape)
    features = encode(images, backbone, weights, output_stride)
    fine, x = features[-2], features[-1]
    average = layers.GlobalAveragePooling2D(keepdims=True, name="pool")(x)
    weight = layers.Conv2D(
        decoder_filters, 1, use_bias=False, activation="sigmoid", name="pool_conv"
    )(average)
    x = conv_bn_relu(x, decoder_filters, 1, name="decoder_conv")
    x = layers.Multiply(name="decoder_weighted")([x, weight])
    coarse = classify(upsample_like(x, fine), num_classes, name="coarse_logits")
    fine = classify(fine, num_classes, name="fine_logits")
    return assemble(
        images,
        layers.Add(dtype="float32", name="logits")([coarse, fine]),
        architecture="lraspp",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        output_stride=output_stride,
        decoder_filters=decoder_filters,
    )
