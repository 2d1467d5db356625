"""The backbones: how each is built, and how its features are taken.

A backbone is a row of `BACKBONES`, or one of the user's. `encode` turns images into feature maps,
finest first.
"""

import functools
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
from keras import applications, layers, ops

from petseg.dilation import dilate
from petseg.efficientnet_lite import efficientnet_lite
from petseg.feature_taps import (
    STRIDES,
    coarsest_stride,
    find_features,
    image_network,
    named_features,
)
from petseg.normalization import BN_MOMENTUM, FusedBatchNormalization


def rescale(
    images: keras.KerasTensor, scale: Sequence[float], offset: Sequence[float]
) -> keras.KerasTensor:
    """Maps channels by constants of red, green and blue.

    Args:
        images: Images `(N, H, W, C)`.
        scale: Three factors. For other numbers of channels, see `in_cycle`.
        offset: Three numbers that are added afterwards.

    Returns:
        `(N, H, W, C)`.
    """
    scale, offset = (in_cycle(values, images.shape[-1]) for values in (scale, offset))
    return layers.Rescaling(scale, offset=offset, name="preprocess")(images)


def in_cycle(values: Sequence[float], channels: int, *, is_reversed: bool = False) -> list[float]:
    """Repeats the constants of red, green and blue for any number of channels.

    Args:
        values: Three constants.
        channels: Number of channels.
        is_reversed: Whether the order of the channels is turned round before.

    Returns:
        A constant for each channel: red, green, blue, red and so on; for one channel the mean.
    """
    if channels == 1:
        return [sum(values) / len(values)]
    return [values[index] for index in _cycle(len(values), channels, is_reversed)]


def _cycle(count: int, channels: int, is_reversed: bool) -> list[int]:
    """Which of a few channels stands for each of many."""
    order = [channel % count for channel in range(channels)]
    return [count - 1 - index for index in reversed(order)] if is_reversed else order


def _to_unit_range(images: keras.KerasTensor) -> keras.KerasTensor:
    """[0, 255] to [-1, 1], the input range of the MobileNets."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocess")(images)


def _to_lite_range(images: keras.KerasTensor) -> keras.KerasTensor:
    """[0, 255] to about [-1, 1], as EfficientNet-Lite was trained: (x - 127) / 128."""
    return layers.Rescaling(1 / 128, offset=-127 / 128, name="preprocess")(images)


def to_imagenet_statistics(images: keras.KerasTensor) -> keras.KerasTensor:
    """Maps [0, 255] to zero mean and unit variance over ImageNet, the input of EfficientNets.

    Args:
        images: Images `(N, H, W, C)`.

    Returns:
        `(N, H, W, C)`.
    """
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    scale = [1 / (255 * value) for value in deviation]
    return rescale(images, scale, [-m / d for m, d in zip(mean, deviation, strict=True)])


def _to_centred_bgr(images: keras.KerasTensor) -> keras.KerasTensor:
    """RGB to BGR minus the ImageNet mean, the input of VGG16 and ResNet50.

    Of other numbers of channels, the order is turned round as a whole.
    """
    centred = rescale(images, (1.0, 1.0, 1.0), (-123.68, -116.779, -103.939))
    return ops.flip(centred, axis=-1)


def _unchanged(images: keras.KerasTensor) -> keras.KerasTensor:
    return images


@dataclass(frozen=True)
class Backbone:
    """A network whose features a segmentation model is built on.

    Attributes:
        name: Name in the model's record.
        build: Functional Keras model or `keras.Sequential` with one input of images, or function
            that builds one with the arguments `include_top`, `weights` and `input_shape`, as those
            of `keras.applications` do. A model is copied, with its weights unless `weights=None`.
        preprocess: Maps images in [0, 255] to the input of the network, by layers or operations of
            Keras. By default the network takes images in [0, 255].
        taps: Names of the layers whose outputs are the features at strides 2, 4, 8, 16 and 32. By
            default, the last layer at each stride. A network without stride 2 gives the image,
            averaged over 2 x 2 pixels.
        source: The paper.
        options: More arguments of `build`.
        reversed_channels: Whether `preprocess` turns round the order of the channels.

    Raises:
        ValueError: If a value is out of its range.

    Example:
        >>> network = keras.applications.DenseNet121(include_top=False, weights=None)
        >>> model = petseg.unet(backbone=petseg.Backbone("densenet", network))
    """

    name: str
    build: Callable[..., keras.Model] | keras.Model
    preprocess: Callable[[keras.KerasTensor], keras.KerasTensor] = _unchanged
    taps: Sequence[str] | None = None
    source: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    reversed_channels: bool = False

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"`name` must be a string. Received: {self.name!r}.")
        for name, value in (("build", self.build), ("preprocess", self.preprocess)):
            if not callable(value):
                raise ValueError(f"`{name}` must be a function or a model. Received: {value!r}.")
        taps = self.taps
        if taps is None:
            return
        if isinstance(taps, str) or len(taps) != len(STRIDES):
            raise ValueError(
                "`taps` must be the names of five layers, whose outputs have strides 2, 4, 8, 16 "
                f"and 32. Received: {taps!r}."
            )


def _efficientnet_lite(name: str) -> Backbone:
    return Backbone(
        name,
        build=functools.partial(efficientnet_lite, name),
        preprocess=_to_lite_range,
        taps=(
            "stage2_block1_expand_relu",
            "stage3_block1_expand_relu",
            "stage4_block1_expand_relu",
            "stage6_block1_expand_relu",
            "stage7_block1_project_bn",
        ),
        source=f"EfficientNet-Lite{name[-1]} (Tan and Le, arXiv:1905.11946)",
    )


_ROWS = (
    Backbone(
        "mobilenet",
        build=applications.MobileNet,
        preprocess=_to_unit_range,
        taps=(
            "conv_pw_1_relu",
            "conv_pw_3_relu",
            "conv_pw_5_relu",
            "conv_pw_11_relu",
            "conv_pw_13_relu",
        ),
        source="MobileNet (Howard et al., arXiv:1704.04861)",
    ),
    Backbone(
        "mobilenetv2",
        build=applications.MobileNetV2,
        preprocess=_to_unit_range,
        taps=(
            "block_1_expand_relu",
            "block_3_expand_relu",
            "block_6_expand_relu",
            "block_13_expand_relu",
            "block_16_project_BN",
        ),
        source="MobileNetV2 (Sandler et al., arXiv:1801.04381)",
    ),
    Backbone(
        "mobilenetv3small",
        build=applications.MobileNetV3Small,
        preprocess=_to_unit_range,
        taps=(
            "conv_bn",
            "expanded_conv_project_bn",
            "expanded_conv_2_add",
            "expanded_conv_7_add",
            "expanded_conv_10_add",
        ),
        source="MobileNetV3 small (Howard et al., arXiv:1905.02244)",
        options={"include_preprocessing": False},
    ),
    Backbone(
        "mobilenetv3large",
        build=applications.MobileNetV3Large,
        preprocess=_to_unit_range,
        taps=(
            "expanded_conv_add",
            "expanded_conv_2_add",
            "expanded_conv_5_add",
            "expanded_conv_11_add",
            "expanded_conv_14_add",
        ),
        source="MobileNetV3 large (Howard et al., arXiv:1905.02244)",
        options={"include_preprocessing": False},
    ),
    Backbone(
        "vgg16",
        build=applications.VGG16,
        preprocess=_to_centred_bgr,
        taps=("block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"),
        source="VGG16 (Simonyan and Zisserman, arXiv:1409.1556)",
        reversed_channels=True,
    ),
    Backbone(
        "resnet50",
        build=applications.ResNet50,
        preprocess=_to_centred_bgr,
        taps=(
            "conv1_relu",
            "conv2_block3_out",
            "conv3_block4_out",
            "conv4_block6_out",
            "conv5_block3_out",
        ),
        source="ResNet50 (He et al., arXiv:1512.03385)",
        reversed_channels=True,
    ),
    Backbone(
        "efficientnetv2b0",
        build=applications.EfficientNetV2B0,
        preprocess=to_imagenet_statistics,
        taps=(
            "block1a_project_activation",
            "block2b_add",
            "block3b_add",
            "block5e_add",
            "block6h_add",
        ),
        source="EfficientNetV2-B0 (Tan and Le, arXiv:2104.00298)",
        options={"include_preprocessing": False},
    ),
    _efficientnet_lite("efficientnetlite0"),
    _efficientnet_lite("efficientnetlite1"),
    _efficientnet_lite("efficientnetlite2"),
)

BACKBONES: dict[str, Backbone] = {row.name: row for row in _ROWS}


def encode(
    images: keras.KerasTensor, backbone: Backbone, weights: str | None, output_stride: int = 32
) -> list[keras.KerasTensor]:
    """Applies a backbone to images.

    The layers of the backbone become one nested model called "encoder".

    Args:
        images: Images `(N, H, W, C)` in [0, 255], RGB or of another number of channels.
        backbone: A row of `BACKBONES`, or one of the user's.
        weights: "imagenet" for pretrained weights. Anything else leaves the weights random.
        output_stride: Stride of the coarsest features: 32, 16 or 8. With 16 the stage of stride
            32 is left out. With 8 the stage of stride 16 is dilated too.

    Returns:
        Features `(N, h, w, C)`, finest first. With `output_stride` 32 there are five, at strides 2,
        4, 8, 16 and 32; with 16 the first four of them; with 8 four, at strides 2, 4, 8 and 8.

    Raises:
        ValueError: If the backbone does not have such features, or does not take such images.
        ConnectionError: If the pretrained weights cannot be downloaded.
    """
    encoder = build_encoder(
        backbone,
        "imagenet" if weights == "imagenet" else None,
        stages=5 if output_stride == 32 else 4,
        channels=images.shape[-1],
    )
    if output_stride == 8:
        encoder = dilate(encoder, output_stride)
        if not _is_known(backbone) and coarsest_stride(encoder) != output_stride:
            raise ValueError(
                f"`output_stride` must be 16 or more for the backbone {backbone.name!r}, because "
                f"some of its layers cannot be dilated. Received: {output_stride}."
            )
    fixed, given = encoder.input_shape[1:3], images.shape[1:3]
    if any(size is not None and size != wanted for size, wanted in zip(fixed, given, strict=True)):
        raise ValueError(
            f"`image_shape` must begin with {tuple(fixed)}, the only size that the model given as "
            f"`backbone` takes. Received: {tuple(given)}."
        )
    return encoder(backbone.preprocess(images))


def build_encoder(
    backbone: Backbone, weights: str | None, stages: int = 5, channels: int = 3
) -> keras.Model:
    """Builds the part of a backbone that computes features.

    Args:
        backbone: A row of `BACKBONES`, or one of the user's.
        weights: "imagenet" for pretrained weights, None for random ones.
        stages: How many of the five features to return.
        channels: Number of channels of the images. Functions build a network for RGB. For other
            numbers, its constants of each channel are repeated, see `in_cycle`, and the pretrained
            kernels of the first convolution are adapted, see `adapt_kernel`.

    Returns:
        A model from preprocessed images to a list of the first `stages` features, finest first.

    Raises:
        ValueError: If the backbone does not have such features, or does not take such images.
        ConnectionError: If the pretrained weights cannot be downloaded.
    """
    is_model = isinstance(backbone.build, keras.Model)
    encoder = _encoder(backbone, weights, stages, channels if is_model else 3)
    adapts = encoder.input_shape[-1] != channels
    copied = keras.models.clone_model(
        encoder,
        keras.Input((None, None, channels)) if adapts else None,
        functools.partial(
            _copy,
            channels=channels if adapts else None,
            is_reversed=backbone.reversed_channels,
        ),
    )
    if weights is None and (is_model or adapts):  # A copy has random weights.
        return copied
    constants = {
        id(weight)
        for layer in encoder.layers
        if isinstance(layer, layers.Normalization)
        for weight in layer.weights
    }
    arrays = [weight.numpy() for weight in encoder.weights if id(weight) not in constants]
    if adapts:
        first = next(index for index, array in enumerate(arrays) if array.ndim == 4)
        arrays[first] = adapt_kernel(
            arrays[first], channels, is_reversed=backbone.reversed_channels
        )
    copied.set_weights(arrays)
    return copied


def adapt_kernel(kernel: np.ndarray, channels: int, *, is_reversed: bool = False) -> np.ndarray:
    """Adapts the kernel of a first convolution to another number of channels.

    Args:
        kernel: `(height, width, C, filters)`, usually of RGB.
        channels: Number of channels of the result.
        is_reversed: Whether the order of the channels is turned round before the convolution.

    Returns:
        `(height, width, channels, filters)`. For one channel the sum, which answers to grey as the
        kernel answers to RGB of equal values; for more the channels in cycle, rescaled so that
        their sum answers to equal values about as before.
    """
    count = kernel.shape[2]
    if channels == 1:
        return kernel.sum(axis=2, keepdims=True)
    order = _cycle(count, channels, is_reversed)
    adapted: np.ndarray = kernel[:, :, order] * np.float32(count / channels)
    return adapted


def _encoder(backbone: Backbone, weights: str | None, stages: int, channels: int) -> keras.Model:
    network = _network(backbone, weights, channels)
    if backbone.taps is None:
        features = find_features(network, backbone.name)
    else:
        features = named_features(
            network, backbone.taps, backbone.name, check=not _is_known(backbone)
        )
    return keras.Model(network.input, features[:stages], name="encoder")


def _network(backbone: Backbone, weights: str | None, channels: int) -> keras.Model:
    build = backbone.build
    if isinstance(build, keras.Model):
        network = image_network(build)
        expected = network.input_shape[-1]
        if expected != channels:
            raise ValueError(
                f"`image_shape` must have {expected} channels, as the model given as `backbone` "
                f"takes them. Received: {channels} channels."
            )
        return network
    with warnings.catch_warnings():
        # Keras warns that it loads the weights for 224 x 224 because the input has no fixed size,
        # and that images usually have 1 or 3 channels. Both are what we want.
        warnings.filterwarnings("ignore", message=".*input_shape.* is undefined or non-square")
        warnings.filterwarnings("ignore", message=".*usually expects 1 or 3 input channels")
        try:
            network = build(
                include_top=False,
                weights=weights,
                input_shape=(None, None, channels),
                **backbone.options,
            )
        except Exception as error:
            if "URL fetch failure" not in str(error):
                raise
            raise ConnectionError(
                f"`weights='imagenet'` could not be downloaded: {error} Check the internet "
                "connection, use `backbone='efficientnetlite0'`, whose weights come with petseg, "
                "or pass `weights=None` or the path of a weights file."
            ) from error
    return image_network(network)


def _is_known(backbone: Backbone) -> bool:
    """Whether it is a row of the table, whose strides the tests of petseg check."""
    return BACKBONES.get(backbone.name) is backbone


def _copy(layer: keras.Layer, channels: int | None, is_reversed: bool) -> keras.Layer:
    """Copies a layer.

    Batch normalization becomes `FusedBatchNormalization`. The statistics of `Normalization` become
    constants, because `set_weights` does not reach what that layer computes with. With a number of
    channels, constants of red, green and blue are repeated for them.
    """
    if channels is not None and isinstance(layer, keras.Sequential):
        # Its configuration holds the shape of the images.
        parts = [_copy(part, channels, is_reversed) for part in layer.layers]
        return keras.Sequential(parts, name=layer.name)
    config = layer.get_config()
    if isinstance(layer, layers.BatchNormalization):
        return FusedBatchNormalization.from_config({**config, "momentum": BN_MOMENTUM})
    constants: dict[str, Any] = {}
    if isinstance(layer, layers.Rescaling):
        constants = {"scale": layer.scale, "offset": layer.offset}
    elif isinstance(layer, layers.Normalization):
        mean, variance = layer.input_mean, layer.input_variance
        if mean is None:
            mean, variance = layer.adapt_mean.numpy(), layer.adapt_variance.numpy()
        constants = {"mean": mean, "variance": variance}
    for name, given in constants.items():
        values = np.asarray(given, float).tolist()
        if channels is not None and np.shape(values) == (3,):
            values = in_cycle(values, channels, is_reversed=is_reversed)
        config[name] = values
    return type(layer).from_config(config)
