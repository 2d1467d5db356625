import copy
import json
import pickle

import numpy as np
import pytest

from petseg_runtime import ModelInfo

INFO = ModelInfo(
    ("road", "car"),
    ignore_class=255,
    image_size=(96, 128),
    architecture="unet",
    backbone="mobilenetv2",
    arguments={"decoder_filters": (32, 16)},
    weights="imagenet",
    licence="Apache-2.0",
    petseg_version="0.2.0",
    quantize="float16",
)


def test_json_gives_the_record_back():
    assert ModelInfo.from_json(INFO.to_json()) == INFO
    assert ModelInfo.from_dict(INFO.to_dict()) == INFO
    assert pickle.loads(pickle.dumps(INFO)) == INFO
    assert hash(INFO) == hash(ModelInfo.from_json(INFO.to_json()))


def test_a_record_is_frozen_and_replace_gives_a_copy():
    with pytest.raises(AttributeError):
        INFO.ignore_class = 0
    changed = INFO.replace(image_size=[32, 64])
    assert changed.image_size == (32, 64)
    assert INFO.image_size == (96, 128)


def test_arguments_cannot_be_changed_in_place():
    with pytest.raises(TypeError):
        INFO.arguments["decoder_filters"] = 1
    assert copy.deepcopy(INFO) == INFO


def test_the_background_is_found_by_its_name():
    assert INFO.background is None
    assert ModelInfo(("pet", "background", "border")).background == 1
    assert ModelInfo(("Background", "cat")).background == 0
    assert INFO.num_classes == 2


def test_numpy_numbers_are_numbers():
    info = ModelInfo(("a", "b"), ignore_class=np.uint8(255), image_size=np.array([32, 64]))
    assert json.loads(info.to_json())["image_size"] == [32, 64]
    assert json.loads(info.to_json())["ignore_class"] == 255


def test_fields_of_later_versions_are_left_out():
    assert ModelInfo.from_dict({**INFO.to_dict(), "schema": 2, "colour_space": "sRGB"}) == INFO


def test_records_of_the_first_version_are_read():
    record = {
        "petseg": "0.1.0",
        "model": "unet",
        "class_names": ["pet", "background", "border"],
        "ignore_class": None,
        "input": "RGB (N, H, W, 3), float32 in [0, 255]",
        "output": "classes (N, H, W)",
        "quantize": None,
    }
    info = ModelInfo.from_json(json.dumps(record))
    assert info.class_names == ("pet", "background", "border")
    assert (info.architecture, info.petseg_version, info.argmax) == ("unet", "0.1.0", True)
    logits = ModelInfo.from_dict({**record, "output": "logits (N, H, W, C), float32"})
    assert not logits.argmax


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", "3", "{}", '{"schema": 1}'])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(ValueError, match="A model record must"):
        ModelInfo.from_json(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("class_names", "ab"),
        ("class_names", ["a"]),
        ("class_names", ["a", "a"]),
        ("class_names", ["a", 3]),
        ("class_names", None),
        ("ignore_class", "255"),
        ("ignore_class", True),
        ("image_size", [32]),
        ("image_size", [0, 32]),
        ("image_size", [32.0, 32.0]),
        ("architecture", 3),
        ("backbone", []),
        ("arguments", [1]),
        ("input_range", [0]),
        ("input_range", ["0", "1"]),
        ("weights", 1),
        ("argmax", "no"),
        ("quantize", "int4"),
    ],
)
def test_a_field_of_another_type_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=f"`{field}` must"):
        ModelInfo.from_dict({**INFO.to_dict(), field: value})
