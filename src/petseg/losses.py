"""What Keras has not: cross-entropy plus Dice, with class weights and an ignored class."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("petseg")
class CrossEntropyDice(keras.losses.Loss):
    """Cross-entropy plus Dice loss, from logits.

    Takes integer masks `(N, H, W)` or `(N, H, W, 1)` and logits `(N, H, W, num_classes)`; the loss
    of a pixel is its cross-entropy plus the batch's Dice loss, one minus the mean over classes of
    the soft Dice coefficient (Milletari et al., arXiv:1606.04797, section 3, with plain sums in the
    denominator).

    `class_weights`, one a class, weigh the cross-entropy as a weighted mean. Pixels of
    `ignore_class` add nothing. A label that is no class index makes the loss NaN.
    """

    def __init__(
        self,
        class_weights: Sequence[float] | None = None,
        ignore_class: int | None = None,
        name: str = "cross_entropy_dice",
        reduction: str = "sum_over_batch_size",
        dtype: Any = None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        weights = None if class_weights is None else tuple(float(w) for w in class_weights)
        if weights is not None and (min(weights, default=-1) < 0 or sum(weights) == 0):
            raise ValueError(
                "`class_weights` must hold a number of 0 or more for each class, not all 0. "
                f"Received: {class_weights!r}."
            )
        self.class_weights = weights
        self.ignore_class = ignore_class

    def call(self, y_true: Any, y_pred: Any) -> Any:
        num_classes = y_pred.shape[-1]
        if self.class_weights is not None and len(self.class_weights) != num_classes:
            raise ValueError(
                f"`class_weights` must hold {num_classes} numbers, one a class. "
                f"Received: {self.class_weights}."
            )
        labels = ops.squeeze(y_true, -1) if len(y_true.shape) == len(y_pred.shape) else y_true
        classes = ops.cast(labels, "int32")
        is_class = (classes >= 0) & (classes < num_classes)
        is_class = is_class & (ops.cast(classes, labels.dtype) == labels)
        # Rows of zeros where the label is no class: ignored pixels, or wrong ones.
        truth = ops.one_hot(ops.where(is_class, classes, -1), num_classes, dtype=y_pred.dtype)
        log_probabilities = ops.log_softmax(y_pred, axis=-1)
        cross_entropy = -ops.sum(truth * log_probabilities * self._weights(num_classes), axis=-1)
        weight = ops.sum(truth * self._weights(num_classes), axis=-1)
        cross_entropy = cross_entropy / ops.maximum(ops.mean(weight), keras.config.epsilon())

        known = ops.sum(truth, axis=-1, keepdims=True)
        probabilities = ops.exp(log_probabilities) * known
        axes = tuple(range(len(y_pred.shape) - 1))
        overlap = ops.sum(truth * probabilities, axis=axes)
        size = ops.sum(truth, axis=axes) + ops.sum(probabilities, axis=axes)
        dice = 1.0 - ops.mean((2.0 * overlap + 1.0) / (size + 1.0))

        valid = is_class
        if self.ignore_class is not None:
            valid = valid | (classes == self.ignore_class)
        return ops.where(valid, cross_entropy + dice, float("nan"))

    def _weights(self, num_classes: int) -> Any:
        return ops.convert_to_tensor(self.class_weights or (1.0,) * num_classes, dtype=self.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "class_weights": self.class_weights,
            "ignore_class": self.ignore_class,
        }
