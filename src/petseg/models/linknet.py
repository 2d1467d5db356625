"""LinkNet (Chaurasia and Culurciello, arXiv:1707.03718)."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models.arguments import image_input, resolve_backbone
from petseg.models.assembly import assemble
from petseg.models.layers import classify, conv_bn_relu, upsample_like
from petseg.own_backbone import BackboneLike
from petseg_runtime import validation


def linknet(
    num_classes: int = 3,
    *,
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    decoder_steps: int = 3,
    reduction: int = 4,
) -> keras.Model:
    """Builds a compiled LinkNet: skip connections that are added.

    Each step of the decoder reduces the channels, doubles the resolution, and expands to the
    channels of the encoder's feature, which is added.

    Differences from the paper: bilinear upsampling and a 3x3 convolution take the place of the
    transposed convolution, so that images of any size work. With the default number of steps the
    decoder ends at stride 4; logits are upsampled bilinearly from there.

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
        decoder_steps: Steps of the decoder, 1 to 4. Each doubles the resolution.
        reduction: Factor by which a step reduces the channels of its input.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Chaurasia and Culurciello, 2017, arXiv:1707.03718, figures 1 and 2.

    Example:
        >>> model = petseg.linknet(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
    """
    num_classes = validation.integer("num_classes", num_classes, 2)
    backbone = resolve_backbone(backbone, "linknet", weights)
    decoder_steps = validation.integer("decoder_steps", decoder_steps, 1, 4)
    reduction = validation.integer("reduction", reduction, 1)
    images = image_input(image_shape)
    *skips, x = encode(images, backbone, weights)
    for step, skip in enumerate(reversed(skips[-decoder_steps:]), start=1):
        filters = max(1, x.shape[-1] // reduction)
        x = conv_bn_relu(x, filters, 1, name=f"decoder{step}_reduce")
        x = conv_bn_relu(upsample_like(x, skip), filters, name=f"decoder{step}_conv")
        x = conv_bn_relu(x, skip.shape[-1], 1, name=f"decoder{step}_expand")
        x = layers.Add(name=f"decoder{step}_add")([x, skip])
    x = conv_bn_relu(x, max(1, x.shape[-1] // reduction), name="decoder_conv")
    return assemble(
        images,
        classify(x, num_classes),
        architecture="linknet",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        decoder_steps=decoder_steps,
        reduction=reduction,
    )
