"""Augmentation of the user's own: a function of batches, or preprocessing layers of Keras."""

from collections.abc import Callable, Iterator
from typing import Any

import keras
import tensorflow as tf

# The keys under which Keras's layers take images and their masks.
IMAGES, MASKS = "images", "segmentation_masks"

Function = Callable[[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

_FRACTIONS = (
    "`augment` must keep the classes of masks. Received: layers that return fractions, because "
    "they mix or interpolate masks. Remove them."
)

# Layers whose results have labels between classes, or parts of other images' masks.
_MIXING = (keras.layers.AugMix, keras.layers.CutMix, keras.layers.MixUp)
# Layers that cannot be given masks, and would leave them as they are.
_OF_IMAGES = (
    keras.layers.ContrastLimitedAdaptiveHistogramEqualization,
    keras.layers.RandomGrayscale,
)
_RESIZING = (keras.layers.CenterCrop, keras.layers.RandomCrop, keras.layers.Resizing)

# Added to labels while a layer fills new pixels. The layer fills masks with the value that it fills
# images with, which lies in [0, 255]. So lower values are new pixels.
_FILL_OFFSET = 512


def own_function(
    augment: Any, image_size: tuple[int, int], ignore_class: int | None = None
) -> Function:
    """Returns the function of a batch that an argument `augment` stands for.

    Args:
        augment: A function, or a layer, `keras.Sequential` or `keras.layers.Pipeline` of Keras's
            preprocessing layers.
        image_size: (height, width) of the images, which the layers must keep.
        ignore_class: The label of pixels without a class, which the new pixels get where a layer
            fills them with a constant. None where the data have no such label.

    Returns:
        A function of float images and integer masks that returns both.

    Raises:
        ValueError: If a layer does not transform masks, mixes them, or fills them and
            `ignore_class` is None, or the layers change the size.
    """
    if not isinstance(augment, keras.layers.Layer):
        function: Function = augment
        return function
    layers = list(_layers(augment))
    for layer in layers:
        if isinstance(layer, _MIXING):
            raise ValueError(
                "`augment` must keep the classes of masks. Received: "
                f"{type(layer).__name__}, which mixes images and their masks. Remove it."
            )
        if not hasattr(layer, "transform_segmentation_masks"):
            raise ValueError(
                "`augment` must hold layers of Keras that transform images and masks together, "
                f"such as RandomRotation. Received: {type(layer).__name__}."
            )
        if _fills(layer) and ignore_class is None:
            raise ValueError(
                "`augment` must not make pixels without a class, as the data have no "
                f"`ignore_class`. Received: {type(layer).__name__}, which fills them with a "
                "constant. Pass `fill_mode` to it, such as 'reflect', or leave it out."
            )
    sizes = [(layer, layer.height, layer.width) for layer in layers if isinstance(layer, _RESIZING)]
    if sizes and sizes[-1][1:] != tuple(image_size):
        layer, height, width = sizes[-1]
        raise ValueError(
            f"`augment` must return images of `image_size`, {tuple(image_size)}. Received: "
            f"{type(layer).__name__}({height}, {width}). Give it that size, or add Resizing."
        )

    def by_layers(images: tf.Tensor, masks: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        data = {IMAGES: images, MASKS: masks}
        for layer in layers:
            data = _apply(layer, data, ignore_class)
        found = tf.cast(data[MASKS], tf.float32)
        whole = tf.round(found)
        with tf.control_dependencies([tf.debugging.assert_equal(found, whole, _FRACTIONS)]):
            return data[IMAGES], tf.cast(whole, masks.dtype)

    return by_layers


def _apply(
    layer: keras.layers.Layer, data: dict[str, tf.Tensor], ignore_class: int | None
) -> dict[str, tf.Tensor]:
    if isinstance(layer, _OF_IMAGES):
        return {**data, IMAGES: layer(data[IMAGES], training=True)}
    if not _fills(layer):
        return dict(layer(data, training=True))
    data = layer({**data, MASKS: data[MASKS] + _FILL_OFFSET}, training=True)
    masks = data[MASKS] - _FILL_OFFSET
    return {**data, MASKS: tf.where(masks < 0, tf.cast(ignore_class, masks.dtype), masks)}


def _fills(layer: keras.layers.Layer) -> bool:
    """Tells whether a layer fills new pixels of masks with a constant."""
    if isinstance(layer, keras.layers.Resizing):
        return bool(layer.pad_to_aspect_ratio and layer.fill_mode == "constant")
    # RandomPerspective has no other mode.
    is_perspective = isinstance(layer, keras.layers.RandomPerspective)
    return is_perspective or getattr(layer, "fill_mode", None) == "constant"


def _layers(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """Lists the layers of a stack, in their order."""
    if isinstance(layer, keras.Model | keras.layers.Pipeline):
        for part in layer.layers:
            yield from _layers(part)
    else:
        yield layer


def description(augment: Any) -> dict[str, Any]:
    """Describes an augmentation, ready for JSON.

    Args:
        augment: A function or layers.

    Returns:
        The configuration of each layer, or the name of the function.
    """
    if isinstance(augment, keras.layers.Layer):
        return {"layers": [keras.saving.serialize_keras_object(each) for each in _layers(augment)]}
    function = augment if hasattr(augment, "__qualname__") else type(augment)
    return {"function": f"{function.__module__}.{function.__qualname__}"}


def augmented(
    function: Function,
    images: tf.Tensor,
    masks: tf.Tensor,
    *,
    num_classes: int,
    ignore_class: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Augments a batch by a function of the user.

    Args:
        function: What `own_function` returned.
        images: float32 `(N, H, W, channels)` in [0, 255].
        masks: int32 classes `(N, H, W, 1)`.
        num_classes: Number of classes.
        ignore_class: The label of pixels without a class, or None.

    Returns:
        The images and the masks, of the same types and sizes. Images are clipped to [0, 255].

    Raises:
        ValueError: If the function returns something else.
        tf.errors.InvalidArgumentError: If it returns labels that are no classes.
    """
    found = function(images, masks)
    if not isinstance(found, tuple | list) or len(found) != 2:
        raise ValueError(
            "`augment` must return images and masks. Received: a function that returns "
            f"{type(found).__name__}."
        )
    new_images, new_masks = map(tf.convert_to_tensor, found)
    for name, new, old in (("images", new_images, images), ("masks", new_masks, masks)):
        if not new.shape.is_compatible_with(old.shape):
            raise ValueError(
                f"`augment` must return {name} of shape {tuple(old.shape)}. "
                f"Received: {tuple(new.shape)}."
            )
    if not new_masks.dtype.is_integer:
        raise ValueError(
            "`augment` must return masks of integers. Received: masks of type "
            f"{new_masks.dtype.name}. Use nearest-neighbour interpolation, and cast them."
        )
    new_images = tf.clip_by_value(tf.cast(new_images, tf.float32), 0.0, 255.0)
    new_images = tf.ensure_shape(new_images, images.shape)
    new_masks = tf.ensure_shape(tf.cast(new_masks, tf.int32), masks.shape)
    is_known = (new_masks >= 0) & (new_masks < num_classes)
    ignored = ""
    if ignore_class is not None:
        is_known |= new_masks == ignore_class
        ignored = f", or the `ignore_class` {ignore_class}"
    message = (
        f"`augment` must return masks of the classes 0 to {num_classes - 1}{ignored}. "
        "Received other labels:"
    )
    unknown = tf.boolean_mask(new_masks, ~is_known)
    with tf.control_dependencies(
        [tf.debugging.Assert(tf.reduce_all(is_known), [message, unknown])]
    ):
        return new_images, tf.identity(new_masks)
