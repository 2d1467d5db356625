"""EfficientNet-Lite has the layers of the paper, and its weights come whole with the package."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import petseg
from petseg import efficientnet_lite
from petseg.backbones import BACKBONES, build_encoder
from petseg.efficientnet_lite import VARIANTS, WEIGHTS

RECORD = Path(__file__).parents[2] / "docs" / "results" / "encoders.json"

# Mean and standard deviation of the features of EfficientNet-Lite0 on `fixed_image`, and some
# values of the coarsest, as computed when the conversion was compared with the original graph.
STATISTICS = [
    (2.0222, 1.6374),
    (1.4236, 1.7918),
    (0.8095, 1.2655),
    (0.3352, 0.8091),
    (0.0150, 3.3930),
]
COARSEST = (-1.3803, 2.1614, -0.8410)


def fixed_image():
    rows, columns = np.indices((64, 96))
    channels = (4 * rows % 256, rows * columns // 2 % 256, 255 - 2 * columns)
    return np.stack(channels, axis=-1).astype("float32")[np.newaxis]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.backend
def test_features_with_imagenet_weights_are_those_that_were_recorded():
    images = BACKBONES["efficientnetlite0"].preprocess(fixed_image())
    features = build_encoder(BACKBONES["efficientnetlite0"], "imagenet")(images)
    for feature, (mean, deviation) in zip(features, STATISTICS, strict=True):
        values = keras.ops.convert_to_numpy(feature)
        assert values.mean() == pytest.approx(mean, abs=1e-3)
        assert values.std() == pytest.approx(deviation, abs=1e-3)
    np.testing.assert_allclose(values[0, 1, 1, :3], COARSEST, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("efficientnetlite0", 4_652_008),
        ("efficientnetlite1", 5_416_680),
        ("efficientnetlite2", 6_092_072),
    ],
)
def test_parameters_with_the_classifier_are_those_of_the_original(name, parameters):
    network = BACKBONES[name].build(weights=None)
    # A 1x1 convolution to 1,280 channels with its normalization, and 1,000 classes.
    head = network.output_shape[-1] * 1280 + 2 * 1280 + 1280 * 1000 + 1000
    own = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert own + head == parameters


@pytest.mark.parametrize("name", VARIANTS)
def test_a_card_describes_its_file(name):
    card = json.loads((WEIGHTS / f"{name}.json").read_text())
    assert card["sha256"] == digest(WEIGHTS / f"{name}.npz")
    assert card["name"] == name
    assert card["image_size"] == [VARIANTS[name].image_size] * 2
    assert card["licence"] == "Apache-2.0"
    assert card["source"].startswith("https://")
    assert card["conversion"]["float32"]["largest_difference"] < 1e-4
    assert card["conversion"] == json.loads(RECORD.read_text())["encoders"][name]


def test_the_licence_is_beside_the_weights():
    assert "Apache License" in (WEIGHTS / "LICENSE").read_text()
    assert "TensorFlow Authors" in (WEIGHTS / "NOTICE").read_text()
    assert {path.stem for path in WEIGHTS.glob("*.npz")} == set(VARIANTS)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_weight_is_in_its_file(name):
    network = BACKBONES[name].build(weights=None)
    with np.load(WEIGHTS / f"{name}.npz") as file:
        shapes = {key: file[key].shape for key in file.files}
        finite = [np.isfinite(file[key]).all() for key in file.files]
    assert shapes == {weight.path: tuple(weight.shape) for weight in network.weights}
    assert all(finite)


@pytest.mark.parametrize("state", ["was changed", "is missing"])
def test_a_damaged_file_is_named(tmp_path, monkeypatch, state):
    for suffix in (".npz", ".json"):
        shutil.copy(WEIGHTS / f"efficientnetlite0{suffix}", tmp_path)
    path = tmp_path / "efficientnetlite0.npz"
    if state == "is missing":
        path.unlink()
    else:
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    monkeypatch.setattr(efficientnet_lite, "WEIGHTS", tmp_path)
    with pytest.raises(OSError, match=rf"efficientnetlite0\.npz {state}\. Install petseg again"):
        petseg.unet(backbone="efficientnetlite0")


OFFLINE = """
import sys
outgoing = {"connect", "getaddrinfo", "gethostbyaddr", "gethostbyname", "sendmsg", "sendto"}
found = []
def audit(event, arguments):
    kind, _, name = event.partition(".")
    if kind == "socket" and name in outgoing:
        found.append((event, arguments))
sys.addaudithook(audit)
import petseg
model = petseg.unet(backbone="efficientnetlite0")
kernel = model.get_layer("encoder").get_layer("stem").kernel
print(f"{float(abs(kernel.numpy()).sum()):.2f}")
sys.exit(f"sockets: {found}" if found else 0)
"""


def test_the_weights_need_no_network_and_no_home(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path), "KERAS_BACKEND": "tensorflow"},
    )
    assert done.returncode == 0, done.stderr
    with np.load(WEIGHTS / "efficientnetlite0.npz") as file:
        expected = float(abs(file["stem/kernel"].astype("float32")).sum())
    assert float(done.stdout) == pytest.approx(expected, abs=0.01)
    assert not [path for path in tmp_path.rglob("*") if path.suffix in (".h5", ".npz", ".keras")]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("efficientnetlite3", {}, "`name` must be .*Received: 'efficientnetlite3'"),
        ("efficientnetlite0", {"weights": "Imagenet"}, "'imagenet' or None.*weights='Imagenet'"),
        ("efficientnetlite0", {"include_top": True}, "`include_top` must be False"),
    ],
)
def test_an_unknown_network_is_refused(name, options, message):
    with pytest.raises(ValueError, match=message):
        efficientnet_lite.efficientnet_lite(name, **options)
