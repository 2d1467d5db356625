"""Mean intersection over union, counted over the whole dataset."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops


def argmax_class(logits: Any) -> Any:
    """The class of the greatest logit, int32 `(...,)`; the first of them where several are equal.

    Compares class by class where classes are few: over a short last axis TensorFlow's own argmax is
    ten times slower on a CPU.
    """
    num_classes = logits.shape[-1]
    if num_classes > 8:
        return ops.cast(ops.argmax(logits, axis=-1), "int32")
    best = logits[..., 0]
    index = ops.zeros_like(best, dtype="int32")
    for k in range(1, num_classes):
        index = ops.where(logits[..., k] > best, k, index)
        best = ops.maximum(best, logits[..., k])
    return index


@keras.saving.register_keras_serializable("petseg")
class MeanIoU(keras.metrics.MeanIoU):
    """Mean intersection over union of the classes, from logits.

    Takes integer masks `(..., H, W)` or `(..., H, W, 1)` and logits `(..., H, W, num_classes)`.
    Counts every pixel of every batch in one integer confusion matrix (rows truth, columns
    prediction), so that the result is that of the whole dataset and not a mean over batches.

    `result()` is a dict: `name`, the mean over the classes that occur in truth or prediction;
    `iou_<class name>` of each class, NaN where it occurs in neither; and `pixel_accuracy`, the
    share of pixels that are right. `class_names` default to "0", "1", and so on. Pixels of
    `ignore_class` and those of sample weight 0 do not count; other weights do not matter.

    Raises `ValueError` on a label that is no class index. Inside a compiled function, where nothing
    can be raised, every result is NaN instead.
    """

    def __init__(
        self,
        num_classes: int = 3,
        class_names: Sequence[str] | None = None,
        ignore_class: int | None = None,
        name: str = "mean_iou",
        dtype: Any = None,
    ):
        if not isinstance(num_classes, int) or num_classes < 2:
            raise ValueError(
                f"`num_classes` must be an integer of 2 or more. Received: {num_classes!r}."
            )
        names = tuple(map(str, range(num_classes) if class_names is None else class_names))
        if len(names) != num_classes or len(set(names)) != num_classes:
            raise ValueError(
                f"`class_names` must hold {num_classes} different names, one a class. "
                f"Received: {class_names!r}."
            )
        super().__init__(
            num_classes, name=name, dtype=dtype, ignore_class=ignore_class, sparse_y_pred=False
        )
        self.class_names = names
        self.invalid = self.add_variable((), initializer="zeros", dtype=self.dtype, name="invalid")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        labels = ops.convert_to_tensor(y_true)
        logits = ops.convert_to_tensor(y_pred)
        if logits.shape[-1] != self.num_classes:
            raise ValueError(
                f"`y_pred` must be logits (..., {self.num_classes}), one a class. "
                f"Received: shape {tuple(logits.shape)}."
            )
        if len(labels.shape) == len(logits.shape):
            labels = ops.squeeze(labels, -1)
        classes = ops.cast(labels, "int32")
        is_class = (classes >= 0) & (classes < self.num_classes)
        is_class = is_class & (ops.cast(classes, labels.dtype) == labels)
        wanted = ops.ones_like(is_class)
        if self.ignore_class is not None:
            wanted = classes != self.ignore_class
        invalid = ops.logical_and(wanted, ops.logical_not(is_class))
        self._raise_where_known(labels, invalid)
        counted = ops.cast(wanted & is_class, "float32")
        if sample_weight is not None:
            weight = ops.convert_to_tensor(sample_weight)
            if len(weight.shape) == len(logits.shape):
                weight = ops.squeeze(weight, -1)
            while len(weight.shape) < len(counted.shape):
                weight = ops.expand_dims(weight, -1)
            counted = counted * ops.cast(weight != 0, "float32")

        # A product of one-hot rows, image by image: exact in float32 up to 4096 x 4096 pixels.
        truth = ops.one_hot(ops.where(is_class, classes, -1), self.num_classes)
        truth = truth * ops.expand_dims(counted, -1)
        predicted = ops.one_hot(argmax_class(logits), self.num_classes)
        counts = ops.matmul(ops.swapaxes(self._by_image(truth), 1, 2), self._by_image(predicted))
        self.total_cm.assign_add(ops.sum(ops.cast(counts, self.dtype), axis=0))
        self.invalid.assign_add(ops.sum(ops.cast(invalid, self.dtype)))

    def _by_image(self, one_hot: Any) -> Any:
        images = ops.shape(one_hot)[0] if len(one_hot.shape) > 2 else 1
        return ops.reshape(one_hot, (images, -1, self.num_classes))

    def _raise_where_known(self, labels: Any, invalid: Any) -> None:
        try:
            found = np.asarray(labels)[np.asarray(invalid)]
        except (NotImplementedError, TypeError, ValueError):
            return  # compiled: `result` turns to NaN instead
        if found.size:
            raise ValueError(
                f"`y_true` must hold class indices 0 to {self.num_classes - 1}"
                + (f" or the ignored {self.ignore_class}" if self.ignore_class is not None else "")
                + f". Received: {np.unique(found)[:5].tolist()}. Shift or map the labels first."
            )

    def result(self) -> dict[str, Any]:
        counts = ops.cast(self.total_cm, "float32")
        intersection = ops.diagonal(counts)
        union = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - intersection
        seen = (union > 0) & (self.invalid == 0)
        nan = float("nan")
        iou = ops.where(seen, intersection / ops.maximum(union, 1.0), nan)
        total = ops.sum(ops.where(seen, iou, 0.0))
        number = ops.sum(ops.cast(seen, "float32"))
        mean = ops.where(number > 0, total / ops.maximum(number, 1.0), nan)
        pixels = ops.sum(counts)
        accuracy = ops.sum(intersection) / ops.maximum(pixels, 1.0)
        return {
            self.name: mean,
            **{f"iou_{name}": iou[k] for k, name in enumerate(self.class_names)},
            "pixel_accuracy": ops.where((pixels > 0) & (self.invalid == 0), accuracy, nan),
        }

    def reset_state(self) -> None:
        super().reset_state()
        self.invalid.assign(ops.zeros((), dtype=self.dtype))

    def get_config(self) -> dict[str, Any]:
        return {
            "num_classes": self.num_classes,
            "class_names": self.class_names,
            "ignore_class": self.ignore_class,
            "name": self.name,
            "dtype": self._dtype,
        }
