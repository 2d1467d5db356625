"""EfficientNet-Lite, with ImageNet weights that come with the package.

EfficientNet (Tan and Le, arXiv:1905.11946) for integer arithmetic: ReLU6 instead of swish, and no
squeeze-and-excitation. The weights are Google's. `weights/imagenet/` holds them, with their licence
and with a card for each that says how they were converted and checked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
from keras import layers

from petseg_runtime import validation
from petseg_runtime.pretrained import read_arrays

WEIGHTS = Path(__file__).parent / "weights" / "imagenet"
EPSILON = 1e-3  # of batch normalization, as trained
STEM_FILTERS = 32
KERNEL_SIZES = (3, 3, 5, 3, 5, 5, 3)
STRIDES = (1, 2, 2, 2, 1, 2, 1)
EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)


@dataclass(frozen=True)
class Variant:
    """A row of `VARIANTS`: one size of the network.

    Attributes:
        filters: Output channels of each of the seven stages.
        repeats: Number of blocks of each stage.
        image_size: Height and width in pixels of the images that it was trained with.
    """

    filters: tuple[int, ...]
    repeats: tuple[int, ...]
    image_size: int


VARIANTS = {
    "efficientnetlite0": Variant((16, 24, 40, 80, 112, 192, 320), (1, 2, 2, 3, 3, 4, 1), 224),
    "efficientnetlite1": Variant((16, 24, 40, 80, 112, 192, 320), (1, 3, 3, 4, 4, 5, 1), 240),
    "efficientnetlite2": Variant((16, 24, 48, 88, 120, 208, 352), (1, 3, 3, 4, 4, 5, 1), 260),
}


def efficientnet_lite(
    name: str,
    *,
    include_top: bool = False,
    weights: str | None = None,
    input_shape: Sequence[int | None] = (None, None, 3),
) -> keras.Model:
    """Builds the convolutional part of EfficientNet-Lite.

    Args:
        name: Key of `VARIANTS`.
        include_top: Always False, as for the functions of `keras.applications`: there is no
            classifier.
        weights: "imagenet", or None for random weights.
        input_shape: (height, width, 3) of the images. A size that is None is any.

    Returns:
        A model from images, RGB mapped by `(x - 127) / 128`, to features at stride 32.

    Raises:
        ValueError: If there is no such network, or not with this `include_top` or `weights`.
        OSError: If the file of the weights is missing or was changed.

    Reference: Tan and Le, 2019, arXiv:1905.11946, table 1.
    """
    name = validation.choice("name", name, VARIANTS)
    if include_top or weights not in ("imagenet", None):
        raise ValueError(
            "`include_top` must be False and `weights` 'imagenet' or None. Received: "
            f"include_top={include_top}, weights={weights!r}."
        )
    variant = VARIANTS[name]
    images = keras.Input(input_shape)
    x = _convolution(images, STEM_FILTERS, 3, 2, "stem")
    x = layers.ReLU(6.0, name="stem_relu")(x)
    stages = zip(variant.filters, variant.repeats, KERNEL_SIZES, STRIDES, EXPANSIONS, strict=True)
    for stage, (filters, repeats, kernel_size, stride, expansion) in enumerate(stages, start=1):
        for block in range(repeats):
            x = _inverted_residual(
                x,
                filters,
                kernel_size,
                stride if block == 0 else 1,
                expansion,
                name=f"stage{stage}_block{block + 1}",
            )
    model = keras.Model(images, x, name=name)
    if weights == "imagenet":
        arrays = read_arrays(name, WEIGHTS)
        # The names are those of the weights, so that the order of layers is free to change.
        model.set_weights([arrays[weight.path] for weight in model.weights])
    return model


def _inverted_residual(
    x: keras.KerasTensor, filters: int, kernel_size: int, stride: int, expansion: int, *, name: str
) -> keras.KerasTensor:
    """Applies a mobile inverted bottleneck (arXiv:1801.04381, section 3.3)."""
    inputs = x
    if expansion > 1:
        x = _convolution(x, x.shape[-1] * expansion, 1, 1, f"{name}_expand")
        x = layers.ReLU(6.0, name=f"{name}_expand_relu")(x)
    x = layers.DepthwiseConv2D(
        kernel_size, stride, padding="same", use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(6.0, name=f"{name}_depthwise_relu")(x)
    x = _convolution(x, filters, 1, 1, f"{name}_project")
    if stride == 1 and inputs.shape[-1] == filters:
        x = layers.Add(name=f"{name}_add")([x, inputs])
    return x


def _convolution(
    x: keras.KerasTensor, filters: int, kernel_size: int, stride: int, name: str
) -> keras.KerasTensor:
    x = layers.Conv2D(filters, kernel_size, stride, padding="same", use_bias=False, name=name)(x)
    return layers.BatchNormalization(epsilon=EPSILON, name=f"{name}_bn")(x)
