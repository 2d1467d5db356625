"""The boundary F1 score equals its definition and sums by hand."""

import math

import numpy as np
import pytest

from petseg.boundary_f1 import boundary_f1, boundary_pixels


def slow_boundary_f1(truth, prediction, num_classes, ignored):
    """One image's score from the definition, pixel by pixel."""
    height, width = truth.shape
    tolerance = max(1, round(0.0075 * math.sqrt(height**2 + width**2)))

    def is_neighbour(y, x):
        return 0 <= y < height and 0 <= x < width and not ignored[y, x]

    def outline(mask, wanted):
        found = set()
        for y, x in np.argwhere((mask == wanted) & ~ignored).tolist():
            for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
                if is_neighbour(v, u) and mask[v, u] != wanted:
                    found.add((y, x))
        return found

    def near(points, others):
        return sum(any(math.dist(p, q) <= tolerance for q in others) for p in points)

    scores = []
    for wanted in range(num_classes):
        true, predicted = outline(truth, wanted), outline(prediction, wanted)
        if true or predicted:
            precision = near(predicted, true) / max(len(predicted), 1)
            recall = near(true, predicted) / max(len(true), 1)
            total = precision + recall
            scores.append(2 * precision * recall / total if total else 0.0)
    return np.mean(scores) if scores else math.nan


@pytest.mark.parametrize("size", [(20, 31), (60, 40), (150, 230)])  # tolerances 1, 1 and 2
def test_boundary_f1_equals_the_definition(size):
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 4, (2, 2, 5, 5))
    rows, columns = np.arange(size[0]) * 5 // size[0], np.arange(size[1]) * 5 // size[1]
    truth, prediction = blocks[:, :, rows[:, None], columns]
    prediction = np.roll(prediction, (1, 2), axis=(1, 2))
    prediction[1] = np.roll(truth[1], (2, 1), axis=(0, 1))
    ignored = np.zeros(truth.shape, bool)
    ignored[:, 3:9, 4:12] = True

    expected = [
        slow_boundary_f1(*image, 4, skip)
        for *image, skip in zip(truth, prediction, ignored, strict=True)
    ]

    assert boundary_f1(truth, prediction, 4, ignored) == pytest.approx(expected)


def test_a_perfect_prediction_scores_one():
    masks = np.zeros((2, 8, 8), int)
    masks[:, :, 4:] = 1
    assert boundary_f1(masks, masks, 2).tolist() == [1, 1]


def test_half_the_boundary_found():
    # Ten rows. In the truth, class 1 begins at column 4 in every row. In the prediction it does so
    # in rows 0 to 5 only; rows 6 to 9 are class 0, so that class 0 also has a boundary along row 6.
    truth = np.zeros((1, 10, 8), int)
    truth[:, :, 4:] = 1
    prediction = truth.copy()
    prediction[:, 6:] = 0
    # Class 0: the predicted boundary is (0..5, 3) and (6, 4..7). The first six and (6, 4) are near
    # the true one: 7 of 10. The true boundary is (0..9, 3); rows 0 to 6 are near: 7 of 10. F1: 0.7.
    # Class 1: the predicted boundary is (0..5, 4) and (5, 5..7). The first six and (5, 5) are near
    # the true one: 7 of 9. The true boundary is (0..9, 4); rows 0 to 6: 7 of 10. F1: 14/19.
    assert boundary_f1(truth, prediction, 2)[0] == pytest.approx((0.7 + 14 / 19) / 2)


def test_a_class_in_one_mask_alone_scores_zero():
    truth = np.zeros((1, 8, 8), int)
    prediction = truth.copy()
    prediction[:, :, 4:] = 1
    assert boundary_f1(truth, prediction, 2).tolist() == [0]


def test_an_image_without_a_boundary_has_no_score():
    masks = np.ones((1, 8, 8), int)
    assert np.isnan(boundary_f1(masks, masks, 2)).tolist() == [True]


def test_a_flipped_image_scores_the_same():
    truth, prediction = np.random.default_rng(1).integers(0, 3, (2, 3, 16, 24))
    flipped = boundary_f1(truth[:, :, ::-1], prediction[:, :, ::-1], 3)
    assert flipped == pytest.approx(boundary_f1(truth, prediction, 3))


def test_boundary_pixels_lie_on_both_sides():
    masks = np.array([[[0, 0, 0, 1, 1, 1]]])
    assert boundary_pixels(masks).astype(int).tolist() == [[[0, 0, 1, 1, 0, 0]]]
    assert boundary_pixels(masks, reach=2).astype(int).tolist() == [[[0, 1, 1, 1, 1, 0]]]


def test_the_rim_of_ignored_pixels_is_no_boundary():
    masks = np.array([[[0, 0, 255, 1, 1, 0]]])
    boundary = boundary_pixels(masks, ignored=masks == 255)
    assert boundary.astype(int).tolist() == [[[0, 0, 0, 0, 1, 1]]]
