"""Real exports in their real runtimes, beside the model that they came from."""

import dataclasses
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

import petseg
from petseg.exporting import export
from petseg_runtime.formats import FORMATS

# One model of each family, by its backbone; DeepLabV3 and FCN-16 and 32 are parts of these.
FAMILIES = {
    "unet": "mobilenet",
    "fcn8": "mobilenet",
    "segnet": "mobilenet",
    "pspnet": "mobilenet",
    "deeplabv3_plus": "mobilenet",
    "fpn": "mobilenet",
    "linknet": "efficientnetlite0",
    "lraspp": "efficientnetlite0",
}
FILES = {
    "saved_model": ("saved", None),
    "onnx": ("model.onnx", None),
    "openvino": ("model.xml", None),
    "litert": ("model.tflite", None),
    "float16": ("half.tflite", "float16"),
    "int8": ("eighth.tflite", "int8"),
}


# Bytes of a file for each parameter of its model, at most.
MOST_BYTES = {"float16": 2.4, "int8": 1.5}


@pytest.fixture(scope="module")
def pets():
    return petseg.synthetic_pets(48, image_size=(64, 96), batch_size=8)


def photos(*size):
    return np.random.default_rng(0).uniform(0, 255, (2, *size, 3)).astype("float32")


@pytest.fixture(scope="module", params=FAMILIES)
def trained(request, pets):
    """A model of each family that has learned something, its logits, and its scores."""
    architecture, backbone = request.param, FAMILIES[request.param]
    # These weights come with petseg. A model that starts from them is more certain, so that small
    # numbers change fewer pixels.
    weights = "imagenet" if backbone == "efficientnetlite0" else None
    keras.utils.set_random_seed(0)
    model = petseg.MODELS[architecture](
        backbone=backbone, weights=weights, class_names=pets.class_names
    )
    petseg.finetune(
        model, pets.train, pets.val, frozen_epochs=0, epochs=8 if architecture == "linknet" else 3
    )
    results = [(photos(*size), model(photos(*size)).numpy()) for size in ((64, 96), (97, 33))]
    return model, results, petseg.evaluate(model, pets.val)


def exported(model, kind, pets, folder):
    """Exports a model; checks what holds for every format."""
    name, quantize = FILES[kind]
    calibration = pets.val if quantize == "int8" else None
    path = export(model, folder / name, quantize=quantize, calibration=calibration)
    runtime = petseg.Runtime(path)
    assert runtime.info == petseg.model_info(model).replace(quantize=quantize)
    assert runtime.info.image_size == (64, 96)
    assert petseg.model_info(path) == runtime.info
    assert runtime.input_size == ((64, 96) if quantize == "int8" else (None, None))
    return path, runtime


@pytest.mark.parametrize("kind", ["saved_model", "onnx", "openvino", "litert"])
def test_every_family_exports_to_every_format(trained, kind, pets, tmp_path):
    model, results, score = trained
    _, runtime = exported(model, kind, pets, tmp_path)
    for images, wanted in results:
        given = runtime(images)
        assert given.dtype == np.float32
        np.testing.assert_allclose(given, wanted, atol=1e-3)
    own = petseg.evaluate(runtime, pets.val)
    assert own.class_names == score.class_names
    assert own.loss == pytest.approx(score.loss, abs=1e-4)
    assert own.mean_iou == pytest.approx(score.mean_iou, abs=1e-4)


@pytest.mark.parametrize(("kind", "most"), [("float16", 0.005), ("int8", 0.01)])
def test_every_family_exports_to_small_numbers(trained, kind, most, pets, tmp_path):
    model, _, score = trained
    path, runtime = exported(model, kind, pets, tmp_path)
    assert path.stat().st_size < MOST_BYTES[kind] * model.count_params()
    own = petseg.evaluate(runtime, pets.val)
    assert own.class_names == score.class_names
    assert own.mean_iou == pytest.approx(score.mean_iou, abs=most)


@pytest.fixture(scope="module")
def small():
    """A model that is exported in a moment."""
    keras.utils.set_random_seed(0)
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
    with pytest.raises(ValueError, match="one that was exported with `argmax`"):
        petseg.evaluate(runtime, pets.test)


def test_a_model_of_one_size_is_exported_for_it(tmp_path):
    model = petseg.unet(backbone="mobilenet", weights=None, image_shape=(64, 96, 3))
    runtime = petseg.Runtime(export(model, tmp_path / "model.onnx"))
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
print(mask.shape, overlay(photo, mask).shape, cutout(photo, mask, background=1).shape)
"""


@pytest.mark.parametrize("kind", ["onnx", "openvino", "litert"])
def test_a_backbone_of_layers_that_converters_find_hard_is_exported(kind, tmp_path):
    images = keras.Input((None, None, 3))
    features = keras.layers.Normalization(mean=[9.0, 99.0, 199.0], variance=[1e3, 2e3, 3e3])(images)
    for groups in (1, 2, 4, 8, 1):
        features = keras.layers.Conv2D(8, 3, 2, padding="same", activation="gelu")(features)
        features = keras.layers.Conv2D(8, 3, padding="same", groups=groups)(features)
        features = keras.layers.Activation("celu")(features)
    model = petseg.unet(backbone=keras.Model(images, features), weights=None)
    runtime = petseg.Runtime(petseg.export(model, tmp_path / f"model{FORMATS[kind].suffix}"))
    batch = photos(50, 70)
    np.testing.assert_allclose(runtime(batch), model.predict_on_batch(batch), atol=1e-3)


@pytest.mark.parametrize("kind", ["onnx", "openvino", "litert"])
def test_what_cannot_be_converted_is_one_clear_error(kind, tmp_path):
    features = images = keras.Input((None, None, 3))
    for _ in range(5):
        features = keras.layers.Conv2D(8, 3, 2, padding="same")(features)
        # Keras cannot trace it without a size.
        features = keras.layers.UpSampling2D(2, interpolation="bilinear")(features)
        features = keras.layers.AveragePooling2D(2)(features)
    model = petseg.unet(backbone=keras.Model(images, features), weights=None)
    with pytest.raises(ValueError, match=f"must have layers that work in the format '{kind}'"):
        petseg.export(model, tmp_path / f"model{FORMATS[kind].suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["onnx", "openvino", "litert"])
def test_an_artifact_runs_where_there_is_no_tensorflow(kind, small, tmp_path):
    path = export(small, tmp_path / FILES[kind][0])
    done = subprocess.run(
        [sys.executable, "-c", RUN_ALONE, path], capture_output=True, text=True, check=False
    )
    assert done.stdout == "(40, 60) (40, 60, 3) (40, 60, 4)\n", done.stderr


def change_one_weight(path, kernel):
    """Changes one weight of the kernel in an exported file, as damage on a disk would."""
    files = [path, path.with_suffix(".bin"), *path.glob("variables/*.data*")]
    values = {np.float32(value).tobytes() for value in kernel.ravel()}
    for file in filter(lambda file: file.is_file(), files):
        content = file.read_bytes()
        for value in values:
            if content.count(value) == 1:
                changed = np.float32(np.frombuffer(value, np.float32)[0] + 1).tobytes()
                file.write_bytes(content.replace(value, changed))
                return
    raise AssertionError(f"{path} does not hold the kernel as float32")


@pytest.fixture
def damage(monkeypatch):
    """Damages each exported file after it was written and before it is compared."""

    def start(kind, change):
        row = FORMATS[kind]

        def write_record(path, record):
            row.write_record(path, record)
            change(path)

        monkeypatch.setitem(FORMATS, kind, dataclasses.replace(row, write_record=write_record))

    return start


@pytest.mark.parametrize("kind", ["onnx", "litert", "openvino"])
@pytest.mark.parametrize("argmax", [False, True])
def test_a_file_with_one_changed_weight_is_refused(kind, argmax, small, damage, tmp_path):
    kernel = small.layers[-1].kernel.numpy()
    damage(kind, lambda path: change_one_weight(path, kernel))
    unit = "of the pixels" if argmax else "in a logit"
    refusal = rf"differs from `model` by .* {unit}.*Nothing was"
    if kind == "openvino":  # The weights are a file of their own, with a checksum.
        refusal = r"model\.bin does not belong to it"
    with pytest.raises(ValueError, match=refusal):
        export(small, tmp_path / "new" / "deep" / FILES[kind][0], argmax=argmax)
    assert list(tmp_path.iterdir()) == []


def test_a_file_beside_is_not_replaced(small, tmp_path):
    own = tmp_path / "model.bin"
    own.write_bytes(b"mine")
    with pytest.raises(ValueError, match=r"beside which model\.bin can be written"):
        export(small, tmp_path / "model.xml")
    assert own.read_bytes() == b"mine"
    own.unlink()
    for _ in range(2):  # an earlier export is replaced
        export(small, tmp_path / "model.xml")


@pytest.mark.parametrize("kind", ["saved_model", "float16", "int8"])
def test_a_file_of_another_model_is_refused(kind, pets, small, damage, tmp_path):
    # What is changed after the file was written is the model, by one weight.
    model = keras.models.clone_model(small)
    model.set_weights(small.get_weights())
    name, quantize = FILES[kind]

    def change(_path):
        # Large enough that every pixel gets the rarest class: the mean IoU tells it, too.
        model.layers[-1].bias.assign([0.0, 0.0, 1e4])

    damage(kind if quantize is None else "litert", change)
    calibration = pets.val if quantize == "int8" else None
    with pytest.raises(ValueError, match=r"differs from `model` by .*Nothing was written"):
        export(model, tmp_path / name, quantize=quantize, calibration=calibration)
    assert list(tmp_path.iterdir()) == []


def test_segnet_may_differ_in_single_images(damage, tmp_path):
    model = petseg.segnet(weights="pets")  # unpools nearly equal features of one of the images
    assert export(model, tmp_path / "segnet.onnx").is_file()
    kernel = [layer for layer in model.layers if hasattr(layer, "kernel")][-1].kernel.numpy()
    damage("onnx", lambda path: change_one_weight(path, kernel))
    with pytest.raises(ValueError, match=r"differs from `model` by .* in a logit"):
        export(model, tmp_path / "damaged.onnx")
    assert [path.name for path in tmp_path.iterdir()] == ["segnet.onnx"]


def test_the_tolerance_is_an_argument(small, damage, tmp_path):
    kernel = small.layers[-1].kernel.numpy()
    damage("onnx", lambda path: change_one_weight(path, kernel))
    with pytest.raises(ValueError, match=r"more than the tolerance of 0\.1\..*greater `tolerance`"):
        export(small, tmp_path / "model.onnx", tolerance=0.1)
    assert export(small, tmp_path / "model.onnx", tolerance=1e6).is_file()
    with pytest.raises(ValueError, match="`tolerance` must be a positive number"):
        export(small, tmp_path / "other.onnx", tolerance=True)


def test_any_export_is_compared_on_the_images_that_are_given(small, tmp_path):
    seen = []

    def batches():
        for _ in range(40):
            seen.append(4)
            yield np.full((4, 33, 47, 3), 128, np.float32)

    for name, quantize in (("model.onnx", None), ("model.tflite", "float16")):
        seen.clear()
        runtime = petseg.Runtime(
            export(small, tmp_path / name, quantize=quantize, calibration=batches())
        )
        assert sum(seen) == 128
        assert runtime.input_size == (None, None)  # nothing is fixed by the images


# MobileNetV3 adds 3 to its features: an operation of the model, which is no layer.
@pytest.mark.parametrize("backbone", ["mobilenet", "mobilenetv3small"])
def test_a_model_in_mixed_precision_exports_as_float32(backbone, tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = petseg.fcn32(backbone=backbone, weights=None)
    finally:
        keras.config.set_dtype_policy("float32")
    copy = petseg.fcn32(backbone=backbone, weights=None)
    copy.set_weights(model.get_weights())
    runtime = petseg.Runtime(export(model, tmp_path / "model.onnx"))
    images = photos(64, 64)
    np.testing.assert_allclose(runtime(images), copy.predict_on_batch(images), atol=1e-3)


ON_JAX = """
import petseg
try:
    petseg.export(petseg.fcn32(backbone="mobilenet", weights=None), "model.onnx")
except RuntimeError as error:
    print(error)
"""


def test_on_jax_the_error_says_how(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", ON_JAX],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert "KERAS_BACKEND=tensorflow petseg export OUT --model model.keras" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_export_is_replaced_whole_or_left(small, damage, tmp_path):
    path = tmp_path / "saved"
    export(small, path)
    (path / "variables" / "stray").touch()
    export(small, path)
    assert not (path / "variables" / "stray").exists()
    assert [entry.name for entry in tmp_path.iterdir()] == ["saved"]
    kept = small.layers[-1].kernel.numpy()
    damage("saved_model", lambda _: small.layers[-1].kernel.assign(kept + 1))
    try:
        with pytest.raises(ValueError, match="differs from `model`"):
            export(small, path)
    finally:
        small.layers[-1].kernel.assign(kept)
    assert petseg.Runtime(path).class_names == ("0", "1", "2")


def test_what_petseg_did_not_write_is_never_replaced(small, tmp_path):
    folder = export(small, tmp_path / "saved")
    (folder / "thesis.tex").write_text("mine")
    with pytest.raises(ValueError, match=r"which holds thesis\.tex\. Choose another path"):
        export(small, folder)
    assert (folder / "thesis.tex").read_text() == "mine"
    for name in ("model.onnx", "model.tflite", "model.xml"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(ValueError, match="`path` must be new, or an earlier export"):
            export(small, tmp_path / name)
        assert (tmp_path / name).read_text() == "mine"


@pytest.mark.parametrize("path", [".", "..", "/", ""])
def test_a_path_without_a_name_is_refused_at_once(path, small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="`path` must name a file, or a directory to make"):
        export(small, path)


def test_files_that_are_damaged_are_refused(small, tmp_path):
    for kind in ("onnx", "litert", "openvino"):
        path = export(small, tmp_path / FILES[kind][0])
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
        with pytest.raises(ValueError, match=f"{path.name} cannot be opened"):
            petseg.Runtime(path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty cannot be opened"):
        petseg.Runtime(tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"no exported model .*gone\.onnx"):
        petseg.Runtime(tmp_path / "gone.onnx")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"`path` must end in \.onnx, \.tflite, \.xml"):
        petseg.Runtime(tmp_path / "notes.txt")


def test_a_litert_file_keeps_its_record_in_a_zip_archive(small, tmp_path):
    path = export(small, tmp_path / "model.tflite")
    with zipfile.ZipFile(path) as files:
        assert files.namelist() == ["petseg.json"]


def without_record(path):
    """Takes the zip archive off a LiteRT file."""
    with zipfile.ZipFile(path) as files:
        offset = files.infolist()[0].header_offset
    path.write_bytes(path.read_bytes()[:offset])


def test_a_litert_file_of_another_package_has_numbers_for_class_names(small, tmp_path):
    path = export(small, tmp_path / "model.tflite")
    without_record(path)
    with zipfile.ZipFile(path, "a") as files:
        files.writestr("labels.txt", "cat")
    assert petseg.Runtime(path).class_names == ("0", "1", "2")
    with pytest.raises(ValueError, match=r"model\.tflite holds no model record"):
        petseg.model_info(path)


@pytest.mark.parametrize("record", ["[1]", "null", "{}", "{", '{"schema": 1, "class_names": 3}'])
def test_a_damaged_record_is_one_clear_error(record, small, tmp_path):
    path = export(small, tmp_path / "model.tflite")
    without_record(path)
    with zipfile.ZipFile(path, "a") as files:
        files.writestr("petseg.json", record)
    for read in (petseg.Runtime, petseg.model_info):
        with pytest.raises(ValueError, match=r"model\.tflite holds a damaged model record"):
            read(path)


@pytest.mark.parametrize("kind", ["onnx", "openvino", "saved_model"])
def test_a_damaged_record_is_refused_in_every_format(kind, small, tmp_path):
    path = export(small, tmp_path / FILES[kind][0])
    FORMATS[kind].write_record(path, "null")
    for read in (petseg.Runtime, petseg.model_info):
        with pytest.raises(ValueError, match=rf"{path.name} holds a damaged model record"):
            read(path)


def test_a_file_is_no_directory_of_a_saved_model(small, tmp_path):
    (tmp_path / "saved").touch()
    with pytest.raises(ValueError, match="`path` must not be a file for the format saved_model"):
        export(small, tmp_path / "saved")


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("model.pb", {}, r"`path` must end in \.onnx, .*model\.pb"),
        ("model.onnx", {"format": "keras"}, "`format` must be one of .*'keras'"),
        ("model.onnx", {"format": "litert"}, r"`path` must end in \.tflite for the format litert"),
        ("model.onnx", {"quantize": "int8"}, "`quantize` is available for LiteRT alone"),
        ("model.tflite", {"quantize": "int4"}, "`quantize` must be one of .*'int4'"),
        ("model.tflite", {"quantize": "int8"}, "`calibration` must be batches of images and"),
        ("model.tflite", {"calibration": []}, "`calibration` must hold at least one batch"),
        ("model.onnx", {"calibration": [photos(32, 32)[0]]}, r"`calibration` must be RGB \(N, H,"),
        (
            "model.onnx",
            {"calibration": [photos(32, 32) / 255]},
            r"`calibration` must lie in \[0, 255\].*Multiply it by 255",
        ),
        (
            "model.onnx",
            {"calibration": [photos(32, 32) * np.nan]},
            r"`calibration` must lie in \[0, 255\]\. Received: nan",
        ),
        (
            "model.onnx",
            {"calibration": [photos(32, 32), photos(32, 64)]},
            "`calibration` must hold batches of images of one size",
        ),
        (
            "model.onnx",
            {"calibration": [photos(16, 32)]},
            "`calibration` must hold images of at least 32 x 32 pixels",
        ),
        (
            "model.tflite",
            {"quantize": "int8", "calibration": [(photos(32, 32), np.full((2, 32, 32), 7))]},
            "Mask labels must lie in 0 to",
        ),
        ("taken", {}, r"`path` must be new, .*which holds thesis\.tex"),
        (
            "model.tflite",
            {"quantize": "int8", "calibration": []},
            "`calibration` must hold at least one batch",
        ),
        (
            "model.tflite",
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
        export("unet", tmp_path / "model.onnx")
