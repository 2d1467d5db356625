"""The pretrained models without TensorFlow are the models that Keras has."""

import shutil

import numpy as np
import pytest
from memory import peak_of_petseg, run_python

import petseg
from petseg.data import draw_pet
from petseg_runtime import Runtime
from petseg_runtime.pretrained import (
    DEFAULT_BACKBONE,
    FOLDER,
    full_name,
    open_pretrained,
    pretrained_models,
    read_card,
)

WITHOUT_TENSORFLOW = """
import sys
from petseg_cli import main
try:
    main(sys.argv[1:])
except SystemExit as end:
    assert not end.code, end.code
found = {name.partition(".")[0] for name in sys.modules}
print(sorted(found & {"jax", "keras", "matplotlib", "petseg", "tensorflow", "torch"}))
"""


@pytest.fixture
def photo(tmp_path):
    from PIL import Image

    path = tmp_path / "cat.jpg"
    Image.fromarray(draw_pet(0)[0]).save(path)
    return path


@pytest.mark.parametrize("name", pretrained_models())
def test_logits_are_those_of_keras(name):
    card = read_card(name)
    model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
    runtime = Runtime.pretrained(name)
    assert runtime.info == petseg.model_info(model)
    assert runtime.class_names == tuple(card["class_names"])
    images = np.random.default_rng(0).uniform(0, 255, (2, 224, 160, 3)).astype("float32")
    for batch in (images, images[:1, :96]):
        expected = np.asarray(model.predict_on_batch(batch))
        np.testing.assert_allclose(runtime(batch), expected, rtol=0, atol=1e-3)


def test_the_default_is_the_unet(photo):
    runtime = Runtime.pretrained()
    assert runtime.path.stem == full_name("unet")
    model = petseg.unet(weights="pets")
    mask, expected = runtime.predict(photo), petseg.predict(model, photo)
    assert mask.shape == expected.shape
    assert (mask != expected).mean() < 1e-3


def test_a_name_may_leave_the_backbone_out(tmp_path):
    name = "segnet-efficientnetlite0"
    assert full_name("segnet") == full_name(name) == name
    for backbone in ("abacus", DEFAULT_BACKBONE):
        (tmp_path / f"unet-{backbone}.json").touch()
    assert full_name("unet", tmp_path) == f"unet-{DEFAULT_BACKBONE}"


@pytest.mark.parametrize("name", ["fcn32", "unet-vgg16", "", "../unet"])
def test_an_unknown_name_is_refused(name):
    with pytest.raises(ValueError, match=r"`name` must be .*: deeplabv3, .*unet-.* Received: "):
        Runtime.pretrained(name)


def test_changed_weights_are_refused(tmp_path):
    for path in FOLDER.glob("segnet-efficientnetlite0.*"):
        shutil.copy(path, tmp_path)
    weights = tmp_path / "segnet-efficientnetlite0.npz"
    assert open_pretrained(weights.stem, tmp_path).num_classes == 3
    changed = bytearray(weights.read_bytes())
    changed[len(changed) // 2] ^= 1
    weights.write_bytes(changed)
    with pytest.raises(OSError, match=r"was changed\. Install petseg again"):
        open_pretrained(weights.stem, tmp_path)


@pytest.mark.parametrize("model", [(), ("--model", "fcn8")])
def test_a_photo_needs_no_tensorflow(photo, tmp_path, model):
    out = tmp_path / "out"
    command = ["predict", photo, "--out", out, "--cutout", "--json", tmp_path / "a.json", *model]
    done = run_python("-c", WITHOUT_TENSORFLOW, *command)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"{photo} -> cat_mask.png, cat_cutout.png, cat_overlay.png",
        "[]",
    ]


def test_a_photo_takes_little_memory(photo, tmp_path):
    assert peak_of_petseg("predict", photo, "--out", tmp_path / "out", "--cutout") < 200e6


def test_the_runtime_needs_no_tensorflow():
    code = "import petseg_runtime, sys; print(sorted({'keras', 'tensorflow'} & set(sys.modules)))"
    assert run_python("-c", code).stdout == "[]\n"
