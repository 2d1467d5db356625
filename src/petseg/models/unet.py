"""U-Net (Ronneberger et al., arXiv:1505.04597)."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models.arguments import image_input, resolve_backbone
from petseg.models.assembly import assemble
from petseg.models.layers import classify, conv_bn_relu, upsample_like
from petseg.own_backbone import BackboneLike
from petseg_runtime import validation


def unet(
    num_classes: int = 3,
    *,
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    decoder_filters: Sequence[int] = (128, 96, 48),
) -> keras.Model:
    """Builds a compiled U-Net with a pretrained encoder.

    Differences from the paper: convolutions are padded, so that the logits have the size of the
    image. Skip and upsampled features are projected to the decoder width by 1x1 convolutions, then
    concatenated and fused by one 3x3 convolution (the paper uses two at full width). With the
    default widths the decoder ends at stride 4; logits are upsampled bilinearly from there.

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
        decoder_filters: Channels of each decoder step, coarsest first, one to four steps. Each step
            doubles the resolution.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Ronneberger et al., 2015, arXiv:1505.04597.

    Example:
        >>> model = petseg.unet(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
    """
    num_classes = validation.integer("num_classes", num_classes, 2)
    backbone = resolve_backbone(backbone, "unet", weights)
    decoder_filters = validation.integers("decoder_filters", decoder_filters, at_most=4)
    images = image_input(image_shape)
    *skips, x = encode(images, backbone, weights)
    steps = zip(reversed(skips), decoder_filters, strict=False)
    for step, (skip, filters) in enumerate(steps, start=1):
        x = conv_bn_relu(x, filters, 1, name=f"decoder{step}_input")
        skip = conv_bn_relu(skip, filters, 1, name=f"decoder{step}_skip")
        x = layers.Concatenate(name=f"decoder{step}_join")([upsample_like(x, skip), skip])
        x = conv_bn_relu(x, filters, name=f"decoder{step}_conv")
    return assemble(
        images,
        classify(x, num_classes),
        architecture="unet",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        decoder_filters=decoder_filters,
    )
