"""FPN for semantic segmentation (Kirillov et al., arXiv:1901.02446)."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models.arguments import image_input, resolve_backbone
from petseg.models.assembly import assemble
from petseg.models.layers import classify, conv_bn_relu, upsample_like
from petseg.own_backbone import BackboneLike
from petseg_runtime import validation


def fpn(
    num_classes: int = 3,
    *,
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    pyramid_filters: int = 96,
    decoder_filters: int = 64,
) -> keras.Model:
    """Builds a compiled feature pyramid network with the decoder of Panoptic FPN.

    The pyramid adds each feature of the encoder to the upsampled coarser one. From each level, 3x3
    convolutions that alternate with upsampling lead to stride 4, where the levels are summed.

    Differences from the paper: the pyramid has no 3x3 convolution of its own, because the decoder
    begins with one; its 1x1 convolutions have batch normalization and ReLU; batch normalization
    takes the place of group normalization; upsampling in the pyramid is bilinear; there are fewer
    channels (the paper has 256 and 128).

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
        pyramid_filters: Channels of the pyramid.
        decoder_filters: Channels of the decoder.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Kirillov et al., 2019, arXiv:1901.02446, figure 3.

    Example:
        >>> model = petseg.fpn(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
    """
    num_classes = validation.integer("num_classes", num_classes, 2)
    backbone = resolve_backbone(backbone, "fpn", weights)
    pyramid_filters = validation.integer("pyramid_filters", pyramid_filters, 1)
    decoder_filters = validation.integer("decoder_filters", decoder_filters, 1)
    images = image_input(image_shape)
    features = encode(images, backbone, weights)[1:]  # strides 4, 8, 16 and 32
    levels: list[keras.KerasTensor] = []  # finest first
    for feature in reversed(features):
        stride = 4 * 2 ** (len(features) - 1 - len(levels))
        level = conv_bn_relu(feature, pyramid_filters, 1, name=f"pyramid{stride}")
        if levels:
            coarser = upsample_like(levels[0], level)
            level = layers.Add(name=f"pyramid{stride}_add")([level, coarser])
        levels.insert(0, level)
    summands = []
    for steps, level in enumerate(levels):
        x = level
        for step in range(max(1, steps)):
            name = f"decoder{4 * 2**steps}_conv{step + 1}"
            x = conv_bn_relu(x, decoder_filters, name=name)
            if steps:
                x = upsample_like(x, levels[steps - 1 - step])
        summands.append(x)
    x = layers.Add(name="decoder_sum")(summands)
    return assemble(
        images,
        classify(x, num_classes),
        architecture="fpn",
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        pyramid_filters=pyramid_filters,
        decoder_filters=decoder_filters,
    )
