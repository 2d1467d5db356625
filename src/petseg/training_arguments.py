"""Checks of the arguments of `finetune`, before any training."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from petseg_runtime import validation

# What a single learning rate is multiplied by for the thawed stage.
THAWED_SHARE = 0.3


def learning_rates(learning_rate: Any) -> tuple[float, float]:
    """Checks the learning rates of both stages.

    Args:
        learning_rate: What was received.

    Returns:
        The rates of the frozen and of the thawed stage.

    Raises:
        ValueError: If it is neither a positive number nor two of them.
    """
    if validation.is_number(learning_rate):
        learning_rate = (learning_rate, THAWED_SHARE * float(learning_rate))
    rates = tuple(learning_rate) if isinstance(learning_rate, Sequence) else ()
    if len(rates) != 2 or not all(validation.is_number(rate) and rate > 0 for rate in rates):
        raise ValueError(
            "`learning_rate` must be a positive number, or two of them: for the frozen and for the "
            f"thawed stage. Received: {learning_rate!r}."
        )
    return float(rates[0]), float(rates[1])


def check_encoder(model: Any) -> None:
    """Refuses a model without an encoder to freeze.

    Args:
        model: What was received.

    Raises:
        ValueError: If it is not a model with a layer "encoder".
    """
    names = [layer.name for layer in model.layers] if isinstance(model, keras.Model) else []
    if "encoder" not in names:
        raise ValueError(
            '`model` must be one of petseg\'s, with a layer named "encoder" to freeze. Received: '
            f"{getattr(model, 'name', model)!r}, which has none. Train it with `model.fit`."
        )


def check_batches(name: str, dataset: Any) -> None:
    """Refuses what is not a dataset of batches.

    Args:
        name: The argument's name.
        dataset: What was received.

    Raises:
        TypeError: If it is not a `tf.data.Dataset`.
        ValueError: If its elements are not batches of images and masks.
    """
    if not isinstance(dataset, tf.data.Dataset):
        raise TypeError(
            f"`{name}` must be a tf.data.Dataset of batches (images, masks). Received: "
            f"{type(dataset).__name__}. Make one of arrays by "
            "`tf.data.Dataset.from_tensor_slices((images, masks)).batch(16)`, and of a PyDataset "
            "or generator by `tf.data.Dataset.from_generator`."
        )
    spec = dataset.element_spec
    parts = spec if isinstance(spec, tuple) else ()
    ranks = [getattr(part, "shape", tf.TensorShape(None)).rank for part in parts]
    of_masks = (3, 4, None)
    fit = len(parts) in (2, 3) and ranks[0] in (4, None)
    if not fit or any(rank not in of_masks for rank in ranks[1:]):
        raise ValueError(
            f"`{name}` must yield batches (images, masks) or (images, masks, sample_weights): "
            "images (N, H, W, 3), masks (N, H, W, 1) or (N, H, W), and a weight for each pixel of "
            f"the same shape. Received: {spec}. A dataset of single examples needs `.batch(16)`."
        )


def check_channels(name: str, dataset: tf.data.Dataset, model: keras.Model) -> None:
    """Refuses images of another number of channels than the model takes.

    Args:
        name: The argument's name.
        dataset: A dataset of batches.
        model: The model.

    Raises:
        ValueError: If both numbers are known and differ.
    """
    given = dataset.element_spec[0].shape
    shape = getattr(model, "input_shape", None)  # a subclassed model has none
    wanted = shape[-1] if isinstance(shape, tuple) else None
    if given.rank == 4 and None not in (given[3], wanted) and given[3] != wanted:
        raise ValueError(
            f"`{name}` must hold images of {wanted} channels, as `model` takes them. Received: "
            f"images of {given[3]} channels. Build the model with `image_shape=(None, None, "
            f"{given[3]})`."
        )


def check_no_weights(train: tf.data.Dataset, class_weights: Any, loss: keras.losses.Loss) -> None:
    """Refuses weights of pixels for a loss that sums over pixels before they are applied.

    Args:
        train: A dataset of batches.
        class_weights: Weight of each class, or None.
        loss: The loss.

    Raises:
        ValueError: If there are weights of classes or of pixels.
    """
    if class_weights is not None:
        raise ValueError(
            "`class_weights` must be given to the loss: "
            "`petseg.CrossEntropyDice(class_weights=...)`, or `alpha` of a focal loss. Received: a "
            f"model that is compiled with `{type(loss).__name__}`, and weights for `finetune`."
        )
    if len(train.element_spec) == 3:
        raise ValueError(
            "`train` must have no sample weights where the model is compiled with "
            f"`{type(loss).__name__}`, whose sums over pixels they do not reach. Compile it with "
            "`keras.losses.SparseCategoricalCrossentropy(from_logits=True)`, or mark pixels that "
            "do not count with the label `ignore_class`."
        )


_FRACTIONS = (
    "`train` must hold images in [0, 255]. Received: images whose values all lie in [0, 1]. "
    "Multiply them by 255: preprocessing is part of the model."
)


def with_checked_pixels(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Lets a dataset raise an error at images in [0, 1].

    Args:
        batches: Batches, whose first part is the images.

    Returns:
        The same batches. `pixel_errors` turns the error into one that says what to do.
    """

    def check(images: tf.Tensor, *others: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if images.dtype.is_floating:
            first = images[:1]  # of all images, this would take milliseconds
            is_fraction = tf.reduce_any(first % 1 != 0) & (tf.reduce_max(first) <= 1)
            with tf.control_dependencies([tf.debugging.Assert(~is_fraction, [_FRACTIONS])]):
                images = tf.identity(images)
        return images, *others

    return batches.map(check)


@contextmanager
def pixel_errors() -> Iterator[None]:
    """Turns the error of `with_checked_pixels` into a `ValueError`.

    Yields:
        Nothing.

    Raises:
        ValueError: If images lie in [0, 1].
    """
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if _FRACTIONS in error.message:
            raise ValueError(_FRACTIONS) from None
        raise


def check_train(train: tf.data.Dataset, steps_per_execution: int) -> None:
    """Refuses training data without a known number of batches.

    Args:
        train: A dataset of batches.
        steps_per_execution: Batches in one call of the compiled training function.

    Raises:
        ValueError: If the number is unknown, or does not fit `steps_per_execution`.
    """
    batches = int(train.cardinality())
    if batches < 1:
        raise ValueError(
            "`train` must have a known, finite number of batches of 1 or more, for the schedule of "
            f"the learning rate. Received: {_length(batches)}. Give a dataset its length by "
            "`.apply(tf.data.experimental.assert_cardinality(n))`."
        )
    if batches % steps_per_execution:
        raise ValueError(
            "`model` must be compiled with a `steps_per_execution` that divides the number of "
            f"batches of `train`. Received: {steps_per_execution} for {batches} batches."
        )


def check_val(val: tf.data.Dataset) -> None:
    """Refuses validation data that is empty or does not end.

    Args:
        val: A dataset of batches.

    Raises:
        ValueError: If it is empty or infinite.
    """
    batches = int(val.cardinality())
    if batches == tf.data.UNKNOWN_CARDINALITY:
        batches = sum(1 for _ in val.take(1))
    if batches < 1:
        raise ValueError(
            "`val` must have a finite number of batches of 1 or more: its mean IoU decides what "
            f"the best epoch is. Received: {_length(batches)}."
        )


def _length(batches: int) -> str:
    special = {
        tf.data.INFINITE_CARDINALITY: "an infinite dataset",
        tf.data.UNKNOWN_CARDINALITY: "a dataset of unknown length",
    }
    return special.get(batches, f"{batches} batches")


def check_callbacks(callbacks: Any, schedule: str | None) -> None:
    """Refuses callbacks that do not work with two stages or with the schedule.

    Args:
        callbacks: What was received.
        schedule: The schedule of the learning rate, or None.

    Raises:
        ValueError: If it is not a list of callbacks, or one of them does not work.
    """
    is_sequence = isinstance(callbacks, Sequence)
    for callback in callbacks if is_sequence else [callbacks]:
        if not is_sequence or not isinstance(callback, keras.callbacks.Callback):
            raise ValueError(f"`callbacks` must be a list of callbacks. Received: {callbacks!r}.")
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise ValueError(
                "`callbacks` must not hold BackupAndRestore, which moves the epochs of the second "
                "stage. Pass `run_dir` instead."
            )
        sets_rate = (
            keras.callbacks.ReduceLROnPlateau,
            keras.callbacks.LearningRateScheduler,
        )
        if schedule is not None and isinstance(callback, sets_rate):
            raise ValueError(
                f"`callbacks` must not hold {type(callback).__name__} with "
                f"`schedule={schedule!r}`, which sets the learning rate itself. Pass "
                "`schedule=None`."
            )
