import json

import keras
import numpy as np
import pytest

import petseg
from petseg.pretrained import FOLDER, load_pretrained, read_card, ship, pretrained_models

LIGHT = {"backbone": "mobilenetv3small", "weights": None, "decoder_filters": 8}


@pytest.fixture
def folder(tmp_path):
    """A folder with the weights of one small network."""
    keras.utils.set_random_seed(1)
    model = petseg.fcn32(**LIGHT)
    card = {"backbone": "mobilenetv3small", "class_names": ["pet", "background", "border"]}
    ship(model, card, tmp_path)
    return tmp_path


def test_weights_come_back_to_half_precision(folder):
    keras.utils.set_random_seed(1)
    model, again = petseg.fcn32(**LIGHT), petseg.fcn32(**LIGHT)
    load_pretrained(again, folder)
    for one, other in zip(model.get_weights(), again.get_weights(), strict=True):
        assert other.dtype == "float32"
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-7)
    assert {path.name for path in folder.iterdir()} == {"fcn32.json", "fcn32.npz"}


@pytest.mark.parametrize("state", ["was altered", "is missing"])
def test_a_damaged_file_is_named(folder, state):
    path = folder / "fcn32.npz"
    if state == "is missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"\0\1")
    with pytest.raises(OSError, match=f"fcn32.npz {state}: install petseg again"):
        load_pretrained(petseg.fcn32(**LIGHT), folder)


def test_a_network_with_other_arguments_is_refused(folder):
    with pytest.raises(ValueError, match=r"fit fcn32\(backbone='mobilenetv3small'\) with its 3"):
        load_pretrained(petseg.fcn32(**(LIGHT | {"decoder_filters": 4})), folder)


def test_a_network_without_weights_is_answered_with_those_that_have_them(folder):
    with pytest.raises(ValueError, match="come with the package for fcn32"):
        load_pretrained(petseg.fcn16(**LIGHT), folder)


def test_what_ships_is_small():
    assert 0 < sum(path.stat().st_size for path in FOLDER.iterdir()) < 40e6


@pytest.mark.parametrize("name", pretrained_models())
def test_what_ships_finds_pets(name, photos_and_masks):
    photos, masks = map(np.stack, photos_and_masks)
    card = read_card(name)
    model = petseg.MODELS[name](backbone=card["backbone"], weights="pets")
    scores = petseg.evaluate(model, [(photos.astype("float32"), masks)])
    assert scores.mean_iou > 0.9 * card["test"]["mean_iou"]


@pytest.mark.parametrize("name", pretrained_models())
def test_a_card_says_what_one_must_know(name):
    card = read_card(name)
    assert card["test"]["examples"] == 3669
    assert card["licence"]
    assert card["data"]
    assert card["how_trained"]["model"] == name
    record = FOLDER.parents[2] / "docs" / "results" / _row(card) / "result.json"
    if record.exists():
        published = json.loads(record.read_text())["test"]
        assert card["test"]["mean_iou"] == pytest.approx(published["mean_iou"], abs=0.002)


def _row(card):
    return f"{card['model']}-{card['backbone']}-{card['image_size'][0]}"
