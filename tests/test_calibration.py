"""Probabilities are as often right as they say, after `calibrate`."""

import keras
import numpy as np
import pytest

import petseg
from petseg import ModelInfo
from petseg.calibration_bins import BINS, CalibrationBins
from petseg.models.layers import SegmentationOutput

INFO = ModelInfo(("a", "b", "c"), ignore_class=255)


def logit_model(factor: float) -> keras.Model:
    """Logits that are the pixel itself, in [-1, 1], times a factor."""
    images = keras.Input((None, None, 3))
    logits = keras.layers.Rescaling(factor / 127.5, -factor)(images)
    return keras.Model(images, SegmentationOutput(INFO.to_dict())(logits, images))


def drawn_batches(temperature: float, count: int = 4):
    """Pixels whose classes are drawn with the probabilities at a temperature, some ignored."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        logits = rng.uniform(-1, 1, (2, 64, 64, 3))
        odds = np.exp(6 * logits / temperature)
        limits = np.cumsum(odds / odds.sum(-1, keepdims=True), axis=-1)
        classes = (rng.uniform(size=(2, 64, 64, 1)) > limits).sum(-1)
        classes[:, :4] = 255
        yield ((logits + 1) * 127.5).astype("float32"), classes


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found(temperature):
    model = logit_model(6)
    found = petseg.calibrate(model, drawn_batches(temperature))
    assert found == pytest.approx(temperature, rel=0.05)
    assert petseg.model_info(model).temperature == found
    assert petseg.evaluate(model, drawn_batches(temperature)).calibration_error < 0.01


def test_a_model_that_is_too_sure_has_an_error():
    batches = list(drawn_batches(3.0))
    assert petseg.evaluate(logit_model(6), batches).calibration_error > 0.1


def test_the_temperature_is_saved_and_exported(tmp_path):
    model = logit_model(6)
    temperature = petseg.calibrate(model, drawn_batches(3.0))
    model.save(tmp_path / "model.keras")
    assert petseg.model_info(tmp_path / "model.keras").temperature == temperature
    petseg.export(model, tmp_path / "model.onnx")
    runtime = petseg.Runtime(tmp_path / "model.onnx")
    assert runtime.info.temperature == temperature
    photo = np.random.default_rng(1).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    given = runtime.predict(photo, output="probabilities", image_size=(64, 96))
    wanted = petseg.predict(model, photo, output="probabilities", image_size=(64, 96))
    np.testing.assert_allclose(given, wanted, atol=1e-3)
    logits = model.predict_on_batch(photo[np.newaxis].astype("float32"))[0] / temperature
    powers = np.exp(logits)
    np.testing.assert_allclose(wanted, powers / powers.sum(-1, keepdims=True), atol=1e-4)


def test_the_error_is_a_mean_over_bins():
    bins = CalibrationBins()
    # Three of four right at 0.9; one of two at 0.5.
    bins.add(np.array([0.9, 0.9, 0.5]), np.array([True, True, True]))
    bins.add(np.array([0.9, 0.9, 0.5]), np.array([True, False, False]))
    assert bins.error == pytest.approx(4 / 6 * (0.9 - 0.75) + 2 / 6 * 0)
    edges = CalibrationBins()
    edges.add(np.array([1.0, 1 / BINS]), np.array([True, False]))
    assert edges.error == pytest.approx((0 + 1 / BINS) / 2)


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(TypeError, match=r"`model` must be a keras\.Model"):
        petseg.calibrate("unet", [])
    with pytest.raises(ValueError, match="`dataset` must hold at least one pixel to count"):
        petseg.calibrate(logit_model(1), [])
    ignored = np.full((1, 8, 8), 255)
    with pytest.raises(ValueError, match="`dataset` must hold at least one pixel to count"):
        petseg.calibrate(logit_model(1), [(np.full((1, 8, 8, 3), 99.0), ignored)])
