"""The boundary F1 score (Csurka et al., BMVC 2013)."""

import math

import numpy as np

from petseg_runtime.overlays import boundary_pixels

# Greatest distance at which a boundary pixel matches, as a fraction of the image's diagonal.
TOLERANCE = 0.0075


def boundary_f1(
    truth: np.ndarray,
    prediction: np.ndarray,
    num_classes: int,
    ignored: np.ndarray | None = None,
) -> np.ndarray:
    """Computes the boundary F1 score of each image.

    For each class, precision is the fraction of its predicted boundary that lies near its true
    boundary, and recall the fraction of its true boundary that lies near its predicted one. Their
    harmonic mean is averaged over the classes that have a boundary in either mask. Near is a
    Euclidean distance of at most 0.75 % of the image's diagonal, rounded to whole pixels, and at
    least one pixel.

    Args:
        truth: True classes `(N, H, W)`, each below `num_classes` where not ignored.
        prediction: Predicted classes `(N, H, W)`.
        num_classes: Number of classes.
        ignored: Boolean `(N, H, W)`, True for pixels to leave out, or None.

    Returns:
        Scores `(N,)`, float64. NaN where neither mask has a boundary.

    Reference: Csurka et al., "What is a good evaluation measure for semantic segmentation?", BMVC
    2013.
    """
    distance = max(1, round(TOLERANCE * math.hypot(*truth.shape[1:])))
    true_boundary = boundary_pixels(truth, ignored=ignored)
    predicted_boundary = boundary_pixels(prediction, ignored=ignored)
    # Pixels off the boundary become -1, which matches no class.
    true_outline = np.where(true_boundary, truth, -1)
    predicted_outline = np.where(predicted_boundary, prediction, -1)

    precision, predicted = _near(predicted_outline, true_outline, num_classes, distance)
    recall, true = _near(true_outline, predicted_outline, num_classes, distance)
    total = precision + recall
    f1 = np.divide(2 * precision * recall, total, out=np.zeros_like(total), where=total > 0)
    present = (predicted | true).sum(axis=1)
    return np.divide(f1.sum(axis=1), present, out=np.full(len(f1), np.nan), where=present > 0)


def _near(
    outline: np.ndarray, other: np.ndarray, num_classes: int, distance: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which fraction of each class's outline is near the other's, and whether it has one.

    Both are `(N, C)`.
    """
    padded = np.pad(other, ((0, 0), (distance, distance), (distance, distance)), constant_values=-1)
    image, row, column = np.nonzero(outline >= 0)
    classes = outline[image, row, column]
    position = np.ravel_multi_index((image, row + distance, column + distance), padded.shape)
    flat, width = padded.ravel(), padded.shape[2]

    # Only outline pixels are compared, which keeps the cost of many offsets low.
    near = np.zeros(len(position), bool)
    for down in range(-distance, distance + 1):
        for right in range(-distance, distance + 1):
            if down**2 + right**2 <= distance**2:
                near |= flat[position + down * width + right] == classes

    cell = image * num_classes + classes
    size = len(outline) * num_classes
    total = np.bincount(cell, minlength=size).reshape(-1, num_classes)
    matched = np.bincount(cell[near], minlength=size).reshape(-1, num_classes)
    return matched / np.maximum(total, 1), total > 0
