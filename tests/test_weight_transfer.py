"""Weights of one model for another: what fits is loaded, the rest is new and is named."""

import warnings

import keras
import numpy as np
import pytest

import petseg
from petseg.model_records import update_info
from petseg.models import WeightsWarning
from petseg.weight_transfer import layers_of
from petseg_runtime.pretrained import pretrained_models, read_card

BACKBONE = "mobilenetv3small"
SMALL = {"backbone": BACKBONE, "decoder_filters": 8}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A trained model of three classes and the files of its weights: two, and those of a run."""
    folder = tmp_path_factory.mktemp("weights") / "run-a"
    folder.mkdir()
    keras.utils.set_random_seed(1)
    rng = np.random.default_rng(1)
    model = petseg.fcn32(**SMALL, weights=None, class_names=petseg.PET_CLASSES)
    for layer in model.get_layer("encoder").layers:
        if isinstance(layer, keras.layers.BatchNormalization):  # not all ones and zeros
            layer.set_weights([rng.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()])
    update_info(model, temperature=1.5, image_size=(64, 96), licence="MIT")
    model.save(folder / "model.keras")
    model.save(folder.parent / "some.keras")
    model.save_weights(folder.parent / "some.weights.h5")
    return model, {
        "some.keras": folder.parent / "some.keras",
        "some.weights.h5": folder.parent / "some.weights.h5",
        "run-a/model.keras": folder,
    }


def arrays_of(model):
    return {name: layer.get_weights() for name, layer in layers_of(model)}


def same_layers(model, other):
    one, two = arrays_of(model), arrays_of(other)
    return {
        name
        for name in one.keys() & two.keys()
        if all(np.array_equal(a, b) for a, b in zip(one[name], two[name], strict=True))
    }


@pytest.mark.parametrize("names", [("cat", "dog", "background"), ("border", "background", "pet")])
def test_as_many_other_classes_get_all_but_the_last_layer(saved, names):
    source, files = saved
    with pytest.warns(WeightsWarning, match="new and random: scores"):
        model = petseg.fcn32(**SMALL, weights=str(files["some.keras"]), class_names=names)
    assert same_layers(model, source) == arrays_of(source).keys() - {"scores"}


@pytest.mark.parametrize("name", ["some.keras", "some.weights.h5", "run-a/model.keras"])
def test_a_model_with_other_classes_gets_all_but_the_last_layer(saved, name):
    source, files = saved
    layers = arrays_of(source).keys()
    with pytest.warns(WeightsWarning) as caught:
        model = petseg.fcn32(5, **SMALL, weights=str(files[name]))
    assert same_layers(model, source) == layers - {"scores"}
    assert str(caught[0].message).startswith(
        f"`weights='{name}'`: {len(layers) - 1} of {len(layers)} layers have these weights; "
        "new and random: scores. To silence this: "
    )
    assert len(caught) == 1
    info = petseg.model_info(model)
    assert info.class_names == ("0", "1", "2", "3", "4")
    assert info.weights == name
    assert (info.temperature, info.image_size) == (1.0, None)
    assert info.licence == (None if name == "some.weights.h5" else "MIT")


@pytest.mark.parametrize("name", ["some.keras", "some.weights.h5", "run-a/model.keras"])
def test_the_same_model_gets_everything_and_nothing_is_said(saved, name):
    source, files = saved
    model = petseg.fcn32(**SMALL, weights=files[name])  # warnings are errors
    assert same_layers(model, source) == arrays_of(source).keys()
    info = petseg.model_info(model)
    if name != "some.weights.h5":
        assert (info.temperature, info.image_size) == (1.5, (64, 96))
        assert info.class_names == petseg.PET_CLASSES


def test_of_a_run_without_a_model_the_best_epoch_is_taken(saved, tmp_path):
    source, _ = saved
    with pytest.raises(ValueError, match="the folder of a run"):
        petseg.fcn32(**SMALL, weights=str(tmp_path))
    source.save_weights(tmp_path / "best.weights.h5")
    model = petseg.fcn32(**SMALL, weights=str(tmp_path))
    assert same_layers(model, source) == arrays_of(source).keys()
    assert petseg.model_info(model).weights == f"{tmp_path.name}/best.weights.h5"


def test_weights_with_the_state_of_an_optimizer_fit(saved, tmp_path):
    source, _ = saved
    source.optimizer.build(source.trainable_variables)
    source.save_weights(tmp_path / "trained.weights.h5")
    model = petseg.fcn32(**SMALL, weights=str(tmp_path / "trained.weights.h5"))
    assert same_layers(model, source) == arrays_of(source).keys()


def test_another_architecture_gets_the_encoder(saved):
    source, files = saved
    with pytest.warns(WeightsWarning, match=r"and 3 more; 3 layers of the weights have no"):
        model = petseg.unet(weights=files["some.keras"], decoder_filters=(8,))
    encoder = {name for name, _ in layers_of(model.get_layer("encoder"))}
    assert encoder <= same_layers(model, source)
    assert petseg.model_info(model).backbone == BACKBONE  # the backbone of the file
    assert petseg.model_info(model).temperature == 1.0


def test_layers_of_the_same_class_and_number_are_not_confused(tmp_path):
    # In the file, the first decoder convolution of both is `conv2d`, of the same shape.
    source = petseg.linknet(backbone=BACKBONE, weights=None, decoder_steps=1)
    source.save_weights(tmp_path / "linknet.weights.h5")
    with pytest.warns(WeightsWarning):
        model = petseg.fpn(backbone=BACKBONE, weights=str(tmp_path / "linknet.weights.h5"))
    decoder = arrays_of(model).keys() - arrays_of(model.get_layer("encoder")).keys()
    assert not {name for name in same_layers(model, source) & decoder if "_bn" not in name}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("some.weights.h5", r"`weights` must fit the encoder or most of fcn32\. .*some\.weights"),
        ("some.keras", "`backbone` must be that of the weights, 'mobilenetv3small'"),
    ],
)
def test_weights_of_another_backbone_are_refused(saved, name, message):
    _, files = saved
    with pytest.raises(ValueError, match=message):
        petseg.fcn32(3, backbone="mobilenet", decoder_filters=8, weights=str(files[name]))


def test_a_part_of_an_encoder_is_refused(tmp_path):
    # Output stride 16 has no stage of stride 32, which holds most of the encoder.
    source = petseg.lraspp(backbone=BACKBONE, weights=None)
    source.save_weights(tmp_path / "part.weights.h5")
    with pytest.raises(ValueError, match=r"which too little fits: \d+ of \d+ layers"):
        petseg.fcn32(**SMALL, weights=str(tmp_path / "part.weights.h5"))


def test_the_pets_weights_serve_other_classes():
    pets = petseg.unet(weights="pets")
    with pytest.warns(
        WeightsWarning, match=r"^`weights='pets'`: 114 of 115 .* random: logits\."
    ) as caught:
        model = petseg.unet(5, weights="pets", ignore_class=255)
    assert caught[0].filename == __file__
    assert same_layers(model, pets) == arrays_of(pets).keys() - {"logits"}
    info = petseg.model_info(model)
    assert info.class_names == ("0", "1", "2", "3", "4")
    assert (info.weights, info.licence, info.ignore_class) == ("pets", "Apache-2.0", 255)
    assert (info.temperature, info.image_size) == (1.0, None)
    assert petseg.model_info(pets).temperature == read_card("unet-efficientnetlite0")["temperature"]


def test_the_pets_weights_serve_another_decoder():
    with pytest.warns(WeightsWarning, match="new and random: .*, logits and 9 more; 6 layers of"):
        model = petseg.unet(weights="pets", decoder_filters=(32, 16))
    encoder = {name for name, _ in layers_of(model.get_layer("encoder"))}
    assert encoder <= same_layers(model, petseg.unet(weights="pets"))


@pytest.mark.parametrize("name", pretrained_models())
def test_a_card_lists_the_layers_of_its_model(name):
    card = read_card(name)
    model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights=None)
    assert card["layers"] == {name: len(layer.weights) for name, layer in layers_of(model)}


def test_the_warning_can_be_silenced(saved):
    _, files = saved
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WeightsWarning)
        petseg.fcn32(2, **SMALL, weights=str(files["some.keras"]))
