"""The encoders: what each backbone is, and how its features are taken.

A backbone is a row of `BACKBONES`. `encode` turns images into five feature maps, finest first, at
strides 2, 4, 8, 16 and 32; `dilate` trades the coarsest strides for dilation.
"""

import difflib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import keras
from keras import applications, layers, ops, tree

from petseg.normalization import BN_MOMENTUM, FusedBatchNormalization


def _to_unit_range(images: keras.KerasTensor) -> keras.KerasTensor:
    """[0, 255] to [-1, 1], as the MobileNets were trained."""
    return layers.Rescaling(1 / 127.5, offset=-1.0, name="preprocess")(images)


def _to_imagenet_statistics(images: keras.KerasTensor) -> keras.KerasTensor:
    """[0, 255] to zero mean and unit variance over ImageNet, as EfficientNetV2-B0 was trained."""
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    scale = [1 / (255 * value) for value in deviation]
    offset = [-m / d for m, d in zip(mean, deviation, strict=True)]
    return layers.Rescaling(scale, offset=offset, name="preprocess")(images)


def _to_centred_bgr(images: keras.KerasTensor) -> keras.KerasTensor:
    """RGB to BGR with ImageNet's mean taken off, as the Caffe networks VGG16 and ResNet50 were."""
    centred = layers.Rescaling(1.0, offset=[-123.68, -116.779, -103.939], name="preprocess")
    return ops.flip(centred(images), axis=-1)


@dataclass(frozen=True)
class Backbone:
    """A row of `BACKBONES`.

    `build` makes the `keras.applications` network, with `options`; `preprocess` maps RGB in [0,
    255] to what its weights expect; `taps` are the layers whose outputs are the features at strides
    2, 4, 8, 16 and 32; `source` is the paper.
    """

    build: Callable[..., keras.Model]
    preprocess: Callable[[keras.KerasTensor], keras.KerasTensor]
    taps: tuple[str, str, str, str, str]
    source: str
    options: dict[str, Any] = field(default_factory=dict)


BACKBONES: dict[str, Backbone] = {
    "mobilenet": Backbone(
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
    "mobilenetv2": Backbone(
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
    "mobilenetv3small": Backbone(
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
    "mobilenetv3large": Backbone(
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
    "vgg16": Backbone(
        build=applications.VGG16,
        preprocess=_to_centred_bgr,
        taps=("block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3", "block5_pool"),
        source="VGG16 (Simonyan and Zisserman, arXiv:1409.1556)",
    ),
    "resnet50": Backbone(
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
    ),
    "efficientnetv2b0": Backbone(
        build=applications.EfficientNetV2B0,
        preprocess=_to_imagenet_statistics,
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
}


def encode(
    images: keras.KerasTensor, backbone: str, weights: str | None, output_stride: int = 32
) -> list[keras.KerasTensor]:
    """Features of `images` at strides 2, 4, 8, 16 and 32, finest first.

    Takes RGB `(N, H, W, 3)` in [0, 255]; preprocesses them; returns tensors `(N, h, w, C)`. The
    layers are one nested model named "encoder". With `output_stride` 16 the last stage is left out,
    and there are four features; with 8 the last of the four is at stride 8 too, its stage dilated.

    Raises `ValueError` when `backbone` is not one of `BACKBONES`.
    """
    if backbone not in BACKBONES:
        near = difflib.get_close_matches(str(backbone).lower(), BACKBONES, n=3, cutoff=0.4)
        hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
        raise ValueError(
            f"`backbone` must be one of {', '.join(BACKBONES)}. Received: {backbone!r}.{hint}"
        )
    encoder = build_encoder(
        backbone,
        "imagenet" if weights == "imagenet" else None,
        stages=5 if output_stride == 32 else 4,
    )
    if output_stride == 8:
        encoder = dilate(encoder, output_stride)
    return encoder(BACKBONES[backbone].preprocess(images))


def build_encoder(backbone: str, weights: str | None, stages: int = 5) -> keras.Model:
    """The backbone from preprocessed images to a list of its first `stages` features."""
    row = BACKBONES[backbone]
    with warnings.catch_warnings():
        # Keras says that it takes the 224 x 224 weights where the input has no fixed size: as
        # meant.
        warnings.filterwarnings("ignore", message=".*input_shape.* is undefined or non-square")
        try:
            network = row.build(
                include_top=False, weights=weights, input_shape=(None, None, 3), **row.options
            )
        except Exception as error:
            if "URL fetch failure" not in str(error):
                raise
            raise ConnectionError(
                f"`weights='imagenet'` could not be downloaded: {error} Check the network, or pass "
                "`weights=None` or the path of a weights file."
            ) from error
    features = [network.get_layer(tap).output for tap in row.taps[:stages]]
    encoder = keras.Model(network.input, features, name="encoder")
    fused = keras.models.clone_model(encoder, clone_function=_fused)
    fused.set_weights(encoder.get_weights())
    return fused


def _fused(layer: keras.Layer) -> keras.Layer:
    """The same layer anew, with batch normalization in one pass."""
    config = layer.get_config()
    if isinstance(layer, layers.BatchNormalization):
        return FusedBatchNormalization.from_config({**config, "momentum": BN_MOMENTUM})
    return type(layer).from_config(config)


def dilate(encoder: keras.Model, output_stride: int) -> keras.Model:
    """The same encoder with no feature coarser than `output_stride`, its weights kept.

    A layer that strode beyond `output_stride` strides no more and keeps the dilation rate that came
    before it; the layers after it double theirs (arXiv:1706.05587, section 3.1). On the grid that
    the strided encoder samples, the features are the same, save where squeeze and excitation
    averages over more positions.

    A max pool may stride no more too, but there is none that dilates: raises `ValueError` when one
    follows.
    """
    strides = {encoder.input._keras_history.operation.name: 1}
    configs: dict[str, dict[str, Any]] = {}
    paddings: dict[str, Any] = {}
    for layer in encoder.operations[1:]:
        producers = [tensor._keras_history.operation for tensor in tree.flatten(layer.input)]
        stride = max(strides[producer.name] for producer in producers)
        strides[layer.name] = stride * _own_stride(layer)
        beyond = strides[layer.name] > output_stride
        if isinstance(layer, layers.MaxPooling2D) and beyond:
            if stride > output_stride:
                raise ValueError(f"{layer.name} would have to dilate, which no pooling layer can.")
            configs[layer.name] = {"strides": 1, "padding": "same"}
        elif isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D)) and beyond:
            rate = stride // output_stride
            configs[layer.name] = {"strides": 1, "dilation_rate": rate}
            if _own_stride(layer) > 1 and layer.kernel_size[0] > 1:
                # The taps that fall on the sampled grid are those of the strided layer.
                if isinstance(producers[0], layers.ZeroPadding2D):
                    before = producers[0].padding[0][0]
                    configs[producers[0].name] = {"padding": _side(rate, layer, before)}
                else:
                    before = (layer.kernel_size[0] - 2) // 2  # "same" on an even size
                    configs[layer.name]["padding"] = "valid"
                    paddings[layer.name] = _side(rate, layer, before)

    def rebuild(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config({**layer.get_config(), **configs.get(layer.name, {})})

    def call(layer: keras.Layer, x: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name in paddings:
            x = layers.ZeroPadding2D(paddings[layer.name], name=f"{layer.name}_pad")(x)
        return layer(x, *args, **kwargs)

    dilated = keras.models.clone_model(encoder, None, rebuild, call)
    dilated.set_weights(encoder.get_weights())
    return dilated


def _own_stride(layer: Any) -> int:
    return layer.strides[0] if hasattr(layer, "strides") else 1


def _side(rate: int, layer: Any, before: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Padding for a kernel whose taps are `rate` apart, `before` of them ahead of the position."""
    side = (rate * before, rate * (layer.kernel_size[0] - 1 - before))
    return (side, side)
