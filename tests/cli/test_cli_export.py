"""`petseg export`."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.data import draw_pet


def test_an_export_predicts_as_its_model(cli, model_file, photos, tmp_path):
    out = tmp_path / "new" / "small.onnx"
    code, told, err = cli("export", out, "--model", model_file)
    assert (code, err) == (0, "")
    assert told.splitlines() == [
        f"Wrote {out} (0.0 MB)",
        f"Checked against {model_file}: its logits on synthetic pets",
    ]
    for model in (model_file, out):
        folder = tmp_path / model.suffix
        assert cli("predict", photos, "--model", model, "--out", folder)[0] == 0
    for name in "abc":
        masks = [
            np.asarray(Image.open(tmp_path / suffix / f"{name}_mask.png"))
            for suffix in (".keras", ".onnx")
        ]
        assert (masks[0] != masks[1]).mean() < 0.001


def test_the_pretrained_model_is_the_default(cli, tmp_path):
    out = tmp_path / "unet.onnx"
    code, told, err = cli("export", out)
    assert (code, err) == (0, "")
    assert "Checked against unet-efficientnetlite0: " in told
    assert petseg.model_info(out) == petseg.model_info(petseg.unet(weights="pets"))


def test_int8_is_calibrated_on_the_data(cli, model_file, tmp_path):
    out = tmp_path / "small.tflite"
    options = ("--quantize", "int8", "--data", "synthetic")
    code, told, err = cli("export", out, "--model", model_file, *options, "--image-size", "64x96")
    assert (code, err) == (0, "")
    assert "its mean IoU on synthetic at 64 x 96 pixels" in told
    assert petseg.Runtime(out).input_size == (64, 96)
    photo = tmp_path / "photo.png"
    Image.fromarray(draw_pet(0)[0]).save(photo)
    predict = ("predict", photo, "--model", out, "--out", tmp_path / "out")
    assert cli(*predict)[0] == 0
    code, _, err = cli(*predict, "--image-size", "96")
    assert code == 2
    assert f"--image-size: {out} takes images of 64x96 only" in err


def test_int8_needs_data_of_the_same_classes(cli, model_file, tmp_path):
    out = tmp_path / "small.tflite"
    options = ("--quantize", "int8", "--data", "synthetic", "--binary", "--image-size", "64")
    code, _, err = cli("export", out, "--model", model_file, *options)
    assert code == 1
    assert f"The dataset must have the classes of {model_file}: pet, background, border." in err
    assert not out.exists()


def test_classes_are_what_is_checked_with_argmax(cli, model_file, tmp_path):
    _, told, _ = cli("export", tmp_path / "a.onnx", "--model", model_file, "--argmax")
    assert "its classes on synthetic pets" in told


def test_a_saved_model_may_be_replaced_but_nothing_else(cli, model_file, tmp_path):
    out = tmp_path / "saved"
    export = ("export", out, "--model", model_file)
    assert cli(*export)[0] == 0
    assert cli(*export)[0] == 0
    (out / "notes.txt").write_text("mine")
    before = {path.name for path in out.iterdir()}
    code, told, err = cli(*export)
    assert (code, told) == (1, "")
    assert f"Received: '{out}', which holds notes.txt." in err
    assert {path.name for path in out.iterdir()} == before


def test_a_server_gets_the_next_version(cli, model_file, photos, tmp_path):
    folder = tmp_path / "models" / "small"
    for version in ("1", "2"):
        out = folder / version / "model.onnx"
        code, told, err = cli("export", folder, "--model", model_file, "--serving", "triton")
        assert (code, err) == (0, "")
        assert told.splitlines() == [
            f"Wrote {out} (0.0 MB)",
            f"Checked against {model_file}: its logits on synthetic pets",
        ]
    assert {path.name for path in folder.iterdir()} == {"config.pbtxt", "1", "2"}
    assert cli("predict", photos, "--model", out, "--out", tmp_path / "masks")[0] == 0


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (".", 1, "Received: '.', the current directory or one above it."),
        ("..", 1, "the current directory or one above it."),
        ("full", 1, "Received: 'full', which holds photo.png."),
        ("file", 1, "OUT must not be a file for the format saved_model. Received: 'file'."),
        ("folder.onnx", 1, "OUT must not be a directory for the format onnx."),
        ("other.onnx", 1, "OUT must be new, or an earlier export, which is replaced."),
        ("file/x.onnx", 1, "file is a file."),
        ("unet.pb", 1, "OUT must end in .onnx, .tflite, .xml, or be the directory of a SavedModel"),
        ("unet.onnx --quantize int8", 2, "--quantize: It is for LiteRT: OUT must end in .tflite."),
        ("saved --quantize float16", 2, "--quantize: It is for LiteRT"),
        ("unet.tflite --quantize int4", 2, "--quantize"),
        ("unet --serving torch", 2, "--serving"),
        (". --serving triton", 1, "Received: '.', the current directory or one above it."),
        ("unet.onnx --serving triton", 1, "OUT must be the folder of the model where --serving is"),
        ("file --serving tensorflow", 1, "Received: 'file', which is a file."),
        ("file/unet --serving tensorflow", 1, "file is a file."),
        ("full --serving tensorflow", 1, "OUT must be new, or hold versions of a model that"),
        ("unet --serving triton --quantize int8", 2, "--quantize: It is for LiteRT"),
        ("unet.onnx --data synthetic", 2, "--data: It applies with --quantize int8 only."),
        ("unet.onnx --data-dir full", 2, "--data-dir: It applies with --quantize int8 only."),
        (
            "unet.tflite --quantize float16 --binary --image-size 64 --classes a,b",
            2,
            "--classes, --binary, --image-size: It applies with --quantize int8 only.",
        ),
        ("unet.tflite --quantize int8 --classes a,b", 2, "--classes: --data pets has its own"),
        ("unet.onnx --model nothing.keras", 1, "There is no model file nothing.keras."),
        ("unet.onnx --model file", 1, "A model must be a file that ends in .keras"),
        ("unet.onnx --model other.onnx", 2, "--model: It must be a pretrained model, a .keras"),
        (
            "unet.onnx --model resnet",
            1,
            "There is no model file resnet, and no pretrained model of that name. `petseg models` "
            "lists",
        ),
    ],
)
def test_a_mistake_is_answered_before_any_work(cli, tmp_path, monkeypatch, args, code, message):
    monkeypatch.chdir(tmp_path)
    # The package has the function under the name of the module.
    module = sys.modules["petseg_cli.export"]
    for name in ("load_keras_model", "announce_download"):
        monkeypatch.setattr(module, name, lambda _argument: pytest.fail("work was done"))
    Path("full").mkdir()
    Path("full/photo.png").touch()
    Path("folder.onnx").mkdir()
    Path("file").touch()
    Path("other.onnx").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    got, out, err = cli("export", *args.split())
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_to_is_refused(cli, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_args: False)  # root may write everywhere
    code, _, err = cli("export", tmp_path / "unet.onnx")
    refused = f"petseg: error: {tmp_path} cannot be written to. Choose another OUT.\n"
    assert (code, err) == (1, refused)
