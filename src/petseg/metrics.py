"""Mean intersection over union, counted over the whole dataset."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from petseg.label_shapes import labels_for
from petseg_runtime import validation

# JAX has no int64, so each count is two integers: how many times this number, and the rest.
CARRY = 2**30


def argmax_class(logits: Any) -> Any:
    """Returns the class of the greatest logit, the first of several equal ones.

    Compares class by class where classes are few: over a short last axis TensorFlow's own argmax is
    ten times slower on a CPU.

    Args:
        logits: Logits `(..., num_classes)`.

    Returns:
        Classes `(...)`, int32.
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

    Called with integer masks `(..., H, W)` or `(..., H, W, 1)` and logits
    `(..., H, W, num_classes)`. Every pixel of every batch is counted in one integer confusion
    matrix, so that the result is that of the whole dataset, not a mean over batches. The counts are
    exact on all backends.

    `result()` is a dict of the mean over the classes that occur in truth or prediction (under the
    metric's `name`), `iou_<class name>` of each class (NaN where it occurs in neither) and
    `pixel_accuracy`, the fraction of pixels that are right. Pixels of `ignore_class` and pixels of
    sample weight 0 do not count; other sample weights have no effect. Where `ignore_class` is the
    index of a class, its own IoU is NaN and no part of the mean.

    `update_state` raises `ValueError` on a label that is no class index. Inside a compiled
    function, where nothing can be raised, all results become NaN instead. They also become NaN
    where a logit is NaN.

    Args:
        num_classes: Number of classes, at least 2.
        class_names: Name of each class, for the logs. By default "0", "1" and so on.
        ignore_class: Label of pixels that do not count, or None.
        name: Name of the metric, and of the mean in its result.
        dtype: Data type of the counts. By default the integer of the backend.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> metric = petseg.MeanIoU(3, class_names=("pet", "background", "border"))
        >>> metric.update_state(masks, model(images))
        >>> metric.result()["iou_pet"]
    """

    def __init__(
        self,
        num_classes: int = 3,
        class_names: Sequence[str] | None = None,
        ignore_class: int | None = None,
        name: str = "mean_iou",
        dtype: Any = None,
    ):
        num_classes = validation.integer("num_classes", num_classes, 2)
        if class_names is None:
            class_names = tuple(map(str, range(num_classes)))
        names = validation.class_names("class_names", class_names, num_classes)
        ignore_class = validation.optional_integer("ignore_class", ignore_class)
        super().__init__(
            num_classes,
            name=name,
            # A model that was saved on TensorFlow asks for int64, which JAX does not have.
            dtype=None if dtype in ("int32", "int64") else dtype,
            ignore_class=None if ignore_class is None else int(ignore_class),
            sparse_y_pred=False,
        )
        self.class_names = names
        self.carries = self.add_variable(
            (num_classes, num_classes), initializer="zeros", dtype=self.dtype, name="carries"
        )
        self.invalid = self.add_variable((), initializer="zeros", dtype=self.dtype, name="invalid")

    @property
    def confusion(self) -> np.ndarray:
        """Pixels by true class (row) and predicted class (column), int64. Not in compiled code."""
        rest, carries = (ops.convert_to_numpy(v) for v in (self.total_cm, self.carries))
        return carries.astype(np.int64) * CARRY + rest.astype(np.int64)

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        labels = ops.convert_to_tensor(y_true)
        logits = ops.convert_to_tensor(y_pred)
        if logits.shape[-1] != self.num_classes:
            raise ValueError(
                f"`y_pred` must be logits (..., {self.num_classes}), one for each class. "
                f"Received: shape {tuple(logits.shape)}."
            )
        labels = labels_for(labels, logits)
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

        # A product of one-hot rows, image by image: exact in float32 up to 4096x4096 pixels.
        truth = ops.one_hot(ops.where(is_class, classes, -1), self.num_classes)
        truth = truth * ops.expand_dims(counted, -1)
        predicted = ops.one_hot(argmax_class(logits), self.num_classes)
        counts = ops.matmul(ops.swapaxes(self._by_image(truth), 1, 2), self._by_image(predicted))
        self._add(ops.sum(ops.cast(counts, self.dtype), axis=0))
        # A flag, not a count, which could overflow.
        is_wrong = ops.any(invalid) | ops.any(ops.isnan(logits))
        found = ops.cast(is_wrong, self.dtype)
        self.invalid.assign(ops.maximum(self.invalid, found))

    def _add(self, counts: Any) -> None:
        # Carry before adding, so that the sum of the rest and a batch of up to 2^30 pixels fits.
        rest = ops.convert_to_tensor(self.total_cm)
        self.carries.assign_add(ops.floor_divide(rest, CARRY))
        self.total_cm.assign(ops.mod(rest, CARRY) + counts)

    def _by_image(self, one_hot: Any) -> Any:
        images = ops.shape(one_hot)[0] if len(one_hot.shape) > 2 else 1
        return ops.reshape(one_hot, (images, -1, self.num_classes))

    def _raise_where_known(self, labels: Any, invalid: Any) -> None:
        try:
            found = np.asarray(labels)[np.asarray(invalid)]
        except (NotImplementedError, TypeError, ValueError):
            return  # In a compiled function: `result` becomes NaN instead.
        if found.size:
            raise ValueError(
                f"`y_true` must hold class indices 0 to {self.num_classes - 1}"
                + (f" or the ignored {self.ignore_class}" if self.ignore_class is not None else "")
                + f". Received: {np.unique(found)[:5].tolist()}. Shift or map the labels first."
            )

    def result(self) -> dict[str, Any]:
        counts = ops.cast(self.carries, "float32") * CARRY + ops.cast(self.total_cm, "float32")
        intersection = ops.diagonal(counts)
        union = ops.sum(counts, axis=0) + ops.sum(counts, axis=1) - intersection
        seen = (union > 0) & (self.invalid == 0)
        if self.ignore_class is not None:
            seen = seen & (ops.arange(self.num_classes) != self.ignore_class)
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
        for variable in (self.carries, self.invalid):
            variable.assign(ops.zeros(variable.shape, dtype=variable.dtype))

    def get_config(self) -> dict[str, Any]:
        return {
            "num_classes": self.num_classes,
            "class_names": self.class_names,
            "ignore_class": self.ignore_class,
            "name": self.name,
            "dtype": self._dtype,
        }
