"""Pretrained weights are complete, fit their model and reach their scores."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

import petseg
from petseg.pretrained import find_pretrained, half_precision, load_pretrained, ship
from petseg_runtime.pretrained import (
    DEFAULT_BACKBONE,
    FOLDER,
    pretrained_backbones,
    pretrained_models,
    read_card,
)

NAME = "fcn32-mobilenetv3small"
LIGHT = {"backbone": "mobilenetv3small", "weights": None, "decoder_filters": 8}


@pytest.fixture
def folder(tmp_path):
    """A folder with the weights of one small model."""
    keras.utils.set_random_seed(1)
    model = petseg.fcn32(**LIGHT)
    card = {"backbone": "mobilenetv3small", "class_names": list(petseg.PET_CLASSES)}
    card["architecture"] = "fcn32"
    ship(model, card, tmp_path)
    return tmp_path


def test_weights_come_back_to_half_precision(folder):
    keras.utils.set_random_seed(1)
    model, again = petseg.fcn32(**LIGHT), petseg.fcn32(**LIGHT)
    load_pretrained(again, NAME, folder)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        assert other.dtype == "float32"
        np.testing.assert_allclose(one, other, rtol=2.5e-3 if one.ndim > 1 else 0, atol=2e-7)
    assert {path.name for path in folder.iterdir()} == {f"{NAME}.json", f"{NAME}.npz"}


def test_kernels_are_rounded_to_the_nearest_value_of_a_shorter_mantissa():
    kernel = np.array([[1, 1 + 2**-10, 1 + 3 * 2**-10, -1 - 3 * 2**-10, 0, 2 - 2**-10]])
    (rounded,) = half_precision([kernel], mantissa_bits=8)
    np.testing.assert_array_equal(rounded, [[1, 1, 1 + 2**-8, -1 - 2**-8, 0, 2]])
    np.testing.assert_array_equal(half_precision([rounded], 8), [rounded])
    np.testing.assert_array_equal(half_precision([kernel]), [kernel])


@pytest.mark.parametrize("state", ["was changed", "is missing"])
def test_a_damaged_file_is_named(folder, state):
    path = folder / f"{NAME}.npz"
    if state == "is missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"\0\1")
    with pytest.raises(OSError, match=rf"{NAME}\.npz {state}\. Install petseg again"):
        load_pretrained(petseg.fcn32(**LIGHT), NAME, folder)


def test_a_model_of_another_backbone_is_refused(folder):
    model = petseg.fcn32(**{**LIGHT, "backbone": "mobilenet"})
    before = model.get_weights()
    message = "`weights='pets'` must fit the encoder or most of fcn32"
    with pytest.raises(ValueError, match=message):
        load_pretrained(model, NAME, folder)
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_an_architecture_without_weights_is_refused(folder):
    with pytest.raises(ValueError, match=r"such weights: fcn32\. Received: 'fcn16'"):
        find_pretrained("fcn16", None, folder)
    with pytest.raises(ValueError, match=r"such weights: deeplabv3, .* Received: 'fcn16'"):
        petseg.fcn16(weights="pets")


def test_the_backbone_of_the_weights_is_the_default(folder):
    assert find_pretrained("fcn32", None, folder) == NAME
    (folder / f"fcn32-{DEFAULT_BACKBONE}.json").write_text("{}")
    assert find_pretrained("fcn32", None, folder) == f"fcn32-{DEFAULT_BACKBONE}"
    assert find_pretrained("fcn32", "mobilenetv3small", folder) == NAME
    with pytest.raises(ValueError, match="'efficientnetlite0' or 'mobilenetv3small' for fcn32"):
        find_pretrained("fcn32", "vgg16", folder)


def test_record_of_a_pretrained_model():
    card = read_card("segnet-efficientnetlite0")
    info = petseg.model_info(petseg.segnet(weights="pets"))
    assert info.class_names == petseg.PET_CLASSES
    assert info.image_size == tuple(card["image_size"]) == (224, 224)
    assert (info.weights, info.licence) == ("pets", "Apache-2.0")


@pytest.mark.parametrize("name", petseg.MODELS)
def test_a_docstring_says_whether_weights_ship(name):
    says_none = 'no "pets" weights' in " ".join(petseg.MODELS[name].__doc__.split())
    assert says_none == (name not in pretrained_backbones())


def test_what_ships_is_small():
    encoders = Path(petseg.__file__).with_name("weights")
    files = [*FOLDER.iterdir(), *encoders.rglob("*.npz")]
    assert {path.suffix for path in files} == {".json", ".npz", ".onnx"}
    assert sum(path.stat().st_size for path in files) < 75e6


@pytest.mark.parametrize("name", pretrained_models())
def test_what_ships_finds_pets(name, photos_and_masks):
    photos, masks = map(np.stack, photos_and_masks)
    card = read_card(name)
    model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
    scores = petseg.evaluate(model, [(photos.astype("float32"), masks)])
    assert scores.mean_iou > 0.9 * card["test"]["mean_iou"]


@pytest.mark.parametrize("name", pretrained_models())
def test_a_card_says_how_the_weights_were_made(name):
    card = read_card(name)
    assert card["test"]["examples"] == 3669
    assert card["licence"]
    assert card["data"]
    assert name == f"{card['architecture']}-{card['backbone']}"


PUBLISHED = json.loads(
    (Path(__file__).parents[1] / "docs" / "results" / "pretrained.json").read_text()
)["rows"]


@pytest.mark.parametrize("name", pretrained_models())
def test_a_card_agrees_with_the_published_scores(name):
    published = PUBLISHED[name]["test"]["mean_iou"]
    assert read_card(name)["test"]["mean_iou"] == pytest.approx(published, abs=0.002)
