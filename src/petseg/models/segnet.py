"""SegNet (Badrinarayanan et al., arXiv:1511.00561)."""

from collections.abc import Sequence

import keras

from petseg.backbones import encode
from petseg.models.arguments import image_input
from petseg.models.assembly import assemble
from petseg.models.layers import (
    MaxUnpooling2D,
    classify,
    conv_bn_relu,
    separable_conv_bn_relu,
)


def segnet(
    num_classes: int = 3,
    *,
    backbone: str = "mobilenetv2",
    image_shape: Sequence[int | None] = (None, None, 3),
    weights: str | None = "imagenet",
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
    output_stride: int = 4,
) -> keras.Model:
    """SegNet: a decoder that is told where each maximum was, and nothing else (arXiv:1511.00561).

    Takes RGB `(N, H, W, 3)` in [0, 255], any size of 32 or more; returns float32 logits
    `(N, H, W, num_classes)`. Compiled; `get_layer("encoder")` is the backbone.

    Each step brings the features to the channels of the encoder's next finer ones, unpools them to
    where those have their maxima, and convolves. With `vgg16` the maxima are those of its own max
    pools; a backbone that strides instead has none, and the maxima of the features before the
    stride stand in. The encoder ends at stride 16, the decoder at `output_stride` (2, 4 or 8),
    whence the logits are resized; its convolutions are depthwise separable, which the paper's are
    not. The other arguments are those of `unet`.

    Raises `ValueError` when an argument is out of its range.
    """
    if output_stride not in (2, 4, 8):
        raise ValueError(f"`output_stride` must be 2, 4 or 8. Received: {output_stride!r}.")
    images = image_input(image_shape)
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
