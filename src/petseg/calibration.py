"""The temperature of a model, which makes its probabilities as often right as they say."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from petseg.evaluation import labelled_logits
from petseg.model_records import update_info
from petseg_runtime.resizing import softmax

# The temperature is fitted on pixels spread over each image, up to this number of each.
PIXELS_OF_AN_IMAGE = 2048
LIMITS = (0.05, 20.0)
STEPS = 40  # each halves the interval of the search, on a logarithmic scale


def calibrate(model: keras.Model, dataset: Iterable[tuple[Any, Any]]) -> float:
    """Fits the temperature of a model, and keeps it in the model's record.

    Logits are divided by the temperature before they become probabilities; classes do not change.
    The temperature is that of the least cross-entropy on the dataset (Guo et al., "On Calibration
    of Modern Neural Networks", ICML 2017, section 4.2). Use data that the model was not trained on.

    Args:
        model: A model of petseg. A model from elsewhere has no record to keep the temperature in.
        dataset: Batches: images `(N, H, W, C)` in [0, 255] with integer masks `(N, H, W, 1)` or
            `(N, H, W)`, such as `pets.val`.

    Returns:
        The temperature, from 0.05 to 20: above 1 where the model was too sure of itself.
        `petseg.model_info(model).temperature` also says it.

    Raises:
        ValueError: If the masks do not fit the model, or there is no pixel to count.
        TypeError: If `model` is not a Keras model.

    Example:
        >>> petseg.calibrate(model, pets.val)
        >>> petseg.evaluate(model, pets.test).calibration_error
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {model!r}.")
    logits, classes = _some_pixels(model, dataset)
    low, high = np.log(LIMITS)
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _is_too_sure(logits, classes, np.exp(middle)):
            low = middle
        else:
            high = middle
    temperature = round(float(np.exp(low)), 4)
    update_info(model, temperature=temperature)
    return temperature


def _some_pixels(
    model: keras.Model, dataset: Iterable[tuple[Any, Any]]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the logits and the classes of some pixels of each image."""
    logits: list[np.ndarray] = []
    classes: list[np.ndarray] = []
    for batch in labelled_logits(model, dataset):
        for found, truth, ignored in zip(*batch, strict=True):
            counted = np.flatnonzero(~ignored)
            counted = counted[:: max(1, len(counted) // PIXELS_OF_AN_IMAGE)]
            logits.append(found.reshape(-1, found.shape[-1])[counted])
            classes.append(truth.ravel()[counted])
    if not sum(map(len, classes)):
        raise ValueError("`dataset` must hold at least one pixel to count. Received: none.")
    return np.concatenate(logits).astype(np.float64), np.concatenate(classes)


def _is_too_sure(logits: np.ndarray, classes: np.ndarray, temperature: float) -> bool:
    """Returns whether a higher temperature has a smaller cross-entropy.

    The cross-entropy is convex in the inverse of the temperature. Its derivative is the mean logit
    under the probabilities minus the logit of the true class.
    """
    probabilities = softmax(logits / temperature)
    expected = (probabilities * logits).sum(axis=-1)
    true = np.take_along_axis(logits, classes[:, np.newaxis], axis=-1)[:, 0]
    return float((expected - true).sum()) > 0
