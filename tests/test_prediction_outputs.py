"""Probabilities of pixels, and images that the model sees at several scales."""

import keras
import numpy as np
import pytest
from PIL import Image

from petseg import ModelInfo, predict
from petseg.data import draw_pet
from petseg_runtime import Runtime
from petseg_runtime.predictor import Predictor
from petseg_runtime.resizing import resize

INFO = ModelInfo(("a", "b", "c"), image_size=(64, 64))
NOISE = np.random.default_rng(0).uniform(0, 255, (64, 96, 3)).astype("float32")


def predictor(model, **options):
    return Predictor(model, INFO, (None, None), **options)


def brightness(images):
    """Logits of 0 to 3, which are the pixel itself."""
    return images / np.float32(85)


def softmax(logits):
    powers = np.exp(logits.astype(np.float64))
    return powers / powers.sum(axis=-1, keepdims=True)


def test_probabilities_are_the_softmax_of_the_resized_logits():
    found = predictor(brightness, image_size=(32, 48), output="probabilities")(NOISE)
    assert found.dtype == np.float32
    small = np.stack([resize(plane, (32, 48)) for plane in np.moveaxis(NOISE, -1, 0)], -1)
    logits = np.stack([resize(plane / 85, (64, 96)) for plane in np.moveaxis(small, -1, 0)], -1)
    np.testing.assert_allclose(found, softmax(logits), atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"tta": True}, {"tile": 32}, {"scales": (1, 2)}])
def test_the_mask_is_the_most_probable_class(options):
    model = Runtime.pretrained()
    photo = draw_pet(3)[0]
    mask = model.predict(photo, image_size=(96, 96), **options)
    found = model.predict(photo, image_size=(96, 96), output="probabilities", **options)
    assert found.shape == (*photo.shape[:2], 3)
    np.testing.assert_allclose(found.sum(axis=-1), 1, atol=1e-5)
    assert (found.argmax(axis=-1) == mask).mean() > 0.999  # where two are equal, either is right


def test_a_batch_and_files_give_probabilities(tmp_path):
    predicts = predictor(brightness, image_size=(64, 96), output="probabilities")
    batch = np.stack([NOISE, NOISE[::-1]])
    np.testing.assert_array_equal(predicts(batch)[1], predicts(NOISE[::-1]))
    assert predicts(batch[:0]).shape == (0, 64, 96, 3)
    path = tmp_path / "noise.png"
    Image.fromarray(NOISE.astype(np.uint8)).save(path)
    (found,) = predicts([path])
    np.testing.assert_array_equal(found.probabilities, predicts(NOISE.astype(np.uint8)))
    np.testing.assert_array_equal(found.mask, found.probabilities.argmax(axis=-1))
    assert found.mask.dtype == np.uint8


def test_the_temperature_divides_the_logits():
    info = INFO.replace(temperature=2.5)
    predicts = Predictor(brightness, info, (None, None), (64, 96), output="probabilities")
    np.testing.assert_allclose(predicts(NOISE), softmax(NOISE / 85 / 2.5), atol=1e-5)


def test_scales_average_probabilities():
    sizes = []

    def by_size(images):
        """Is sure of class 0 in small images, and less sure of class 1 in others."""
        sizes.append(images.shape[1:3])
        logits = (5, 0, 0) if images.shape[1] == 64 else (0, 1, 0)
        return np.broadcast_to(np.float32(logits), images.shape)

    predicts = predictor(by_size, scales=(1, 1.5), output="probabilities")
    photo = np.zeros((50, 70, 3), np.uint8)
    found = predicts(photo)
    assert sizes == [(64, 64), (96, 96)]
    wanted = (softmax(np.array([5, 0, 0])) + softmax(np.array([0, 1, 0]))) / 2
    np.testing.assert_allclose(found, np.broadcast_to(wanted, found.shape), atol=1e-5)
    assert (predictor(by_size, scales=(1, 1.5))(photo) == 0).all()
    assert (predictor(by_size, scales=(1.5,))(photo) == 1).all()


def test_one_batch_holds_all_images_of_a_shape():
    shapes = []

    def model(images):
        shapes.append(images.shape)
        return images

    photos = np.zeros((3, 50, 70, 3), np.uint8)
    predictor(model, scales=(1, 2))(photos)
    assert shapes == [(3, 64, 64, 3), (3, 128, 128, 3)]


def test_no_scale_makes_an_image_too_small():
    sizes = []

    def model(images):
        sizes.append(images.shape[1:3])
        return images

    predictor(model, scales=(0.1, 1))(np.zeros((50, 70, 3), np.uint8))
    assert sizes == [(32, 32), (64, 64)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "`scales` must hold one or more positive numbers"),
        ({"scales": (1, 0)}, r"`scales` must hold one or more positive numbers.*\(1, 0\)"),
        ({"scales": 2}, "`scales` must hold one or more positive numbers"),
        ({"scales": (True,)}, "`scales` must hold one or more positive numbers"),
        ({"scales": (1, 2), "tile": 64}, r"`scales` must be \(1.0,\) where `tile` is given"),
        ({"output": "logits"}, "`output` must be one of mask, probabilities"),
    ],
)
def test_what_is_no_scale_or_output_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        predictor(brightness, **options)


def test_a_model_of_one_size_sees_one_scale():
    images = keras.Input((64, 96, 3))
    model = keras.Model(images, keras.layers.Rescaling(1 / 255)(images))
    with pytest.raises(ValueError, match=r"`scales` must be \(1.0,\) for a model whose input size"):
        predict(model, NOISE, scales=(1, 2))


def test_classes_have_no_probabilities():
    for options in ({"output": "probabilities"}, {"scales": (1, 2)}):
        with pytest.raises(ValueError, match="need logits"):
            Predictor(brightness, INFO.replace(argmax=True), (None, None), **options)
