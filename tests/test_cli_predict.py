"""`petseg predict` and `petseg export`, on drawn pets, with the U-Net that comes with petseg."""

import json
import os
from fractions import Fraction

import keras
import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.data import draw_pet
from petseg.pretrained import read_card


@pytest.fixture
def photos(tmp_path):
    """Three photos of different sizes."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed, name in enumerate(("a.png", "b.jpg", "c.png")):
        image, _ = draw_pet(seed)
        Image.fromarray(image).save(folder / name)
    return folder


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def test_started_again_it_goes_on(cli, photos, tmp_path):
    out, shares = tmp_path / "masks", tmp_path / "shares.json"
    assert cli("predict", photos, "--out", out)[0] == 0
    whole = times(out)
    assert len(whole) == 6
    (out / "b_mask.png").unlink()
    (out / "c_mask.png").write_bytes((out / "c_mask.png").read_bytes()[:100])
    code, told, _ = cli("predict", photos, "--out", out, "--json", shares)
    assert code == 0
    assert told.startswith(f"Already in {out}: 1 of 3 photos.\n")
    again = times(out)
    assert {name for name in whole if whole[name] == again[name]} == {"a_mask.png", "a_overlay.png"}
    found = json.loads(shares.read_text())
    assert list(found) == [str(photos / name) for name in ("a.png", "b.jpg", "c.png")]
    for name, by_class in found.items():
        assert list(by_class) == list(petseg.PET_CLASSES)
        assert sum(by_class.values()) == pytest.approx(1, abs=0.001), name


def test_it_never_takes_what_it_wrote_for_photos(cli, photos, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "._a.png").write_bytes(b"what macOS puts beside files")
    assert cli("predict", ".")[0] == 0
    assert cli("predict", ".", "--out", ".")[0] == 0
    before = times(photos), times(photos / "predictions")
    code, told, _ = cli("predict", ".", "a.png", "--out", ".")
    assert (code, told) == (0, "Already in .: 3 of 3 photos.\n")
    assert before == (times(photos), times(photos / "predictions"))


def test_pictures_of_another_model_are_made_anew(cli, photos, tmp_path):
    out = tmp_path / "masks"
    assert cli("predict", photos / "a.png", "--out", out)[0] == 0
    before = times(out)["a_overlay.png"]
    only = ("--no-overlay", "--tta")
    assert cli("predict", photos / "a.png", "--out", out, *only)[0] == 0
    assert times(out)["a_overlay.png"] == before
    assert cli("predict", photos / "a.png", "--out", out, "--tta")[0] == 0
    assert times(out)["a_overlay.png"] != before


def test_one_that_fails_stops_no_other(cli, photos, tmp_path):
    pytest.importorskip("av")
    long = photos / f"{'x' * 240}.png"  # which has no room for _overlay
    (photos / "a.png").rename(long)
    broken, out = tmp_path / "a.mp4", tmp_path / "out"
    broken.write_bytes(b"no video")
    shares = tmp_path / "shares.json"
    code, _, err = cli("predict", broken, photos, "--out", out, "--json", shares)
    assert code == 1
    assert f"{broken}: {broken} cannot be read as a video" in err
    assert f"{long}: " in err
    assert {path.name for path in out.iterdir()} == {
        f"{name}_{kind}.png" for name in "bc" for kind in ("mask", "overlay")
    }
    assert len(json.loads(shares.read_text())) == 2


def test_without_a_background_there_is_no_cutout(cli, photos, tmp_path):
    keras.utils.set_random_seed(0)
    model = petseg.unet(backbone="mobilenet", weights=None, class_names=("cat", "sofa", "floor"))
    model.save(tmp_path / "model.keras")
    options = ("--model", tmp_path / "model.keras", "--out", tmp_path / "out", "--cutout")
    code, _, err = cli("predict", photos, *options)
    assert code == 1
    assert "needs a class called background" in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("change", ["--tta", "--tile 64", "--image-size 96", "photo"])
def test_what_was_made_otherwise_is_made_anew(cli, photos, tmp_path, change):
    out = tmp_path / "masks"
    assert cli("predict", photos / "a.png", "--out", out)[0] == 0
    before = times(out)
    if change == "photo":
        later = before["a_mask.png"] + 1_000_000_000
        os.utime(photos / "a.png", ns=(later, later))
        change = ""
    assert cli("predict", photos / "a.png", "--out", out, *change.split())[0] == 0
    assert times(out)["a_mask.png"] != before["a_mask.png"]


def test_the_mask_cuts_out_the_pet(cli, photos, tmp_path):
    out = tmp_path / "masks"
    code, _, _ = cli("predict", photos / "a.png", "--out", out, "--cutout", "--no-overlay")
    assert code == 0
    assert sorted(times(out)) == ["a_cutout.png", "a_mask.png"]
    with Image.open(out / "a_mask.png") as picture:
        mask = np.array(picture)
    with Image.open(out / "a_cutout.png") as picture:
        assert picture.mode == "RGBA"
        assert ((np.array(picture)[..., 3] == 0) == (mask == 1)).all()


def test_an_export_predicts_as_its_model(cli, photos, tmp_path):
    network = tmp_path / "unet.onnx"
    code, told, _ = cli("export", network)
    assert (code, told) == (0, f"Written and checked: {network}\n")
    assert cli("predict", photos, "--out", tmp_path / "a", "--image-size", "96x160")[0] == 0
    # As it lies beside an export of a trained model.
    (tmp_path / "settings.json").write_text('{"image_size": [96, 160]}')
    assert cli("predict", photos, "--out", tmp_path / "b", "--model", network)[0] == 0
    for name in ("a_mask.png", "b_mask.png", "c_mask.png"):
        masks = [np.asarray(Image.open(tmp_path / folder / name)) for folder in "ab"]
        assert (masks[0] != masks[1]).mean() < 0.001


def test_int8_is_calibrated_on_the_data(cli, tmp_path):
    images = keras.Input((None, None, 3))
    bright_or_dark = keras.layers.Conv2D(3, 1)
    model = keras.Model(images, bright_or_dark(keras.layers.Rescaling(1 / 127.5, -1)(images)))
    bright_or_dark.set_weights([np.array([[[[2, -2, 0]] * 3]], "float32"), np.zeros(3, "float32")])
    model.save(tmp_path / "model.keras")
    network = tmp_path / "network.tflite"
    arguments = ("--quantize", "int8", "--data", "synthetic", "--image-size", "64x96")
    code, _, err = cli("export", network, "--model", tmp_path / "model.keras", *arguments)
    assert code == 0, err
    assert petseg.Runtime(network).input_size == (64, 96)


def test_a_video_gets_its_masks_laid_over(cli, photos_and_masks, tmp_path):
    av = pytest.importorskip("av")
    clip = tmp_path / "clip.mp4"
    image = photos_and_masks[0][3]
    with av.open(str(clip), "w") as written:
        stream = written.add_stream("libx264", rate=10)
        stream.height, stream.width = image.shape[:2]
        stream.codec_context.time_base = Fraction(1, 1000)
        for milliseconds in (0, 33, 66, 100, 400, 500, 600):  # as phones record
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            written.mux(stream.encode(frame))
        written.mux(stream.encode())
    code, told, _ = cli("predict", clip, "--out", tmp_path / "out")
    assert code == 0
    overlaid = tmp_path / "out" / "clip_overlay.mp4"
    assert told == f"{clip} -> {overlaid}\n"
    with av.open(str(overlaid)) as read:
        decoded = list(read.decode(video=0))
    assert [round(1000 * frame.time) for frame in decoded] == [0, 33, 66, 100, 400, 500, 600]
    frames = [frame.to_ndarray(format="rgb24") for frame in decoded]
    size = tuple(read_card("unet")["image_size"])
    mask = petseg.predict(petseg.unet(weights="pets"), image, image_size=size)
    expected = petseg.overlay(image, mask, legend=petseg.PET_CLASSES)
    # Compressed, a frame is still much nearer to the overlay than to what was there before.
    wanted, before = (
        np.abs(frames[0] - picture.astype(float)).mean() for picture in (expected, image)
    )
    assert wanted < before / 4


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ("predict clip.mp4", "clip.mp4 cannot be read as a video"),
        ("export unet.pb", "petseg: error: `format` must be one of"),
        ("export unet.onnx --quantize int8 --data synthetic", "`quantize` is for LiteRT"),
        ("predict photo.png --model clip.mp4", "`path` must be a file .onnx, .tflite, .xml"),
    ],
)
def test_a_mistake_is_answered_in_one_line(cli, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    code, _, err = cli(*args.split())
    assert code == 1
    assert message in err
    assert err.count("\n") == 1
