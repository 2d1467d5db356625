"""Fully convolutional networks (Long et al., arXiv:1411.4038): FCN-32s, FCN-16s and FCN-8s."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models.arguments import image_input, resolve_backbone
from petseg.models.assembly import assemble
from petseg.models.layers import classify, conv_bn_relu, upsample_like
from petseg.own_backbone import BackboneLike
from petseg_runtime import validation


def fcn32(
    num_classes: int = 3,
    *,
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    decoder_filters: int = 256,
    dropout: float = 0.5,
) -> keras.Model:
    """Builds a compiled FCN-32s: class scores at stride 32.

    The scores of the coarsest features are upsampled to the image.

    Differences from the paper: one 3x3 convolution stands in for the two layers of 4096 channels
    (section 4.1), and scores are upsampled bilinearly, not by learned kernels.

    Args:
        num_classes: Number of classes, at least 2.
        backbone: Key of `petseg.BACKBONES`, function of `keras.applications` or its name, Keras
            model, or `petseg.Backbone`. By default the one of the `.keras` file where
            that is used, else "efficientnetlite0".
        image_shape: (height, width, channels) of the images. Each size is at least 32, or None for
            images of any size. For other channels than RGB, the first convolution of pretrained
            weights is adapted.
        weights: "imagenet" (pretrained encoder, random decoder), None (random), or the path of a
            `.weights.h5` or `.keras` file or of the folder of a run. Layers that do not fit, such
            as the last one for other classes, stay random, and a `WeightsWarning` names them. The
            package has no "pets" weights for this architecture.
        class_names: Name of each class, for the logs and the model's record. By default "0", "1"
            and so on.
        ignore_class: Label of pixels that count in no loss and no score, such as 255.
        decoder_filters: Channels of the 3x3 convolution on the coarsest features.
        dropout: Fraction of these channels that is set to zero in training.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Long et al., 2015, arXiv:1411.4038.

    Example:
        >>> model = petseg.fcn32(21, ignore_class=255)
    """
    return _fcn(
        0,
        num_classes,
        image_shape=image_shape,
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
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    decoder_filters: int = 256,
    dropout: float = 0.5,
) -> keras.Model:
    """Builds a compiled FCN-16s: class scores at strides 32 and 16, added.

    The scores at stride 32 are upsampled and added to scores of the features at stride 16. Coarser
    features carry more semantics, finer ones more spatial detail.

    Differences from the paper: one 3x3 convolution stands in for the two layers of 4096 channels
    (section 4.1), and scores are upsampled bilinearly, not by learned kernels.

    Args:
        num_classes: Number of classes, at least 2.
        backbone: Key of `petseg.BACKBONES`, function of `keras.applications` or its name, Keras
            model, or `petseg.Backbone`. By default the one of the `.keras` file where
            that is used, else "efficientnetlite0".
        image_shape: (height, width, channels) of the images. Each size is at least 32, or None for
            images of any size. For other channels than RGB, the first convolution of pretrained
            weights is adapted.
        weights: "imagenet" (pretrained encoder, random decoder), None (random), or the path of a
            `.weights.h5` or `.keras` file or of the folder of a run. Layers that do not fit, such
            as the last one for other classes, stay random, and a `WeightsWarning` names them. The
            package has no "pets" weights for this architecture.
        class_names: Name of each class, for the logs and the model's record. By default "0", "1"
            and so on.
        ignore_class: Label of pixels that count in no loss and no score, such as 255.
        decoder_filters: Channels of the 3x3 convolution on the coarsest features.
        dropout: Fraction of these channels that is set to zero in training.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Long et al., 2015, arXiv:1411.4038.

    Example:
        >>> model = petseg.fcn16(21, ignore_class=255)
    """
    return _fcn(
        1,
        num_classes,
        image_shape=image_shape,
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
    backbone: BackboneLike | None = None,
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    decoder_filters: int = 256,
    dropout: float = 0.5,
) -> keras.Model:
    """Builds a compiled FCN-8s: class scores at strides 32, 16 and 8, added.

    The scores at stride 32 are upsampled and added to scores of the features at stride 16, their
    sum to scores of the features at stride 8. Coarser features carry more semantics, finer ones
    more spatial detail.

    Differences from the paper: one 3x3 convolution stands in for the two layers of 4096 channels
    (section 4.1), and scores are upsampled bilinearly, not by learned kernels.

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
        decoder_filters: Channels of the 3x3 convolution on the coarsest features.
        dropout: Fraction of these channels that is set to zero in training.

    Returns:
        A compiled model from images `(N, H, W, C)` in [0, 255] to float32 logits
        `(N, H, W, num_classes)`. `model.get_layer("encoder")` is the backbone.

    Raises:
        ValueError: If an argument is out of its range, or the weights do not fit the model.
        OSError: If weights cannot be downloaded or read.

    Reference: Long et al., 2015, arXiv:1411.4038.

    Example:
        >>> model = petseg.fcn8(weights="pets")
        >>> mask = petseg.predict(model, "cat.jpg")
    """
    return _fcn(
        2,
        num_classes,
        image_shape=image_shape,
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        decoder_filters=decoder_filters,
        dropout=dropout,
    )


def _fcn(
    num_skips: int,
    num_classes: int,
    *,
    backbone: BackboneLike | None,
    image_shape: Sequence[int | None],
    weights: str | None,
    class_names: Sequence[str] | None,
    ignore_class: int | None,
    decoder_filters: int,
    dropout: float,
) -> keras.Model:
    """Adds the scores of the coarsest features and of the next `num_skips` finer ones."""
    num_classes = validation.integer("num_classes", num_classes, 2)
    architecture = f"fcn{32 // 2**num_skips}"
    backbone = resolve_backbone(backbone, architecture, weights)
    decoder_filters = validation.integer("decoder_filters", decoder_filters, 1)
    dropout = validation.fraction("dropout", dropout)
    images = image_input(image_shape)
    *skips, x = encode(images, backbone, weights)
    x = conv_bn_relu(x, decoder_filters, name="decoder_conv")
    x = layers.SpatialDropout2D(dropout, name="decoder_dropout")(x)
    scores = classify(x, num_classes, name="scores")
    for step, skip in enumerate(list(reversed(skips))[:num_skips], start=1):
        scores = upsample_like(scores, skip, dtype="float32")
        skip_scores = classify(skip, num_classes, name=f"skip{step}_scores", kernel_size=3)
        scores = layers.Add(dtype="float32", name=f"fused{step}_scores")([scores, skip_scores])
    return assemble(
        images,
        scores,
        architecture=architecture,
        backbone=backbone,
        weights=weights,
        class_names=class_names,
        ignore_class=ignore_class,
        decoder_filters=decoder_filters,
        dropout=dropout,
    )
