"""Losses of masks with ignored pixels: cross-entropy with Dice, and those of Keras."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from petseg import replicas
from petseg.label_shapes import labels_for
from petseg_runtime import validation

_HALF_PRECISION = ("float16", "bfloat16")
_NOTHING = 1e-12  # the probability of every class, where a pixel does not count


@keras.saving.register_keras_serializable("petseg")
class CrossEntropyDice(keras.losses.Loss):
    """Cross-entropy plus Dice loss, from logits.

    Called with integer masks `(N, H, W)` or `(N, H, W, 1)` and logits `(N, H, W, num_classes)`. The
    loss of a batch is the sum of two terms, both over the pixels that count:

    - the mean cross-entropy, weighted by `class_weights` of the true class;
    - the Dice loss: one minus the mean over classes of the soft Dice coefficient
      `(2 sum(t p) + 1) / (sum(t) + sum(p) + 1)`, with truth `t` (0 or 1) and probability `p` of the
      class (arXiv:1606.04797, section 3, with plain sums in the denominator).

    Pixels of `ignore_class` do not count. If `ignore_class` is itself one of the classes, the Dice
    mean leaves this class out: it has no true pixels, so its coefficient says nothing. Probability
    that a pixel that counts gives to this class is still an error, because its true class gets
    less.

    A label that is neither a class index nor `ignore_class` makes the loss NaN. Computed in float32
    where `dtype` is a half-precision one, whose sums over pixels overflow.

    Args:
        class_weights: Weight of each class in the cross-entropy, 0 or more. By default all are 1.
        ignore_class: Label of pixels that do not count, or None.
        name: Name of the loss.
        reduction: Reduction over pixels, as for `keras.losses.Loss`.
        dtype: Data type of the computation, as for `keras.losses.Loss`.

    Raises:
        ValueError: If `class_weights` or `ignore_class` is out of its range.

    Example:
        >>> loss = petseg.CrossEntropyDice(class_weights=(1, 1, 2), ignore_class=255)
        >>> model.compile(optimizer="adam", loss=loss, metrics=[petseg.MeanIoU(3)])
    """

    def __init__(
        self,
        class_weights: Sequence[float] | None = None,
        ignore_class: int | None = None,
        name: str = "cross_entropy_dice",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=_full_precision(dtype))
        if class_weights is not None:
            class_weights = validation.class_weights("class_weights", class_weights)
        self.class_weights = class_weights
        self.ignore_class = validation.optional_integer("ignore_class", ignore_class)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        num_classes = y_pred.shape[-1]
        weights = (1.0,) * num_classes
        if self.class_weights is not None:
            weights = validation.class_weights("class_weights", self.class_weights, num_classes)
        truth, is_valid = _one_hot(y_true, y_pred, self.ignore_class, self.dtype)
        log_probabilities = ops.log_softmax(ops.cast(y_pred, self.dtype), axis=-1)

        # Each pixel's share of a weighted mean, times the number of pixels: Keras takes the mean
        # over all pixels.
        weighted_truth = truth * ops.convert_to_tensor(weights, dtype=self.dtype)
        cross_entropy = -ops.sum(weighted_truth * log_probabilities, axis=-1)

        probabilities = ops.exp(log_probabilities) * ops.sum(truth, axis=-1, keepdims=True)
        axes = tuple(range(len(y_pred.shape) - 1))
        pixels, weight, overlap, size = replicas.sums(
            ops.cast(ops.size(cross_entropy), self.dtype),
            ops.sum(weighted_truth),
            ops.sum(truth * probabilities, axis=axes),
            ops.sum(truth, axis=axes) + ops.sum(probabilities, axis=axes),
        )
        mean_weight = weight / pixels
        cross_entropy = cross_entropy / ops.where(mean_weight > 0, mean_weight, 1.0)
        coefficients = (2.0 * overlap + 1.0) / (size + 1.0)
        scored = [index for index in range(num_classes) if index != self.ignore_class]
        dice = 1.0 - ops.mean(ops.take(coefficients, scored, axis=0))

        losses = replicas.balanced(cross_entropy + dice)
        return ops.where(is_valid, losses, float("nan"))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "class_weights": self.class_weights,
            "ignore_class": self.ignore_class,
        }


@keras.saving.register_keras_serializable("petseg")
class OneHotLoss(keras.losses.Loss):
    """A loss of Keras for one-hot masks and probabilities, such as focal loss or Tversky loss.

    Called with integer masks `(N, H, W)` or `(N, H, W, 1)` and logits `(N, H, W, num_classes)`. The
    loss gets the one-hot masks and the softmax of the logits. Pixels of `ignore_class` do not
    count: a loss of each pixel is averaged over the others, and they add nothing to the sums of a
    loss of regions. A label that is neither a class index nor `ignore_class` makes the loss NaN.

    Args:
        loss: A loss of Keras that takes one-hot masks and probabilities:
            `keras.losses.CategoricalFocalCrossentropy` (arXiv:1708.02002), `Tversky`
            (arXiv:1706.05721) or `Dice`, the last two with `axis=(0, 1, 2)` for a mean over
            classes.
        ignore_class: Label of pixels that do not count, or None.
        name: Name of the loss.
        reduction: Reduction over pixels, as for `keras.losses.Loss`.
        dtype: Data type of the computation, as for `keras.losses.Loss`. Computed in float32 where
            it is a half-precision one.

    Raises:
        ValueError: If `loss` is no such loss, or `ignore_class` is out of its range.

    Example:
        >>> loss = petseg.OneHotLoss(keras.losses.CategoricalFocalCrossentropy(), ignore_class=255)
        >>> model.compile(optimizer="adam", loss=loss, metrics=[petseg.MeanIoU(3)])
    """

    def __init__(
        self,
        loss: keras.losses.Loss,
        ignore_class: int | None = None,
        name: str = "one_hot_loss",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=_full_precision(dtype))
        if not isinstance(loss, keras.losses.Loss) or isinstance(loss, CrossEntropyDice):
            raise ValueError(
                "`loss` must be a loss of Keras for one-hot masks, such as "
                f"`keras.losses.CategoricalFocalCrossentropy()`. Received: {loss!r}."
            )
        if loss.get_config().get("from_logits"):
            raise ValueError(
                "`loss` must have `from_logits=False`, because it gets probabilities. Received: "
                f"{type(loss).__name__} with `from_logits=True`."
            )
        self.loss = loss
        self.ignore_class = validation.optional_integer("ignore_class", ignore_class)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        truth, is_valid = _one_hot(y_true, y_pred, self.ignore_class, self.dtype)
        counted = ops.sum(truth, axis=-1)
        probabilities = ops.softmax(ops.cast(y_pred, self.dtype), axis=-1)
        # Not zero for pixels that do not count: some losses divide by the sum over classes.
        probabilities = ops.where(ops.expand_dims(counted, -1) > 0, probabilities, _NOTHING)
        losses = self.loss.call(truth, probabilities)
        if len(losses.shape) == len(truth.shape) - 1:  # Of each pixel. Keras means over all pixels.
            total, pixels = replicas.sums(ops.sum(counted), ops.cast(ops.size(counted), self.dtype))
            losses = losses / ops.where(total > 0, total / pixels, 1.0)
        elif replicas.num_replicas() > 1:
            whole = [replicas.whole_batch(part) for part in (truth, probabilities)]
            losses = ops.mean(self.loss.call(*whole))
        else:
            losses = ops.mean(losses)
        losses = replicas.balanced(ops.broadcast_to(losses, ops.shape(counted)))
        return ops.where(is_valid, losses, float("nan"))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "loss": keras.losses.serialize(self.loss),
            "ignore_class": self.ignore_class,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "OneHotLoss":
        return cls(**{**config, "loss": keras.losses.deserialize(config["loss"])})


def _full_precision(dtype: Any) -> Any:
    """Replaces half precision, whose sums over pixels overflow, by float32."""
    policy = keras.dtype_policies.get(dtype or keras.config.floatx())
    return "float32" if policy.compute_dtype in _HALF_PRECISION else dtype


def _one_hot(y_true: Any, y_pred: Any, ignore_class: int | None, dtype: Any) -> tuple[Any, Any]:
    """Encodes masks, and tells which labels are classes or ignored.

    Returns:
        The one-hot masks, of zeros for pixels that do not count, so that these add nothing to a
        sum, and whether each label is valid.
    """
    num_classes = y_pred.shape[-1]
    labels = labels_for(y_true, y_pred)
    classes = ops.cast(labels, "int32")
    is_class = (classes >= 0) & (classes < num_classes)
    is_class = is_class & (ops.cast(classes, labels.dtype) == labels)
    is_ignored = ops.zeros_like(is_class)
    if ignore_class is not None:
        is_ignored = classes == ignore_class
    truth = ops.where(is_class & ~is_ignored, classes, -1)
    return ops.one_hot(truth, num_classes, dtype=dtype), is_class | is_ignored
