"""What every network here is made of: convolutions, resizing, and the shared last step."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
from keras import layers, ops

from petseg.metrics import MeanIoU
from petseg.normalization import BN_MOMENTUM, FusedBatchNormalization
from petseg.shipped import load_shipped

MIN_SIZE = 32


def image_input(image_shape: Sequence[int | None]) -> keras.KerasTensor:
    """The input tensor, `(N, H, W, 3)` float32, where `None` stands for any height or width."""
    shape = tuple(image_shape) if isinstance(image_shape, Sequence) else (image_shape,)
    sizes = all(size is None or (isinstance(size, int) and size >= MIN_SIZE) for size in shape[:2])
    if len(shape) != 3 or shape[2] != 3 or not sizes:
        raise ValueError(
            f"`image_shape` must be (height, width, 3), each size None or at least {MIN_SIZE}. "
            f"Received: {image_shape!r}."
        )
    return keras.Input(shape, name="images")


def unit_fraction(name: str, value: float) -> float:
    """`value`, which must be in [0, 1)."""
    if not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(f"`{name}` must be a number in [0, 1). Received: {value!r}.")
    return value


def positive_integer(name: str, value: int) -> int:
    """`value`, which must be a positive integer."""
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {value!r}.")
    return value


def atrous_stride(value: int) -> int:
    """The output stride `value`, which must be 8 or 16."""
    if value not in (8, 16):
        raise ValueError(f"`output_stride` must be 8 or 16. Received: {value!r}.")
    return value


def widths(name: str, values: Sequence[int], most: int) -> Sequence[int]:
    """`values`, which must be one to `most` positive integers."""
    if (
        not isinstance(values, Sequence)
        or not 1 <= len(values) <= most
        or not all(isinstance(value, int) and value > 0 for value in values)
    ):
        raise ValueError(
            f"`{name}` must hold one to {most} positive integers. Received: {values!r}."
        )
    return values


def conv_bn_relu(
    x: keras.KerasTensor, filters: int, kernel_size: int = 3, *, dilation_rate: int = 1, name: str
) -> keras.KerasTensor:
    """A convolution without bias, batch normalization, ReLU."""
    x = layers.Conv2D(
        filters,
        kernel_size,
        padding="same",
        dilation_rate=dilation_rate,
        use_bias=False,
        kernel_initializer="he_normal",
        name=name,
    )(x)
    x = FusedBatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def separable_conv_bn_relu(
    x: keras.KerasTensor, filters: int, *, dilation_rate: int = 1, name: str
) -> keras.KerasTensor:
    """A 3 x 3 depthwise and a 1 x 1 pointwise convolution, each normalized and rectified.

    Atrous separable convolution as in DeepLabV3+ (arXiv:1802.02611, section 3.1).
    """
    x = layers.DepthwiseConv2D(
        3, padding="same", dilation_rate=dilation_rate, use_bias=False, name=f"{name}_depthwise"
    )(x)
    x = FusedBatchNormalization(momentum=BN_MOMENTUM, name=f"{name}_depthwise_bn")(x)
    x = layers.ReLU(name=f"{name}_depthwise_relu")(x)
    return conv_bn_relu(x, filters, 1, name=name)


def classify(
    x: keras.KerasTensor, num_classes: int, name: str = "logits", kernel_size: int = 1
) -> keras.KerasTensor:
    """Logits of each position: a convolution, float32 under any dtype policy."""
    if not isinstance(num_classes, int) or num_classes < 2:
        raise ValueError(
            f"`num_classes` must be an integer of 2 or more. Received: {num_classes!r}."
        )
    return layers.Conv2D(num_classes, kernel_size, padding="same", dtype="float32", name=name)(x)


@keras.saving.register_keras_serializable("petseg")
class ResizeLike(layers.Layer):
    """Resizes `x` `(N, h, w, C)` bilinearly to the height and width of `reference`."""

    def call(self, x: Any, reference: Any) -> Any:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # Keras's own resizing needs sizes that are known before the model runs.
            return tf.cast(tf.image.resize(x, tf.shape(reference)[1:3]), x.dtype)
        return ops.image.resize(x, ops.shape(reference)[1:3])

    def compute_output_shape(
        self, x_shape: tuple[Any, ...], reference_shape: tuple[Any, ...]
    ) -> tuple[Any, ...]:
        return (x_shape[0], *reference_shape[1:3], x_shape[3])


def upsample_like(
    x: keras.KerasTensor, reference: keras.KerasTensor, **kwargs: Any
) -> keras.KerasTensor:
    """`x` at the height and width of `reference`."""
    return ResizeLike(**kwargs)(x, reference)


def segmenter(
    images: keras.KerasTensor,
    logits: keras.KerasTensor,
    name: str,
    weights: str | None,
    class_names: Sequence[str] | None = None,
    ignore_class: int | None = None,
) -> keras.Model:
    """The compiled model from `images` to `logits`, which are resized to the images.

    Loads `weights` when it is "pets" or a path. Compiled with Adam, cross-entropy from logits and
    `MeanIoU`, which logs the pixel accuracy too.
    """
    num_classes = logits.shape[-1]
    outputs = upsample_like(logits, images, dtype="float32", name="resized_logits")
    model = keras.Model(images, outputs, name=name)
    if weights == "pets":
        card = load_shipped(model)
        class_names = class_names or card["class_names"]
    elif weights not in (None, "imagenet"):
        _load(model, weights)
    model.compile(
        optimizer=keras.optimizers.Adam(),
        loss=keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=ignore_class
        ),
        metrics=[MeanIoU(num_classes, class_names, ignore_class)],
        **compile_options(),
    )
    return model


def compile_options() -> dict[str, Any]:
    """Arguments of `compile` that make these networks run fast on the current backend."""
    # XLA makes a training step of TensorFlow on a CPU several times slower.
    return {"jit_compile": False} if keras.backend.backend() == "tensorflow" else {}


def _load(model: keras.Model, weights: str) -> None:
    path = Path(weights)
    if not str(path).endswith((".weights.h5", ".keras")) or not path.is_file():
        raise ValueError(
            "`weights` must be 'imagenet', 'pets', None, or the path of a .weights.h5 or .keras "
            f"file. Received: {str(weights)!r}, which is none of these."
        )
    try:
        with warnings.catch_warnings():
            # What Keras skips would stay random, and say so in a warning alone.
            warnings.filterwarnings("error", message="Skipping")
            model.load_weights(path)
    except (ValueError, KeyError, UserWarning) as error:
        raise ValueError(
            f"`weights` must be a file of this very model. Received: {str(path)!r}, whose weights "
            f"do not fit {model.name}: use the arguments that it was saved with."
        ) from error
