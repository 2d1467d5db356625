"""Probabilities of pixels, and images that the model sees at several scales."""

import threading
import time
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from petseg import ModelInfo, predict
from petseg.data import draw_pet
from petseg_runtime import Runtime
from petseg_runtime.parallel import usable_cores
from petseg_runtime.predictor import Predictor
from petseg_runtime.resizing import resize
from petseg_runtime.smoothing import Smoothing, translation

EXAMPLES = Path(__file__).parents[1] / "examples"
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


def dark_is_background(images):
    """Class 0 is the background, class 1 what is bright; the larger image is surer."""
    bright = images[..., :1] > 127
    certainty = images.shape[1] / 64
    return np.where(bright, [0, certainty, -9], [certainty, 0, -9]).astype(np.float32)


def bright_square(side):
    photo = np.zeros((64, 64, 3), np.uint8)
    photo[:side, :side] = 255
    return photo


PETS = ModelInfo(("background", "pet", "border"), image_size=(64, 64), closer_look_below=0.25)


def test_only_images_with_little_foreground_are_looked_at_again():
    seen = []

    def model(images):
        seen.append(images.shape[:3])
        return dark_is_background(images)

    photos = np.stack([bright_square(side) for side in (30, 60, 0)])  # 22 %, 88 % and nothing
    predicts = Predictor(model, PETS, (None, None), output="probabilities")
    found = predicts(photos)
    assert seen == [(3, 64, 64), (2, 96, 96)]
    once, twice = (softmax(np.array([0, c, -9.0])) for c in (1, 1.5))
    np.testing.assert_allclose(found[0, 0, 0], (once + twice) / 2, atol=1e-5)
    np.testing.assert_allclose(found[1, 0, 0], once, atol=1e-5)
    seen.clear()
    Predictor(model, PETS, (None, None), scales=(1,))(photos)
    assert seen == [(3, 64, 64)]


@pytest.mark.parametrize(
    ("changes", "options", "input_size"),
    [
        ({"closer_look_below": 0.0}, {}, (None, None)),
        ({"class_names": ("pet", "sky", "border")}, {}, (None, None)),
        ({}, {}, (64, 64)),
        ({}, {"tile": 64}, (None, None)),
        ({}, {"scales": (1.0,)}, (None, None)),
    ],
)
def test_no_image_is_looked_at_again_where(changes, options, input_size):
    sizes = set()

    def model(images):
        sizes.add(images.shape[1:3])
        return dark_is_background(images)

    Predictor(model, PETS.replace(**changes), input_size, **options)(bright_square(10))
    assert sizes == {(64, 64)}


def test_classes_are_not_looked_at_again():
    def model(images):
        return np.zeros(images.shape[:3], np.int32)

    mask = Predictor(model, PETS.replace(argmax=True), (None, None))(bright_square(10))
    assert mask.shape == (64, 64)


def test_the_default_model_looks_closer_at_small_animals():
    runtime = Runtime.pretrained()
    assert 0 < runtime.info.closer_look_below < 0.5
    with Image.open(EXAMPLES / "chelsea.png") as photo:
        large = np.asarray(photo)
    small = np.full((3 * large.shape[0], 3 * large.shape[1], 3), 200, np.uint8)
    small[: large.shape[0], : large.shape[1]] = large
    once = [runtime.predict(photo, scales=(1,)) for photo in (large, small)]
    both = [runtime.predict(photo) for photo in (large, small)]
    assert (once[0] == both[0]).all()
    assert (once[1] != both[1]).any()
    assert (both[1] == runtime.predict(small, scales=(1, 1.5))).all()


def test_many_images_are_predicted_on_one_core_each(tmp_path):
    runtime = Runtime.pretrained()
    photos = [draw_pet(seed)[0][: 60 + 3 * seed] for seed in range(12)]
    paths = []
    for number, photo in enumerate(photos):
        paths.append(tmp_path / f"{number:02}.png")
        Image.fromarray(photo).save(paths[-1])
    paths.insert(7, tmp_path / "missing.png")
    alone = [runtime.predict(photo) for photo in photos]
    found = list(runtime.predict(paths))
    assert [each.path for each in found] == paths
    assert isinstance(found.pop(7).error, FileNotFoundError)
    for each, mask in zip(found, alone, strict=True):
        # The sums of floats may have another order.
        assert (each.mask == mask).mean() > 0.999


def test_many_images_are_predicted_at_the_same_time():
    lock, running, most = threading.Lock(), 0, 0

    def model(images):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with lock:
            running -= 1
        return images

    photos = np.stack([NOISE] * 16)
    predictor(model, one_core=lambda: model)(photos)
    assert most == usable_cores()
    most = 0
    predictor(model, one_core=lambda: model)(photos[:4])
    assert most == 1


FLICKERING = [np.full((64, 64, 3), level, np.uint8) for level in (129, 129, 127)] * 4


def pet_at_corner(masks):
    return [int(mask[0, 0]) for mask in masks]


def test_frames_that_hardly_change_are_averaged():
    """Noise moves every third frame below the threshold of the model."""
    predicts = Predictor(dark_is_background, PETS.replace(closer_look_below=0.0), (None, None))
    alone = pet_at_corner(predicts.masks(FLICKERING))
    assert alone == pet_at_corner(predicts.frames(FLICKERING, kept=0)) == [1, 1, 0] * 4
    assert pet_at_corner(predicts.frames(FLICKERING)) == [1] * 12
    # What stays different wins after a few frames.
    stays = [FLICKERING[0], *[FLICKERING[2]] * 9]
    assert pet_at_corner(predicts.frames(stays))[-1] == 0


def test_another_scene_counts_alone():
    predicts = Predictor(dark_is_background, PETS.replace(closer_look_below=0.0), (None, None))
    frames = [*[bright_square(64)] * 4, *[bright_square(0)] * 2]
    assert pet_at_corner(predicts.frames(frames)) == [1, 1, 1, 1, 0, 0]


@pytest.mark.parametrize("shift", [(0, 0), (-3, 4), (20, -11)])
def test_the_motion_of_the_camera_is_found(shift):
    with Image.open(EXAMPLES / "chelsea.png") as photo:
        scene = np.asarray(photo.convert("L"), np.float32)
    noise = np.random.default_rng(1).normal(0, 6, (2, 160, 180))
    down, right = shift
    old = scene[40:200, 40:220] + noise[0]
    new = scene[40 - down : 200 - down, 40 - right : 220 - right] + noise[1]
    assert translation(old, new) == shift


def test_what_moves_with_the_camera_stays():
    """A bright square moves by 4 pixels a frame; its probabilities move with it."""
    smoothing, found = Smoothing(0.8), []
    texture = np.random.default_rng(0).uniform(0, 255, (64, 120, 1)).repeat(3, -1)
    for step in range(6):
        window = texture[:, 4 * step : 4 * step + 64]
        sure = np.zeros((64, 64, 2), np.float32)
        sure[..., 0] = 1
        sure[20:40, 40 - 4 * step : 50 - 4 * step] = (0, 1)
        if step == 5:
            sure[...] = (0.6, 0.4)  # in this frame the model misses it
        found.append(smoothing.add(window, sure))
    assert (found[-1][24:36, 22:28, 1] > 0.8).all()
    assert (found[-1][24:36, 34:50, 1] < 0.2).all()


def test_frames_in_tiles_are_masks_where_probabilities_are_wanted():
    options = {"tile": 32, "output": "probabilities"}
    predicts = Predictor(dark_is_background, PETS, (None, None), **options)
    (mask,) = predicts.frames([bright_square(30)])
    assert mask.shape == (64, 64)
    assert mask.dtype == np.uint8


def test_frames_of_another_size_in_between():
    frames = [bright_square(30), np.zeros((40, 50, 3), np.uint8), bright_square(30)]
    info = PETS.replace(image_size=None)
    found = list(Predictor(dark_is_background, info, (None, None)).frames(frames))
    assert [mask.shape for mask in found] == [(64, 64), (40, 50), (64, 64)]


def test_no_scale_makes_an_image_too_small():
    sizes = []

    def model(images):
        sizes.append(images.shape[1:3])
        return images

    predictor(model, scales=(0.25, 1))(np.zeros((50, 70, 3), np.uint8))
    assert sizes == [(32, 32), (64, 64)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": ()}, "`scales` must hold one or more positive numbers"),
        ({"scales": (1, 1000)}, r"`scales` must lie between 0.25 and 4. Received: 1, 1000\."),
        ({"scales": (0.1,)}, r"`scales` must lie between 0.25 and 4. Received: 0.1\."),
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
