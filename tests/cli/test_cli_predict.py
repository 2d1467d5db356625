"""`petseg predict` on photos."""

import json
import os
import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg import ModelInfo
from petseg.data import draw_pet


def times(folder: Path) -> dict[str, int]:
    """When each file of a folder was changed."""
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.array(image)


def test_it_writes_the_mask_and_the_overlay(predict, photos, tmp_path, model_file):
    out = tmp_path / "out"
    code, told, err = predict(photos, "--out", out)
    assert (code, err) == (0, "")
    assert told.splitlines() == [
        *(
            f"{photos / name} -> {name[0]}_mask.png, {name[0]}_overlay.png"
            for name in ("a.png", "b.jpg", "c.png")
        ),
        f"Wrote 3 photos to {out}",
    ]
    import keras

    model = keras.models.load_model(model_file)
    image = pixels(photos / "a.png")
    mask = petseg.predict(model, image)
    np.testing.assert_array_equal(pixels(out / "a_mask.png"), mask)
    expected = petseg.overlay(image, mask, class_names=petseg.PET_CLASSES, legend=True)
    np.testing.assert_array_equal(pixels(out / "a_overlay.png"), expected)


def test_started_again_it_goes_on(predict, photos, tmp_path):
    out, shares = tmp_path / "masks", tmp_path / "new" / "shares.json"
    assert predict(photos, "--out", out)[0] == 0
    whole = times(out)
    assert len(whole) == 6
    (out / "b_mask.png").unlink()
    code, told, _ = predict(photos, "--out", out, "--json", shares)
    assert code == 0
    assert told.splitlines()[0] == f"Already in {out}: 2 photos"
    again = times(out)
    assert {name for name in whole if whole[name] != again[name]} == {"b_mask.png", "b_overlay.png"}
    found = json.loads(shares.read_text())
    assert list(found) == [str(photos / name) for name in ("a.png", "b.jpg", "c.png")]
    for by_class in found.values():
        assert list(by_class) == list(petseg.PET_CLASSES)
        assert sum(by_class.values()) == pytest.approx(1, abs=0.001)


@pytest.mark.parametrize("kind", ["mask", "overlay"])
@pytest.mark.parametrize("left", [0.5, 0.98, 100])
def test_a_cut_off_file_is_not_taken_as_done(predict, photos, tmp_path, kind, left):
    out = tmp_path / "out"
    assert predict(photos / "a.png", "--out", out)[0] == 0
    file = out / f"a_{kind}.png"
    whole = file.read_bytes()
    file.write_bytes(whole[: left if left > 1 else int(left * len(whole))])
    code, told, err = predict(photos / "a.png", "--out", out)
    assert (code, err) == (0, "")
    assert "Already" not in told
    assert file.read_bytes() == whole


def test_it_never_takes_what_it_wrote_for_photos(predict, photos, monkeypatch):
    monkeypatch.chdir(photos)
    (photos / "._a.png").write_bytes(b"what macOS puts beside files")
    assert predict(".")[0] == 0
    assert predict(".", "--out", ".")[0] == 0
    before = times(photos), times(photos / "predictions")
    code, told, _ = predict(".", "a.png", "--out", ".")
    assert (code, told) == (0, "Already in .: 3 photos\n")
    assert before == (times(photos), times(photos / "predictions"))
    assert predict("predictions")[::2] == (
        1,
        "petseg: There is no photo to predict: all images were written by petseg.\n",
    )


def test_a_file_of_the_user_is_never_replaced(predict, photos, tmp_path):
    own = photos / "a_mask.png"
    Image.new("L", (8, 8), 7).save(own)
    before = own.read_bytes()
    shares = tmp_path / "shares.json"
    code, _, err = predict(photos / "a.png", photos / "b.jpg", "--out", photos, "--json", shares)
    assert code == 1
    assert err == (
        f"petseg: {photos / 'a.png'}: {own} is in the way: petseg did not write it and does not "
        "replace it. Rename it, or choose another folder with --out.\n"
    )
    assert own.read_bytes() == before
    assert not (photos / "a_overlay.png").exists()
    assert (photos / "b_mask.png").exists()
    assert list(json.loads(shares.read_text())) == [str(photos / "b.jpg")]


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n\x1a\n", b"petseg" * 20])
def test_nor_one_that_is_no_image(predict, photos, tmp_path, content):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_overlay.png").write_bytes(content)
    assert predict(photos / "a.png", "--out", out)[0] == 1
    assert times(out).keys() == {"a_overlay.png"}
    assert (out / "a_overlay.png").read_bytes() == content


def test_nor_a_link_or_a_folder(predict, photos, tmp_path):
    out = tmp_path / "out"
    (out / "a_mask.png").mkdir(parents=True)
    (out / "b_mask.png").symlink_to(tmp_path / "nowhere")
    assert predict(photos / "a.png", photos / "b.jpg", "--out", out)[0] == 1
    assert times(tmp_path).keys() == {"out", "photos"}
    assert {path.name for path in out.iterdir()} == {"a_mask.png", "b_mask.png"}


def test_a_file_that_is_not_to_be_written_is_not_in_the_way(predict, photos, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "a_cutout.png").write_bytes(b"mine")
    assert predict(photos / "a.png", "--out", out)[0] == 0
    assert predict(photos / "a.png", "--out", out, "--cutout")[0] == 1
    assert (out / "a_cutout.png").read_bytes() == b"mine"


def test_no_picture_of_another_mask_stays(predict, photos, tmp_path):
    out = tmp_path / "out"
    assert predict(photos, "--out", out, "--cutout")[0] == 0
    (out / "b_cutout.png").write_bytes(b"mine")
    assert predict(photos, "--out", out, "--no-overlay", "--image-size", 32)[0] == 0
    left = {f"{name}_mask.png" for name in "abc"} | {"b_cutout.png"}
    assert {path.name for path in out.iterdir()} == left


def test_photos_of_the_same_name_keep_their_own_results(predict, photos, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(draw_pet(9)[0]).save(other / "a.png")
    out = tmp_path / "out"
    assert predict(photos / "a.png", "--out", out)[0] == 0
    first = times(out)
    code, told, _ = predict(other / "a.png", "--out", out)
    assert (code, told) == (0, f"{other / 'a.png'} -> a-2_mask.png, a-2_overlay.png\n")
    second = times(out)
    assert second == first | {name: second[name] for name in second if name.startswith("a-2")}
    assert pixels(out / "a-2_mask.png").shape == draw_pet(9)[0].shape[:2]
    # In any order, from any folder, each finds its own.
    code, told, _ = predict(other / "a.png", photos / "a.png", "--out", out)
    assert (code, told) == (0, f"Already in {out}: 2 photos\n")
    assert times(out) == second


def test_the_name_does_not_depend_on_the_working_directory(predict, photos, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(draw_pet(9)[0]).save(other / "a.png")
    for folder in (photos, other):
        monkeypatch.chdir(folder)
        assert predict("a.png", "--out", "../out")[0] == 0
    assert times(tmp_path / "out").keys() == {
        f"{name}_{kind}.png" for name in ("a", "a-2") for kind in ("mask", "overlay")
    }


def test_names_that_differ_only_in_case_or_suffix(predict, photos, tmp_path):
    for name in ("cat.png", "cat.jpg", "CAT.png"):
        (photos / name).write_bytes((photos / "a.png").read_bytes())
    out = tmp_path / "out"
    files = [photos / name for name in ("cat.png", "cat.jpg", "CAT.png")]
    assert predict(*files, "--no-overlay", "--out", out)[0] == 0
    assert times(out).keys() == {"cat_mask.png", "cat-2_mask.png", "CAT-3_mask.png"}


def test_one_that_fails_stops_no_other(predict, photos, tmp_path):
    long = photos / f"{'x' * 250}.png"  # there is no room for _overlay in its name
    (photos / "a.png").rename(long)
    (photos / "bad.jpg").write_bytes(b"no image")
    missing = tmp_path / "missing.jpg"
    out, shares = tmp_path / "out", tmp_path / "shares.json"
    code, _, err = predict(missing, photos, "--out", out, "--json", shares)
    assert code == 1
    lines = err.splitlines()
    assert len(lines) == 3
    assert lines[0] == f"petseg: There is no file {missing}."
    assert any(f"{photos / 'bad.jpg'} is not an image" in line for line in lines[1:])
    assert any(str(long) in line for line in lines[1:])
    assert times(out).keys() == {
        f"{name}_{kind}.png" for name in "bc" for kind in ("mask", "overlay")
    }
    assert len(json.loads(shares.read_text())) == 2


def test_pipes_sockets_and_devices_are_refused_by_name(predict, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket.png")
        code, out, err = predict("pipe.jpg", "socket.png", "/dev/zero")
    assert (code, out) == (1, "")
    assert err.splitlines() == [
        "petseg: pipe.jpg is a named pipe. Give a photo, a video or a folder.",
        "petseg: socket.png is a socket. Give a photo, a video or a folder.",
        "petseg: /dev/zero is a device. Give a photo, a video or a folder.",
    ]
    assert not (tmp_path / "predictions").exists()


def test_in_a_folder_they_are_left_out(predict, photos, tmp_path):
    os.mkfifo(photos / "pipe.jpg")
    (photos / "zz.jpg").mkdir()
    code, told, err = predict(photos, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert told.endswith("Wrote 3 photos to " + str(tmp_path / "out") + "\n")


def test_an_empty_folder_named_like_a_photo_is_refused_by_name(predict, tmp_path):
    folder = tmp_path / "zz.jpg"
    folder.mkdir()
    code, out, err = predict(folder, "--out", tmp_path / "out")
    assert (code, out) == (1, "")
    assert err.startswith(f"petseg: No image files in {folder}.")
    assert not (tmp_path / "out").exists()


def test_a_name_that_is_not_utf_8_stops_nothing(predict, photos, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(photos) + b"/caf\xe9.png"))
    (photos / "a.png").rename(odd)
    out, shares = tmp_path / "out", tmp_path / "shares.json"
    code, told, err = predict(photos, "--out", out, "--json", shares)
    assert (code, err) == (0, "")
    assert rf"{photos}/caf\xe9.png -> caf\xe9_mask.png, caf\xe9_overlay.png" in told
    assert list(json.loads(shares.read_text())) == [
        str(photos / "b.jpg"),
        str(photos / "c.png"),
        rf"{photos}/caf\xe9.png",
    ]
    names = {os.fsencode(path.name) for path in out.iterdir()}
    assert {b"caf\xe9_mask.png", b"caf\xe9_overlay.png"} < names
    assert predict(photos, "--out", out)[1] == f"Already in {out}: 3 photos\n"


def test_more_than_256_classes_are_16_bits(cli, photos, tmp_path, make_model):
    names = tuple(f"class {index}" for index in range(300))
    model = make_model(tmp_path / "model.keras", ModelInfo(names, image_size=(64, 64)))
    white = photos / "white.png"
    Image.new("RGB", (40, 50), "white").save(white)
    out, shares = tmp_path / "out", tmp_path / "shares.json"
    options = ("--no-overlay", "--model", model, "--out", out, "--json", shares)
    assert cli("predict", white, *options)[0] == 0
    mask = pixels(out / "white_mask.png")
    assert mask.dtype == np.uint16
    assert (mask == 299).all()
    found = json.loads(shares.read_text())
    assert found[str(white)]["class 299"] == 1
    # What is read back is the same.
    assert "Already" in cli("predict", white, *options)[1]
    assert json.loads(shares.read_text()) == found


@pytest.mark.parametrize("change", ["--tta", "--tile 64", "--image-size 96"])
def test_what_was_made_otherwise_is_made_again(predict, photos, tmp_path, change):
    out = tmp_path / "masks"
    assert predict(photos / "a.png", "--out", out)[0] == 0
    before = times(out)
    code, told, err = predict(photos / "a.png", "--out", out, *change.split())
    assert (code, err) == (0, "")
    assert "Already" not in told
    after = times(out)
    assert after.keys() == before.keys()
    assert after["a_mask.png"] != before["a_mask.png"]


def test_a_photo_that_was_changed_is_predicted_again(predict, photos, tmp_path):
    out = tmp_path / "masks"
    assert predict(photos / "a.png", "--out", out)[0] == 0
    os.utime(photos / "a.png", ns=(0, 0))  # older than its mask, as a restored copy is
    assert "Already" not in predict(photos / "a.png", "--out", out)[1]
    assert "Already" in predict(photos / "a.png", "--out", out)[1]


def test_another_model_predicts_again(cli, photos, tmp_path, make_model):
    out = tmp_path / "masks"
    info = ModelInfo(("background", "cat"), image_size=(64, 64))
    first = make_model(tmp_path / "first.keras", info)
    second = make_model(tmp_path / "second.keras", info.replace(image_size=(32, 32)))
    moved = tmp_path / "moved.keras"

    def told(model: Path) -> str:
        return cli("predict", photos / "a.png", "--model", model, "--out", out)[1]

    assert "Already" not in told(first)
    first.rename(moved)
    assert "Already" in told(moved)
    assert "Already" not in told(second)


def test_the_mask_cuts_out_the_pet(predict, photos, tmp_path):
    out = tmp_path / "masks"
    options = ("--cutout", "--edges", "hard", "--no-overlay")
    assert predict(photos / "a.png", "--out", out, *options)[0] == 0
    assert sorted(times(out)) == ["a_cutout.png", "a_mask.png"]
    cutout = pixels(out / "a_cutout.png")
    assert cutout.shape[2] == 4
    np.testing.assert_array_equal(cutout[..., 3] == 0, pixels(out / "a_mask.png") == 1)
    np.testing.assert_array_equal(cutout[..., :3], pixels(photos / "a.png"))


def test_a_run_without_cutouts_keeps_those_of_before(predict, photos, tmp_path):
    out = tmp_path / "masks"
    assert predict(photos / "a.png", "--out", out, "--cutout", "--crop")[0] == 0
    before = times(out)
    assert "Already" in predict(photos / "a.png", "--out", out)[1]
    assert "Already" in predict(photos / "a.png", "--out", out, "--cutout", "--crop")[1]
    assert times(out) == before
    assert "Already" not in predict(photos / "a.png", "--out", out, "--tta")[1]
    assert "a_cutout.png" not in times(out)  # it shows another mask


def test_a_cutout_may_be_shown_before_something(predict, photos, tmp_path):
    out = tmp_path / "masks"
    arguments = (photos / "a.png", "--out", out, "--cutout", "--edges", "hard", "--no-overlay")
    assert predict(*arguments, "--background", "#00ff00")[0] == 0
    before, mask = pixels(out / "a_cutout.png"), pixels(out / "a_mask.png")
    assert (before[mask == 1] == (0, 255, 0)).all()
    assert "Already" in predict(*arguments, "--background", "#00ff00")[1]
    assert "Already" not in predict(*arguments, "--background", photos / "b.jpg")[1]
    assert (pixels(out / "a_cutout.png")[mask == 1] != before[mask == 1]).any()
    assert "Already" in predict(*arguments, "--background", photos / "b.jpg")[1]
    assert "Already" not in predict(*arguments, "--crop")[1]
    rows, columns = np.nonzero(mask != 1)
    assert pixels(out / "a_cutout.png").shape == (np.ptp(rows) + 1, np.ptp(columns) + 1, 4)


def test_the_confidence_is_the_probability_of_the_class(predict, photos, tmp_path, model_file):
    import keras

    out, photo = tmp_path / "out", photos / "a.png"
    code, told, _ = predict(photo, "--out", out, "--confidence", "--no-overlay")
    assert code == 0
    assert told == f"{photo} -> a_mask.png, a_confidence.png\n"
    probabilities = petseg.predict(
        keras.models.load_model(model_file), photo, output="probabilities"
    )
    found = pixels(out / "a_confidence.png")
    assert found.dtype == np.uint8
    assert np.abs(found - 255 * probabilities.max(axis=-1)).max() <= 0.6
    told = predict(photo, "--out", out, "--confidence", "--no-overlay")[1]
    assert told == f"Already in {out}: 1 photo\n"


def test_without_a_background_there_is_no_cutout(cli, photos, tmp_path, make_model):
    model = make_model(tmp_path / "model.keras", ModelInfo(("cat", "sofa")))
    code, _, err = cli("predict", photos, "--model", model, "--out", tmp_path / "out", "--cutout")
    assert code == 1
    assert err.startswith("petseg: error: --cutout needs a class called background.")
    assert not (tmp_path / "out").exists()


def test_a_model_of_unknown_size_says_so_in_one_line(cli, photos, tmp_path, make_model):
    model = make_model(tmp_path / "model.keras", ModelInfo(("cat", "background")))
    arguments = ("predict", photos / "a.png", "--model", model, "--out", tmp_path / "out")
    _, _, err = cli(*arguments)
    assert err == (
        f"petseg: {model} does not say which image size it was trained at; photos are scaled to a "
        "shorter side of 224 pixels. Pass --image-size to set it.\n"
    )
    assert cli(*arguments, "--image-size", "64")[2] == ""
    assert cli(*arguments, "--tile", "64")[2] == ""


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ("photo.png --image-size 64 --tile 128", 2, "--tile: A tile of 128 pixels does not fit"),
        ("photo.png --image-size 16", 2, "--image-size: Both sides must be 32 or more"),
        ("photo.png --tile 8", 2, "--tile"),
        ("photo.png --edges matted --crop", 2, "--edges, --crop: It needs --cutout."),
        ("photo.png --background white", 2, "--background: It needs --cutout."),
        ("photo.png --cutout --background no.jpg", 2, "--background: It must be a colour such as"),
        ("photo.png --cutout --edges soft", 2, "--edges"),
        ("photo.png --json .", 2, "--json: . is a folder"),
        ("photo.png --json photo.png", 2, "--json: It must end in .json. Received: photo.png."),
        ("photo.png --json photo.png/x.json", 2, "photo.png is not a folder"),
        ("photo.png --out photo.png", 2, "--out: photo.png is not a folder"),
        ("clip.mp4 --cutout", 2, "--cutout: It is for photos"),
        ("clip.mp4 --no-overlay --json x.json", 2, "--no-overlay, --json: It is for photos"),
        ("photo.png --model nothing.keras", 1, "petseg: error: There is no model file nothing"),
        ("photo.png --model clip.mp4", 1, "petseg: error: A model must be a file that ends in .k"),
        ("photo.png --model pipe.keras", 1, "petseg: error: pipe.keras is not a regular file."),
        ("photo.png --model run", 1, "petseg: error: run/model.keras is not a file that `keras"),
        ("photo.png --model bad.keras", 1, "petseg: error: bad.keras is not a file that `keras"),
        ("nothing.jpg", 1, "petseg: There is no file nothing.jpg."),
        ("photo.png --scales 1,1000", 1, "--scales must lie between 0.25 and 4. Received: 1,"),
        ("photo.png --cutout --background #ff880080", 2, "--background: It must be a colour"),
    ],
)
def test_a_mistake_is_answered_before_any_work(cli, tmp_path, monkeypatch, args, code, message):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 40)).save("photo.png")
    Path("clip.mp4").write_bytes(b"no video")
    Path("bad.keras").write_bytes(b"no model")
    Path("run").mkdir()
    Path("run/model.keras").touch()
    os.mkfifo("pipe.keras")
    before = times(tmp_path).keys()
    got, out, err = cli("predict", *args.split())
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err
    assert times(tmp_path).keys() == before


def four_channel_model():
    return petseg.fcn32(
        2, backbone="mobilenetv3small", weights=None, image_shape=(None, None, 4), decoder_filters=8
    )


@pytest.mark.parametrize("suffix", [".keras", ".onnx"])
def test_a_folder_of_arrays_is_predicted_by_a_model_of_their_channels(suffix, cli, tmp_path):
    model = four_channel_model()
    path = tmp_path / f"model{suffix}"
    model.save(path) if suffix == ".keras" else petseg.export(model, path)
    bands = np.random.default_rng(0).integers(0, 256, (40, 64, 4), "uint8")
    (tmp_path / "fields").mkdir()
    np.save(tmp_path / "fields" / "north.npy", bands)
    code, told, _ = cli("predict", tmp_path / "fields", "--model", path, "--out", tmp_path / "out")
    assert code == 0, told
    mask = petseg.predict(model, bands)
    np.testing.assert_array_equal(pixels(tmp_path / "out" / "north_mask.png"), mask)


def test_a_folder_without_arrays_or_images_says_what_was_looked_for(cli, tmp_path):
    model = four_channel_model()
    model.save(tmp_path / "model.keras")
    (tmp_path / "fields").mkdir()
    code, _, err = cli("predict", tmp_path / "fields", "--model", tmp_path / "model.keras")
    assert code == 1
    assert "Looked for .bmp, .gif, .jpeg, .jpg, .npy, .png" in err


@pytest.mark.parametrize("suffix", [".keras", ".onnx"])
def test_a_damaged_model_is_named_before_the_folder(suffix, cli, tmp_path):
    path = tmp_path / f"model{suffix}"
    path.write_bytes(b"damaged")
    (tmp_path / "fields").mkdir()
    np.save(tmp_path / "fields" / "north.npy", np.zeros((40, 64, 4), "uint8"))
    code, _, err = cli("predict", tmp_path / "fields", "--model", path)
    assert code == 1
    assert f"model{suffix}" in err
    assert "No image files" not in err


def test_arrays_in_a_folder_are_not_for_rgb(predict, tmp_path):
    np.save(tmp_path / "north.npy", np.zeros((40, 64, 4), "uint8"))
    code, _, err = predict(tmp_path)
    assert code == 1
    assert ".npy files in folders are for models of other channels than RGB" in err
