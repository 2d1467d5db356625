"""A model on several devices of TensorFlow: sums over the parts of a batch that each of them holds.

Under `tf.distribute.MirroredStrategy` a loss sees the part of the batch that is on its device, and
TensorFlow adds the gradients of all devices. On JAX a loss sees the whole batch.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops


def num_replicas() -> int:
    """Counts the devices of TensorFlow that share the batch.

    Returns:
        Their number; 1 outside of training on several.
    """
    context = tf.distribute.get_replica_context()  # None while Keras traces the model alone
    return 1 if context is None else context.num_replicas_in_sync


def sums(*values: Any) -> list[Any]:
    """Adds tensors over all devices that share the batch.

    Args:
        *values: Tensors of the same shapes on each device.

    Returns:
        Their sums, the same on each device. The values themselves outside a strategy.
    """
    if num_replicas() == 1:
        return list(values)
    context = tf.distribute.get_replica_context()
    return context.all_reduce(tf.distribute.ReduceOp.SUM, list(values))


def whole_batch(value: Any) -> Any:
    """Puts the parts of a batch together.

    Args:
        value: The part of the batch on this device, a tensor.

    Returns:
        The whole batch, on each device.
    """
    if num_replicas() == 1:
        return value
    return tf.distribute.get_replica_context().all_gather(value, axis=0)


def balanced(values: Any) -> Any:
    """Scales gradients so that every pixel of the batch counts the same on each device.

    Keras adds the gradients of the means over the part on each device, as if the parts were equal.
    The last batch of an epoch may leave a device with fewer images, or with none.

    Args:
        values: One value for each pixel on this device, which the loss is the mean of.

    Returns:
        The values themselves, with other gradients.
    """
    if num_replicas() == 1:
        return values
    count = ops.cast(ops.size(values), values.dtype)
    (total,) = sums(count)
    scaled = values * (count * num_replicas() / total)
    return scaled + ops.stop_gradient(values - scaled)


def predict_on_batch(model: keras.Model, images: Any) -> np.ndarray:
    """Computes the outputs for a batch of images, also if the model is on several devices.

    Every device of TensorFlow computes the whole batch then, and Keras returns all their outputs.

    Args:
        model: The model.
        images: `(N, H, W, C)`.

    Returns:
        The outputs, the first axis `N`.
    """
    return np.asarray(model.predict_on_batch(images))[: len(images)]


@contextmanager
def synchronized_batch_norm(model: keras.Model) -> Iterator[None]:
    """A context in which batch normalization takes its statistics from the whole batch.

    Args:
        model: The model, on several devices.

    Yields:
        Nothing.
    """
    changed = [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, layers.BatchNormalization) and not layer.synchronized
    ]
    for layer in changed:
        layer.synchronized = True
    try:
        yield
    finally:
        # The saved model is the same on one device.
        for layer in changed:
            layer.synchronized = False


@contextmanager
def safe_empty_parts(model: keras.Model) -> Iterator[None]:
    """A context in which devices without an image compute convolutions of an empty batch rightly.

    The last batch of an epoch can leave a device without an image. TensorFlow 2.21 then leaves the
    gradient of a depthwise kernel uninitialized. On some processors oneDNN also gives the output of
    any convolution the shape of its input, and its kernel no gradient.

    Args:
        model: The model, on several devices.

    Yields:
        Nothing.
    """
    kinds: tuple[type[layers.Layer], ...] = (layers.DepthwiseConv2D, layers.SeparableConv2D)
    if not tf.config.list_logical_devices("GPU"):
        kinds += (layers.Conv2D, layers.Conv2DTranspose)
    changed = [layer for layer in model._flatten_layers() if isinstance(layer, kinds)]
    for layer in changed:
        layer.call = _for_any_part(layer.call)
    try:
        yield
    finally:
        for layer in changed:
            del layer.call


@contextmanager
def uneven_parts(model: keras.Model) -> Iterator[None]:
    """A context in which the first batch may leave the devices with different numbers of images.

    Before training and evaluation, Keras 3.15 builds the metrics with the mean over the devices of
    a batch, for the sake of its shape. Here it gets the part of the first device.

    Args:
        model: The model, on several devices.

    Yields:
        Nothing.
    """
    build = model._maybe_symbolic_build

    def build_with_a_part(iterator: Any = None, data_batch: Any = None) -> None:
        if iterator is not None:
            for _, _, batches in iterator:
                data_batch = keras.tree.map_structure(_first_part, next(batches))
                break
        build(data_batch=data_batch)

    model._maybe_symbolic_build = build_with_a_part
    try:
        yield
    finally:
        del model._maybe_symbolic_build


def _first_part(value: Any) -> Any:
    return value.values[0] if isinstance(value, tf.distribute.DistributedValues) else value


def _for_any_part(call: Callable[[tf.Tensor], tf.Tensor]) -> Callable[[tf.Tensor], tf.Tensor]:
    def safe_call(inputs: tf.Tensor) -> tf.Tensor:
        if num_replicas() == 1:
            return call(inputs)
        return tf.cond(
            tf.shape(inputs)[0] == 0,
            lambda: call(tf.pad(inputs, [[0, 1], [0, 0], [0, 0], [0, 0]]))[:0],
            lambda: call(inputs),
        )

    return safe_call
