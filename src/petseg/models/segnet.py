"""SegNet (Badrinarayanan et al., arXiv:1511.00561)."""

from collections.abc import Sequence

import keras

from petseg.backbones import encode
from petseg.models import arguments
from petseg.models.assembly import assemble
from petseg.models.layers import (
    MaxUnpooling2D,
    classify,
    conv_bn_relu,
    separable_conv_bn_relu,
)
from petseg.own_backbone import BackboneLike
from petseg_runtime import validation


def segnet(
    num_classes: int = 3,
    *,
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    output_stride: int = 4,
) -> keras.Model:
    """Builds a compiled SegNet: a decoder that unpools with the encoder's max-pooling indices.

    Each decoder step projects the features to the channels of the next finer encoder features,
    places the values where these features have their maxima, and convolves.

    Differences from the paper: the encoder ends at stride 16, and the logits are upsampled
    bilinearly from `output_stride`. The decoder's convolutions are depthwise separable. Only
    `vgg16` has max pooling at every step; for backbones with strided convolutions the maxima of the
    features before the stride are used instead.

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
        output_stride: Stride at which the decoder ends: 2, 4 or 8.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Badrinarayanan et al., 2015, arXiv:1511.00561.

    Example:
        >>> model = petseg.segnet(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
    """
    num_classes = validation.integer("num_classes", num_classes, 2)
    backbone = arguments.resolve_backbone(backbone, "segnet", weights)
    output_stride = arguments.output_stride(output_stride, (2, 4, 8))
    images = arguments.image_input(image_shape)
    *finer, x = encode(images, backbone, weights, output_stride=16)
    steps = {2: 3, 4: 2, 8: 1}[output_stride]
    for step, before_pool in enumerate(list(reversed(finer))[:steps], start=1):
        filters = before_pool.shape[-1]
        x = conv_bn_relu(x, filters, 1, name=f"decoder{step}_input")
        x = MaxUnpooling2D(name=f"decoder{step}_unpool")(x, before_pool)
        x = separable_conv_bn_relu(x, filters, name=f"decoder{step}_conv")
    return assemble(
        images,
        classify(x, num_classes),
        architecture="segnet",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        output_stride=output_stride,
    )
