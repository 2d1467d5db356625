import keras
import numpy as np
import pytest

import petseg

# Two pixels, two classes: probabilities 3/4, 1/4 and 1/2, 1/2; truth 0 and 1.
LOGITS = np.log([[[[0.75, 0.25], [0.5, 0.5]]]]).astype("float32")
TRUTH = np.array([[[[0], [1]]]])


def test_hand_made_sums():
    cross_entropy = -(np.log(0.75) + np.log(0.5)) / 2
    # Class 0: overlap 3/4, sizes 1 and 5/4. Class 1: overlap 1/2, sizes 1 and 3/4. One is added
    # above and below.
    dice = ((2 * 0.75 + 1) / (1 + 1.25 + 1) + (2 * 0.5 + 1) / (1 + 0.75 + 1)) / 2
    loss = petseg.CrossEntropyDice()(TRUTH, LOGITS)
    assert float(loss) == pytest.approx(cross_entropy + 1 - dice, rel=1e-5)


def test_class_weights_make_a_weighted_mean():
    dice_part = float(petseg.CrossEntropyDice()(TRUTH, LOGITS)) + np.log(0.75 * 0.5) / 2
    expected = -(1 * np.log(0.75) + 3 * np.log(0.5)) / 4 + dice_part
    loss = petseg.CrossEntropyDice(class_weights=(1, 3))(TRUTH, LOGITS)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_ignored_pixels_change_nothing():
    loss = petseg.CrossEntropyDice(ignore_class=255)
    logits = np.concatenate([LOGITS, np.full((1, 1, 3, 2), 5.0, "float32")], axis=2)
    truth = np.concatenate([TRUTH, np.full((1, 1, 3, 1), 255)], axis=2)
    # Five pixels share the mean of a loss map whose Dice part is the same in each.
    per_pixel = petseg.CrossEntropyDice(ignore_class=255, reduction="none")(truth, logits)
    plain = petseg.CrossEntropyDice(reduction="none")(TRUTH, LOGITS)
    assert float(loss(truth, logits)) == pytest.approx(float(np.mean(np.array(plain))), rel=1e-5)
    assert np.array(per_pixel).shape == (1, 1, 5)


def test_masks_with_and_without_a_last_axis_are_the_same():
    loss = petseg.CrossEntropyDice()
    assert float(loss(TRUTH, LOGITS)) == float(loss(TRUTH[..., 0], LOGITS))


def test_perfect_logits_cost_nothing():
    truth = np.array([[[0, 1], [1, 0]]])
    logits = 50.0 * np.eye(2, dtype="float32")[truth]
    assert float(petseg.CrossEntropyDice()(truth, logits)) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("label", [2, -1, 255, 0.5])
def test_a_label_that_is_no_class_makes_it_nan(label):
    truth = np.array([[[0, label]]])
    assert np.isnan(float(petseg.CrossEntropyDice()(truth, LOGITS)))


def test_config_round_trip():
    loss = petseg.CrossEntropyDice(class_weights=(1, 2), ignore_class=255)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


@pytest.mark.parametrize("weights", [(), (-1, 1), (0, 0)])
def test_bad_class_weights_are_answered(weights):
    with pytest.raises(ValueError, match="`class_weights` must hold"):
        petseg.CrossEntropyDice(class_weights=weights)


def test_class_weights_of_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match="`class_weights` must hold 2 numbers"):
        petseg.CrossEntropyDice(class_weights=(1, 2, 3))(TRUTH, LOGITS)
