"""Combined cross-entropy and Dice loss, with class weights and an ignored class."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from petseg.label_shapes import labels_for
from petseg_runtime import validation

_HALF_PRECISION = ("float16", "bfloat16")


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
        policy = keras.dtype_policies.get(dtype or keras.config.floatx())
        if policy.compute_dtype in _HALF_PRECISION:
            dtype = "float32"
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        if class_weights is not None:
            class_weights = validation.class_weights("class_weights", class_weights)
        self.class_weights = class_weights
        self.ignore_class = validation.optional_integer("ignore_class", ignore_class)

    def call(self, y_true: Any, y_pred: Any) -> Any:
        num_classes = y_pred.shape[-1]
        weights = (1.0,) * num_classes
        if self.class_weights is not None:
            weights = validation.class_weights("class_weights", self.class_weights, num_classes)
        labels = labels_for(y_true, y_pred)
        classes = ops.cast(labels, "int32")
        is_class = (classes >= 0) & (classes < num_classes)
        is_class = is_class & (ops.cast(classes, labels.dtype) == labels)
        is_ignored = ops.zeros_like(is_class)
        if self.ignore_class is not None:
            is_ignored = classes == self.ignore_class
        # Rows of zeros for pixels that do not count, so that they add nothing to any sum.
        truth = ops.where(is_class & ~is_ignored, classes, -1)
        truth = ops.one_hot(truth, num_classes, dtype=self.dtype)
        log_probabilities = ops.log_softmax(ops.cast(y_pred, self.dtype), axis=-1)

        # Each pixel's share of a weighted mean, times the number of pixels: Keras takes the mean
        # over all pixels.
        weighted_truth = truth * ops.convert_to_tensor(weights, dtype=self.dtype)
        mean_weight = ops.mean(ops.sum(weighted_truth, axis=-1))
        cross_entropy = -ops.sum(weighted_truth * log_probabilities, axis=-1)
        cross_entropy = cross_entropy / ops.where(mean_weight > 0, mean_weight, 1.0)

        probabilities = ops.exp(log_probabilities) * ops.sum(truth, axis=-1, keepdims=True)
        axes = tuple(range(len(y_pred.shape) - 1))
        overlap = ops.sum(truth * probabilities, axis=axes)
        size = ops.sum(truth, axis=axes) + ops.sum(probabilities, axis=axes)
        coefficients = (2.0 * overlap + 1.0) / (size + 1.0)
        scored = [index for index in range(num_classes) if index != self.ignore_class]
        dice = 1.0 - ops.mean(ops.take(coefficients, scored, axis=0))

        return ops.where(is_class | is_ignored, cross_entropy + dice, float("nan"))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "class_weights": self.class_weights,
            "ignore_class": self.ignore_class,
        }
