"""A model keeps its record, whatever is done to it; models of 0.1.0 are read without one."""

import json
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import petseg
from petseg.backbones import BACKBONES, encode
from petseg.model_records import update_info
from petseg.models.layers import classify, upsample_like

LIGHT = {"backbone": "mobilenetv3small", "weights": None, "decoder_filters": 8}
NAMES = ("cat", "background", "void")


@pytest.fixture(scope="module")
def model():
    return petseg.fcn32(class_names=NAMES, ignore_class=255, image_shape=(64, 96, 3), **LIGHT)


@pytest.fixture(scope="module")
def info(model):
    return petseg.model_info(model)


def test_record_says_what_the_model_is(info):
    assert info.class_names == NAMES
    assert info.ignore_class == 255
    assert info.image_size == (64, 96)
    assert (info.architecture, info.backbone) == ("fcn32", "mobilenetv3small")
    assert info.arguments == {"decoder_filters": 8, "dropout": 0.5}
    assert info.petseg_version == petseg.__version__
    assert info.background == 1


def test_clone_keeps_the_record(model, info):
    assert petseg.model_info(keras.models.clone_model(model)) == info


def test_compiling_without_metrics_keeps_the_record(model, info):
    clone = keras.models.clone_model(model)
    clone.compile(loss="mse")
    assert petseg.model_info(clone) == info


def test_part_of_another_model_keeps_the_record(model, info):
    images = keras.Input((64, 96, 3))
    outer = keras.Model(images, keras.layers.Softmax()(model(images)))
    assert petseg.model_info(outer) == info


def test_record_is_read_in_a_new_process(model, info, tmp_path):
    bare = keras.models.clone_model(model)
    bare.compile(loss="mse")
    paths = [tmp_path / "compiled.keras", tmp_path / "bare.keras"]
    for path, saved in zip(paths, (model, bare), strict=True):
        saved.save(path)
        assert petseg.model_info(path) == info
    code = (
        "import sys, keras, petseg\n"
        "for path in sys.argv[1:]:\n"
        "    model = keras.models.load_model(path)\n"
        "    print(petseg.model_info(model).to_json().replace('\\n', ''))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, paths)],
        capture_output=True,
        text=True,
        env=os.environ.copy(),
    )
    assert done.returncode == 0, done.stderr
    found = [petseg.ModelInfo.from_json(line) for line in done.stdout.splitlines()]
    assert found == [info, info]


def test_changed_record_is_saved(model, info, tmp_path):
    clone = keras.models.clone_model(model)
    update_info(clone, image_size=(224, 224), licence="MIT")
    expected = info.replace(image_size=(224, 224), licence="MIT")
    assert petseg.model_info(clone) == expected
    assert petseg.model_info(model) == info
    clone.save(tmp_path / "changed.keras")
    assert petseg.model_info(tmp_path / "changed.keras") == expected


def save_as_version_0_1_0(path, model_name="unet"):
    """Saves a model as petseg 0.1.0 did: no record, and the names in the compiled metric alone."""
    images = keras.Input((None, None, 3), name="images")
    features = encode(images, BACKBONES["mobilenetv3small"], None)
    logits = classify(features[-1], 3)
    outputs = upsample_like(logits, images, dtype="float32", name="resized_logits")
    model = keras.Model(images, outputs, name=model_name)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255),
        metrics=[petseg.MeanIoU(3, NAMES, 255)],
    )
    model.optimizer.build(model.trainable_variables)
    model.save(path)
    # The layers were in another module.
    with zipfile.ZipFile(path) as file:
        contents = {name: file.read(name) for name in file.namelist()}
    config = contents["config.json"].replace(b"petseg.models.layers", b"petseg.models.blocks")
    assert config != contents["config.json"]
    with zipfile.ZipFile(path, "w") as file:
        for name, content in (contents | {"config.json": config}).items():
            file.writestr(name, content)
    return model


def test_model_of_version_0_1_0_loads_with_what_it_knows(tmp_path):
    path = tmp_path / "first.keras"
    saved = save_as_version_0_1_0(path)
    loaded = keras.models.load_model(path)
    image = np.random.default_rng(0).uniform(0, 255, (1, 33, 47, 3)).astype("float32")
    expected = saved.predict(image, verbose=0)
    np.testing.assert_array_equal(loaded.predict(image, verbose=0), expected)
    for source in (path, str(path), loaded):
        info = petseg.model_info(source)
        assert info.class_names == NAMES
        assert info.ignore_class == 255
        assert info.architecture == "unet"
        assert (info.backbone, info.image_size, info.petseg_version) == (None, None, None)
        assert dict(info.arguments) == {}


def foreign_model(channels, shape=(None, None, 3)):
    images = keras.Input(shape)
    return keras.Model(images, keras.layers.Conv2D(channels, 1)(images))


def test_other_models_have_numbered_classes():
    info = petseg.model_info(foreign_model(4))
    assert info.class_names == ("0", "1", "2", "3")
    assert (info.architecture, info.image_size) == (None, None)
    assert petseg.model_info(foreign_model(4, (48, 64, 3))).image_size == (48, 64)


def test_other_models_take_the_names_of_their_metric(tmp_path):
    model = foreign_model(3)
    model.compile(loss="mse", metrics=["accuracy", petseg.MeanIoU(3, NAMES, 7)])
    model.save(tmp_path / "other.keras")
    for source in (model, tmp_path / "other.keras"):
        info = petseg.model_info(source)
        assert (info.class_names, info.ignore_class, info.architecture) == (NAMES, 7, None)


def test_updating_a_model_without_a_record_changes_nothing():
    model = foreign_model(3)
    update_info(model, image_size=(64, 64))
    assert petseg.model_info(model).image_size is None


@pytest.mark.parametrize("channels", [1, None])
def test_models_that_do_not_segment_are_refused(channels):
    images = keras.Input((None, None, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(images)
    model = keras.Model(images, pooled) if channels is None else foreign_model(channels)
    with pytest.raises(ValueError, match="`source` must be a segmentation model"):
        petseg.model_info(model)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"`source` must be a keras\.Model"):
        petseg.model_info(3)


def test_missing_and_damaged_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"missing\.keras"):
        petseg.model_info(tmp_path / "missing.keras")
    damaged = tmp_path / "damaged.keras"
    damaged.write_bytes(b"PK")
    with pytest.raises(ValueError, match=r"damaged\.keras .*damaged"):
        petseg.model_info(damaged)
    with zipfile.ZipFile(damaged, "w") as file:
        file.writestr("config.json", json.dumps({"config": {"layers": []}}))
    with pytest.raises(ValueError, match="not one of petseg"):
        petseg.model_info(damaged)


def test_a_new_head_is_not_described_by_the_old_record():
    model = petseg.fcn32(
        backbone="mobilenet", weights=None, class_names=("a", "b", "c"), ignore_class=255
    )
    head = keras.layers.Conv2D(7, 1)(model.outputs[0])
    info = petseg.model_info(keras.Model(model.inputs, head))
    assert info == petseg.ModelInfo(tuple(map(str, range(7))))
    with pytest.raises(ValueError, match="`source` must be a segmentation model"):
        petseg.model_info(keras.Model(model.inputs, [model.outputs[0], head]))


def test_weights_of_a_keras_file_bring_its_size_and_names(tmp_path):
    model = petseg.fcn32(backbone="mobilenet", weights=None, class_names=("a", "b", "c"))
    update_info(model, image_size=(96, 128))
    model.save(tmp_path / "model.keras")
    again = petseg.fcn32(backbone="mobilenet", weights=str(tmp_path / "model.keras"))
    info = petseg.model_info(again)
    assert (info.image_size, info.class_names) == ((96, 128), ("a", "b", "c"))
    assert info.weights == "model.keras"
    with pytest.warns(petseg.models.WeightsWarning, match="new and random: scores"):
        named = petseg.fcn32(
            backbone="mobilenet",
            weights=str(tmp_path / "model.keras"),
            class_names=("x", "y", "z"),
            image_shape=(64, 64, 3),
        )
    assert petseg.model_info(named).class_names == ("x", "y", "z")
    assert petseg.model_info(named).image_size == (64, 64)


def test_files_that_hold_no_record_are_refused_by_name(tmp_path):
    (tmp_path / "folder.keras").mkdir()
    with pytest.raises(ValueError, match=r"folder\.keras"):
        petseg.model_info(tmp_path / "folder.keras")
    (tmp_path / "model.weights.h5").touch()
    with pytest.raises(ValueError, match=r"model\.weights\.h5 holds weights alone"):
        petseg.model_info(tmp_path / "model.weights.h5")
