"""Real exports in their real runtimes, beside the model that they came from."""

import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import petseg
from petseg import exporting
from petseg.exporting import export

# One model of each family; the small decoders of DeepLabV3+ and FCN-16 and 32 are parts of these.
FAMILIES = ("unet", "fcn8", "segnet", "pspnet", "deeplabv3_plus")
FILES = {
    "saved_model": ("saved", None),
    "onnx": ("network.onnx", None),
    "openvino": ("network.xml", None),
    "litert": ("network.tflite", None),
    "float16": ("half.tflite", "float16"),
    "int8": ("eighth.tflite", "int8"),
}


# Bytes of a file for each parameter of its network, at most.
MOST_BYTES = {"float16": 2.4, "int8": 1.5}


@pytest.fixture(scope="module")
def pets():
    return petseg.synthetic_pets(48, image_size=(64, 96), batch_size=8)


def photos(*size):
    return np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype("float32")


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request, pets):
    """A network of each family that has learned something, what it gives, and how it scores."""
    factory = petseg.MODELS[request.param]
    model = factory(backbone="mobilenet", weights=None, class_names=pets.class_names)
    petseg.finetune(model, pets.train, pets.val, frozen_epochs=0, epochs=3)
    results = [(photos(*size), model(photos(*size)).numpy()) for size in ((64, 96), (97, 33))]
    return model, results, petseg.evaluate(model, pets.val)


@pytest.mark.parametrize("kind", FILES)
def test_every_family_exports_to_every_format(trained, kind, pets, tmp_path):
    model, results, score = trained
    name, quantize = FILES[kind]
    calibration = pets.val if quantize == "int8" else None
    path = export(model, tmp_path / name, quantize=quantize, calibration=calibration)
    runtime = petseg.Runtime(path)
    assert runtime.class_names == petseg.PET_CLASSES
    assert runtime.metadata["model"] == model.name
    assert runtime.metadata["petseg"] == petseg.__version__
    assert runtime.input_size == ((64, 96) if quantize == "int8" else (None, None))
    own = petseg.evaluate(runtime, pets.val)
    assert own.class_names == score.class_names
    if quantize is None:
        for images, wanted in results:
            given = runtime(images)
            assert given.dtype == np.float32
            np.testing.assert_allclose(given, wanted, atol=1e-3)
        assert own.loss == pytest.approx(score.loss, abs=1e-4)
    else:
        assert path.stat().st_size < MOST_BYTES[quantize] * model.count_params()
    most = {None: 1e-4, "float16": 0.005, "int8": 0.01}[quantize]
    assert own.mean_iou == pytest.approx(score.mean_iou, abs=most)


@pytest.fixture(scope="module")
def small():
    """A network that is exported in a moment."""
    images = keras.Input((None, None, 3), name="images")
    features = keras.layers.Rescaling(1 / 127.5, -1)(images)
    return keras.Model(images, keras.layers.Conv2D(3, 3, padding="same")(features), name="small")


@pytest.mark.parametrize("kind", ["saved_model", "onnx", "openvino", "litert"])
def test_an_artifact_predicts_as_its_model(kind, small, tmp_path):
    runtime = petseg.Runtime(export(small, tmp_path / FILES[kind][0]))
    assert runtime.class_names == ("0", "1", "2")
    photo = photos(50, 90)[0]
    for options in ({}, {"tta": True}, {"tile": 32}, {"image_size": (64, 64)}):
        given, wanted = runtime.predict(photo, **options), petseg.predict(small, photo, **options)
        assert (given != wanted).mean() < 0.001
        np.testing.assert_array_equal(given, petseg.predict(runtime, photo, **options))


@pytest.mark.parametrize("kind", ["saved_model", "onnx", "openvino", "litert"])
def test_argmax_inside_gives_classes(kind, small, pets, tmp_path):
    runtime = petseg.Runtime(export(small, tmp_path / FILES[kind][0], argmax=True))
    images = photos(64, 96)
    classes = runtime(images)
    assert classes.shape == (2, 64, 96)
    assert (classes != small(images).numpy().argmax(-1)).mean() < 0.001
    mask = petseg.predict(runtime, images[0], image_size=(64, 96))
    np.testing.assert_array_equal(mask, classes[0])
    with pytest.raises(ValueError, match="Export it without `argmax`"):
        petseg.predict(runtime, images, tta=True)
    with pytest.raises(ValueError, match="one exported with `argmax`"):
        petseg.evaluate(runtime, pets.test)


def test_a_model_of_one_size_is_exported_for_it(tmp_path):
    model = petseg.unet(backbone="mobilenet", weights=None, image_shape=(64, 96, 3))
    runtime = petseg.Runtime(export(model, tmp_path / "network.onnx"))
    assert runtime.input_size == (64, 96)
    assert petseg.predict(runtime, photos(50, 50)[0]).shape == (50, 50)
    with pytest.raises(ValueError, match=r"must be RGB of shape \(N, 64, 96, 3\)"):
        runtime(photos(50, 50))


RUN_ALONE = """
import sys
sys.modules |= {name: None for name in ("keras", "tensorflow", "petseg")}
import numpy as np
from petseg_runtime import Runtime, cutout, overlay
photo = np.full((40, 60, 3), 99, np.uint8)
mask = Runtime(sys.argv[1]).predict(photo)
print(mask.shape, overlay(photo, mask).shape, cutout(photo, mask).shape)
"""


@pytest.mark.parametrize("kind", ["onnx", "openvino", "litert"])
def test_an_artifact_runs_where_there_is_no_tensorflow(kind, small, tmp_path):
    path = export(small, tmp_path / FILES[kind][0])
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALONE, path], capture_output=True, text=True, check=False
    )
    assert done.stdout == "(40, 60) (40, 60, 3) (40, 60, 4)\n", done.stderr


@pytest.mark.parametrize(
    ("kind", "options", "limit", "unit"),
    [
        ("saved_model", {}, "MOST_LOGIT_DRIFT", "in a logit"),
        ("openvino", {}, "MOST_LOGIT_DRIFT", "in a logit"),
        ("onnx", {"argmax": True}, "MOST_PIXEL_DRIFT", "of the pixels"),
        ("litert", {"quantize": "float16"}, "MOST_PIXEL_DRIFT", "of the pixels"),
        ("litert", {"quantize": "int8"}, "MOST_IOU_DRIFT", "mean IoU"),
    ],
)
def test_what_drifts_leaves_nothing_behind(
    kind, options, limit, unit, small, pets, tmp_path, monkeypatch
):
    monkeypatch.setattr(exporting, limit, -1.0)
    if options.get("quantize") == "int8":
        options = options | {"calibration": pets.val}
    with pytest.raises(ValueError, match=rf"differs from `model` by .* {unit}.*Nothing was"):
        export(small, tmp_path / "new" / "deep" / FILES[kind][0], **options)
    assert list(tmp_path.iterdir()) == []


def test_what_was_there_is_replaced_whole_or_left(small, tmp_path, monkeypatch):
    path = tmp_path / "saved"
    export(small, path)
    (path / "stray").touch()
    export(small, path)
    assert not (path / "stray").exists()
    monkeypatch.setattr(exporting, "MOST_LOGIT_DRIFT", -1.0)
    with pytest.raises(ValueError, match="differs from `model`"):
        export(small, path)
    assert petseg.Runtime(path).class_names == ("0", "1", "2")


def test_files_that_are_damaged_are_refused(small, tmp_path):
    for kind in ("onnx", "litert", "openvino"):
        path = export(small, tmp_path / FILES[kind][0])
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        with pytest.raises(ValueError, match=f"{path.name} cannot be opened"):
            petseg.Runtime(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty cannot be opened"):
        petseg.Runtime(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"no exported network .*gone\.onnx"):
        petseg.Runtime(tmp_path / "gone.onnx")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"`path` must be a file \.onnx, \.tflite, \.xml"):
        petseg.Runtime(tmp_path / "notes.txt")


def test_a_litert_network_keeps_its_notes_as_a_zip_archive(small, tmp_path):
    path = export(small, tmp_path / "network.tflite")
    with zipfile.ZipFile(path) as files:
        assert files.namelist() == ["petseg.json"]


def test_a_litert_network_of_another_package_has_no_class_names(small, tmp_path):
    path = export(small, tmp_path / "network.tflite")
    network = path.read_bytes()
    with zipfile.ZipFile(path) as files:
        network = network[: files.infolist()[0].header_offset]
    path.write_bytes(network)
    with zipfile.ZipFile(path, "a") as files:
        files.writestr("labels.txt", "cat")
    assert petseg.Runtime(path).class_names == ()


def test_a_file_is_no_folder_of_a_saved_model(small, tmp_path):
    (tmp_path / "saved").touch()
    with pytest.raises(ValueError, match="`path` must be a folder's for saved_model"):
        export(small, tmp_path / "saved")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("network.pb", {}, r"`format` must be one of .*network\.pb"),
        ("network.onnx", {"format": "keras"}, "`format` must be one of .*'keras'"),
        ("network.onnx", {"format": "litert"}, r"`path` must end in \.tflite for litert"),
        ("network.onnx", {"quantize": "int8"}, "`quantize` is for LiteRT"),
        ("network.tflite", {"quantize": "int4"}, "`quantize` must be one of .*'int4'"),
        ("network.tflite", {"quantize": "int8"}, "`calibration` must be a dataset where"),
        ("network.tflite", {"calibration": []}, "`calibration` must be a dataset where"),
        ("taken", {}, "`path` is a folder of other things"),
        (
            "network.tflite",
            {"quantize": "int8", "calibration": []},
            "`calibration` must hold at least one batch",
        ),
        (
            "network.tflite",
            {"quantize": "int8", "calibration": [photos(32, 32)]},
            r"`calibration` must hold batches `\(images, masks\)`",
        ),
    ],
)
def test_what_cannot_be_exported_is_refused(name, arguments, message, small, tmp_path):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").touch()
    with pytest.raises(ValueError, match=message):
        export(small, tmp_path / name, **arguments)
    assert [path.name for path in tmp_path.rglob("*")] == ["taken", "thesis.tex"]


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"`model` must be a keras\.Model"):
        export("unet", tmp_path / "network.onnx")
