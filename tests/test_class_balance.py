"""`class_weights="balanced"`: weights by the shares of the classes in the training masks."""

import json
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import tiny_model

import petseg
from petseg.class_balance import balanced_weights
from petseg.experiment import Settings, build

# 8, 6 and 1 pixels of three classes, and one ignored.
MASK = np.array([[0] * 8, [1] * 6 + [2, 255]])[..., None]
SHARES = np.array([8, 6, 1]) / 15


def batches(mask, count=3):
    images = np.zeros((count, *mask.shape[:2], 3), np.float32)
    masks = np.tile(mask.astype(np.int32), (count, 1, 1, 1))
    return tf.data.Dataset.from_tensor_slices((images, masks)).batch(2)


@pytest.mark.parametrize("ignore_class", [255, None])
def test_formula(ignore_class):
    weights = np.array(balanced_weights(batches(MASK), 3, ignore_class))
    expected = 1 / np.log(1.02 + SHARES)
    np.testing.assert_allclose(weights / weights[0], expected / expected[0], rtol=1e-3)
    assert np.sum(SHARES * weights) == pytest.approx(1, abs=1e-3)
    assert weights[2] > weights[1] > weights[0]


def test_a_class_that_is_ignored_does_not_count():
    weights = np.array(balanced_weights(batches(MASK), 3, 0))
    shares = np.array([0, 6, 1]) / 7
    expected = 1 / np.log(1.02 + shares)
    np.testing.assert_allclose(weights / weights[1], expected / expected[1], rtol=1e-3)


def test_a_class_without_pixels_gets_a_finite_weight():
    weights = balanced_weights(batches(np.zeros((2, 2, 1))), 2, None)
    assert weights[0] == 1
    assert weights[1] == pytest.approx(np.log(2.02) / np.log(1.02), rel=1e-3)


def test_no_pixel_with_a_class_is_refused():
    with pytest.raises(ValueError, match='`class_weights` must be numbers, not "balanced"'):
        balanced_weights(batches(np.full((2, 2, 1), 255)), 2, 255)


def test_augmentation_does_not_change_the_weights():
    pets = {
        augment: petseg.synthetic_pets(12, image_size=(40, 40), batch_size=4, augment=augment)
        for augment in (False, "strong")
    }
    weights = [balanced_weights(splits.train, 3, None) for splits in pets.values()]
    counts = Counter()
    for _, masks in pets[False].train:
        counts.update(masks.numpy().ravel().tolist())
    shares = np.array([counts[index] for index in range(3)]) / counts.total()
    expected = 1 / np.log(1.02 + shares)
    np.testing.assert_allclose(weights[0], expected / np.sum(shares * expected), rtol=1e-3)
    # Cropping leaves a margin of the image, which is resized again.
    np.testing.assert_allclose(weights[0], weights[1], rtol=0.1)


def test_finetune_uses_them(tmp_path):
    pets = petseg.synthetic_pets(12, image_size=(32, 32), batch_size=4)
    weights = balanced_weights(pets.train, 3, None)
    losses = []
    for index, value in enumerate(("balanced", weights, None)):
        keras.utils.set_random_seed(0)
        history = petseg.finetune(
            tiny_model(),
            pets.train,
            pets.val,
            frozen_epochs=0,
            epochs=1,
            class_weights=value,
            run_dir=tmp_path / str(index),
            verbose=0,
        )
        losses.append(history.history["loss"])
    assert losses[0] == losses[1] != losses[2]
    state = json.loads(Path(tmp_path, "0", "run.json").read_text())
    assert state["settings"]["training"]["class_weights"] == "balanced"


def test_other_words_are_refused():
    pets = petseg.synthetic_pets(12, image_size=(32, 32), batch_size=4)
    with pytest.raises(ValueError, match='`class_weights` must be "balanced" or a number for each'):
        petseg.finetune(tiny_model(), pets.train, pets.val, class_weights="inverse")
    with pytest.raises(ValueError, match='`class_weights` must be "balanced" or a number for each'):
        Settings("unet", class_weights="inverse")


def test_experiments_take_them():
    settings = Settings(
        "unet",
        backbone="mobilenet",
        weights=None,
        data="synthetic",
        image_size=(32, 32),
        class_weights="balanced",
    )
    assert Settings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    splits = petseg.synthetic_pets(12, image_size=(32, 32))
    weights = balanced_weights(splits.train, 3, None)
    assert build(settings, splits).loss.class_weights == weights
