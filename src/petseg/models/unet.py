"""U-Net (Ronneberger et al., arXiv:1505.04597)."""

from collections.abc import Sequence

import keras
from keras import layers

from petseg.backbones import encode
from petseg.models.arguments import image_input
from petseg.models.assembly import assemble
from petseg.models.layers import classify, conv_bn_relu, upsample_like
from petseg_runtime import validation


def unet(
    num_classes: int = 3,
    *,
    backbone: str = "mobilenetv2",
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    decoder_filters: Sequence[int] = (128, 96, 48),
) -> keras.Model:
    """U-Net on a pretrained encoder (Ronneberger et al., arXiv:1505.04597).

    Takes RGB `(N, H, W, 3)` in [0, 255], any size of 32 or more; returns float32 logits
    `(N, H, W, num_classes)`. Compiled; `get_layer("encoder")` is the backbone.

    `weights` are "imagenet" (the backbone's; the decoder's are random), "pets" (all of it, trained
    on Oxford-IIIT Pet and shipped with the package, for the networks of
    `petseg.pretrained.pretrained_models`), None (all random), or the path of a file of this model.
    `class_names` name the classes in the logs; pixels of `ignore_class`, such as 255, count neither
    in the loss nor in the scores.

    `decoder_filters` are the widths of the decoder's steps, coarsest first, one to four: each step
    doubles the resolution, so that three end at stride 4, whence the logits are resized.

    Unlike the paper, convolutions are padded, so that masks match the image; a skip and what comes
    from below are projected to the step's width before they are joined, and one convolution
    follows, not two.

    Raises `ValueError` when an argument is out of its range.
    """
    images = image_input(image_shape)
    *skips, x = encode(images, backbone, weights)
    decoder_filters = validation.integers("decoder_filters", decoder_filters, at_most=4)
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
