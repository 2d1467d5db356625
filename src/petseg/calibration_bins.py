"""How often the probabilities of a model are right."""

import numpy as np

BINS = 15


class CalibrationBins:
    """Pixels in bins of the probability of their predicted class, the confidence."""

    def __init__(self) -> None:
        self._pixels = np.zeros(BINS, np.int64)
        self._right = np.zeros(BINS)
        self._confidence = np.zeros(BINS)

    def add(self, confidence: np.ndarray, is_right: np.ndarray) -> None:
        """Counts pixels.

        Args:
            confidence: Probability of the predicted class of each pixel, `(N,)`.
            is_right: Whether that class is the true one, bool `(N,)`.
        """
        bins = np.minimum((confidence * BINS).astype(np.int64), BINS - 1)
        self._pixels += np.bincount(bins, minlength=BINS)
        self._right += np.bincount(bins, is_right, BINS)
        self._confidence += np.bincount(bins, confidence, BINS)

    @property
    def error(self) -> float:
        """The expected calibration error, from 0 to 1. At least one pixel must be counted."""
        gaps = np.abs(self._confidence - self._right)
        return float(gaps.sum()) / int(self._pixels.sum())
