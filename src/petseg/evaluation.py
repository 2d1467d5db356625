"""Evaluation of a model on a whole dataset, every pixel counted once."""

import functools
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from petseg.boundary_f1 import boundary_f1
from petseg.calibration_bins import CalibrationBins
from petseg.model_records import model_info
from petseg.replicas import predict_on_batch
from petseg.scores import Evaluation
from petseg_runtime import Runtime, validation
from petseg_runtime.image_io import checked_pixels
from petseg_runtime.predictor import check_no_nan

__all__ = ["Evaluation", "evaluate"]


def evaluate(
    model: keras.Model | Runtime,
    dataset: Iterable[tuple[Any, Any]],
    *,
    class_names: Sequence[str] | None = None,
) -> Evaluation:
    """Compares a model's predictions with the true masks of a whole dataset.

    Every pixel is counted once, in one confusion matrix. The loss is the mean cross-entropy of a
    pixel, whatever loss the model was trained with, so that models can be compared. The expected
    calibration error is that of probabilities at the temperature in the model's record, see
    `petseg.calibrate`.

    Args:
        model: A Keras model, or a `petseg.Runtime` for an exported one that returns logits.
        dataset: Batches: images `(N, H, W, C)` in [0, 255] with integer masks `(N, H, W, 1)` or
            `(N, H, W)`. Pixels of the model's ignored class are left out.
        class_names: Name of each class. By default those in the model's record.

    Returns:
        The scores.

    Raises:
        ValueError: If there is no pixel to count, the images do not lie in [0, 255], the masks do
            not fit the model's logits, or the logits are NaN.
        TypeError: If `model` is neither a Keras model nor a `petseg.Runtime`.

    Example:
        >>> scores = petseg.evaluate(model, pets.test)
        >>> scores.mean_iou, scores.class_iou["pet"]
    """
    if not isinstance(model, keras.Model | Runtime):
        raise TypeError(f"`model` must be a keras.Model or a petseg.Runtime. Received: {model!r}.")
    info = model_info(model)
    num_classes, ignore_class, names = info.num_classes, info.ignore_class, info.class_names
    if class_names is not None:
        names = validation.class_names("class_names", class_names, num_classes)
    confusion = np.zeros((num_classes, num_classes), np.int64)
    calibration = CalibrationBins()
    total_loss = 0.0
    boundary_scores: list[float] = []
    for logits, truth, ignored in labelled_logits(model, dataset):
        prediction = logits.argmax(axis=-1)
        boundary_scores.extend(boundary_f1(truth, prediction, num_classes, ignored).tolist())

        pairs = (truth * num_classes + prediction)[~ignored]
        confusion += np.bincount(pairs, minlength=confusion.size).reshape(confusion.shape)
        below = _below_greatest(logits)
        pixel_loss = _cross_entropy(below, np.where(ignored, 0, truth))
        total_loss += float(pixel_loss[~ignored].sum(dtype=np.float64))
        confidence = 1 / np.exp(below / np.float32(info.temperature)).sum(axis=0)
        calibration.add(confidence[~ignored], (prediction == truth)[~ignored])

    if not confusion.any():
        raise ValueError(
            "`dataset` must hold at least one pixel to count. Received: "
            + ("only ignored pixels." if boundary_scores else "no batch at all.")
        )
    bounded = [score for score in boundary_scores if not math.isnan(score)]
    return Evaluation(
        class_names=names,
        confusion=confusion,
        loss=total_loss / int(confusion.sum()),
        boundary_f1=sum(bounded) / len(bounded) if bounded else math.nan,
        examples=len(boundary_scores),
        ignore_class=ignore_class,
        calibration_error=calibration.error,
    )


def labelled_logits(
    model: keras.Model | Runtime, dataset: Iterable[tuple[Any, Any]]
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Runs a model on a dataset.

    Args:
        model: A Keras model or a `petseg.Runtime`.
        dataset: Batches of images and masks, as for `evaluate`.

    Yields:
        For each batch the logits `(N, H, W, num_classes)`, the true classes `(N, H, W)`, and which
        pixels are ignored, bool `(N, H, W)`.

    Raises:
        ValueError: If a batch does not fit the model, or the logits are NaN.
    """
    info = model_info(model)
    logits_of = model
    if not isinstance(model, Runtime):
        logits_of = functools.partial(predict_on_batch, model)
    for images, masks in _batches(dataset):
        checked_pixels(images, "dataset", (4,), info.channels)
        logits = np.asarray(logits_of(images))
        check_no_nan(logits)
        truth = class_masks(masks, logits.shape, info.ignore_class)
        # False everywhere when `ignore_class` is None.
        yield logits, truth, np.asarray(truth == info.ignore_class)


def _batches(dataset: Iterable[tuple[Any, Any]]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for batch in dataset:
        if not isinstance(batch, tuple | list) or len(batch) != 2 or np.ndim(batch[0]) != 4:
            raise ValueError(
                "`dataset` must yield pairs of a batch of images `(N, H, W, C)` and their masks. "
                "A dataset of single examples needs `.batch(32)`."
            )
        yield np.asarray(batch[0]), np.asarray(batch[1])


def _below_greatest(logits: np.ndarray) -> np.ndarray:
    """Returns by how much each logit is below the greatest of its pixel: 0 or less.

    Args:
        logits: `(N, H, W, C)`.

    Returns:
        `(C, N, H, W)`: classes first, so that each step runs along the pixels, five times faster.
    """
    by_class = np.ascontiguousarray(np.moveaxis(logits, -1, 0))
    by_class -= by_class.max(axis=0)
    return by_class


def _cross_entropy(below: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Returns the cross-entropy of each pixel `(N, H, W)` for what `_below_greatest` returned."""
    chosen = np.take_along_axis(below, classes[np.newaxis], axis=0)[0]
    return np.log(np.exp(below).sum(axis=0)) - chosen


def class_masks(
    masks: np.ndarray, logits_shape: tuple[int, ...], ignore_class: int | None
) -> np.ndarray:
    """Checks masks against the logits that they are compared with.

    Args:
        masks: `(N, H, W)` or `(N, H, W, 1)`.
        logits_shape: `(N, H, W, num_classes)`.
        ignore_class: Label of ignored pixels, or None.

    Returns:
        The masks, int32 `(N, H, W)`.

    Raises:
        ValueError: If the masks do not fit, or hold labels of no class.
    """
    if len(logits_shape) != 4:
        raise ValueError(
            "`model` must return logits. Received: one that was exported with `argmax`. Export it "
            "without `argmax`."
        )
    if masks.ndim == 4 and masks.shape[-1] == 1:
        masks = masks[..., 0]
    if masks.shape != logits_shape[:-1]:
        raise ValueError(
            "Masks must be `(N, H, W, 1)` or `(N, H, W)` and of the size of the logits. "
            f"Received: masks {masks.shape} for logits {logits_shape}."
        )
    classes = masks.astype(np.int32)
    if not np.array_equal(classes, masks):
        raise ValueError(
            "Masks must hold whole class labels. Received: fractions, as bilinear resizing makes "
            "them. Resize masks by nearest neighbour."
        )
    num_classes = logits_shape[-1]
    unknown = np.unique(classes[(classes < 0) | (classes >= num_classes)])
    unknown = unknown[unknown != ignore_class]
    if unknown.size:
        raise ValueError(
            f"Mask labels must lie in 0 to {num_classes - 1}, the classes of `model`. "
            f"Received: {', '.join(map(str, unknown[:5]))}. Subtract 1 from trimap labels 1 to 3; "
            "build the model with `ignore_class=` to leave a label out."
        )
    return classes
