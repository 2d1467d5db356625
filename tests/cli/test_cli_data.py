"""`petseg data`, and the options that say where data comes from."""

import json
import warnings

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.data.shard_writer import FORMATS
from petseg.data.source import DataSource
from petseg_cli.data_source import announce_download, data_source
from petseg_cli.shards import ShardFormat

CLASSES = "pet, background, border"


CAMVID = tuple("sky building pole road pavement tree sign fence car pedestrian bicyclist".split())


def write_camvid(root, *, count=2, masks="{}annot", ending="", colours=False):
    """11 classes and void, each a twelfth of every mask, in the folders of SegNet or of Kaggle."""
    labels = np.tile(np.arange(12, dtype=np.uint8).repeat(4), (36, 1))
    table = np.array([(20 * label, 10, 20) for label in range(12)], np.uint8)
    for split in ("train", "val", "test"):
        for folder in (root / split, root / masks.format(split)):
            folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            Image.new("RGB", (48, 36)).save(root / split / f"{number}.png")
            mask = Image.fromarray(table[labels] if colours else labels)
            mask.save(root / masks.format(split) / f"{number}{ending}.png")
    if colours:
        rows = zip((*CAMVID, "Void"), table.tolist(), strict=True)
        lines = [f"{name},{red},{green},{blue}" for name, (red, green, blue) in rows]
        (root / "class_dict.csv").write_text("\n".join(["name,r,g,b", *lines]) + "\n")


def rows_of(out: str) -> dict[str, list[str]]:
    """The cells of a printed table by row, where these are figures without spaces."""
    cells = [line.split() for line in out.splitlines() if line.split()]
    return {" ".join(row[:-3]): row[-3:] for row in cells}


def test_data_counts_and_draws(cli, tmp_path):
    sheet = tmp_path / "new" / "sheet.png"
    code, out, _ = cli("data", "--source", "synthetic", "--sheet", sheet)
    rows = rows_of(out)
    assert code == 0
    assert rows["examples"] == ["68", "14", "14"]
    shares = [rows[f"{name}, pixels"][0] for name in petseg.PET_CLASSES]
    assert sum(float(share.rstrip("%")) for share in shares) == pytest.approx(100, abs=0.2)
    assert "unlabelled, pixels" not in rows
    assert max(map(len, out.splitlines()[:-1])) <= 80
    with Image.open(sheet) as image:
        assert image.width > image.height > 100


def test_augmented_examples_are_drawn(cli, own_folder, tmp_path):
    options = ("--data", own_folder, "--classes", CLASSES)
    sheets = {name: tmp_path / f"{name}.png" for name in ("none", "light", "strong")}
    for name, sheet in sheets.items():
        code, out, _ = cli("data", *options, "--augmented", sheet, "--augment", name)
        assert code == 0
        assert out.endswith(f"Wrote {sheet}\n")
    cli("data", *options, "--sheet", tmp_path / "sheet.png", "--augmented", sheets["light"])
    images = [np.asarray(Image.open(sheet)) for sheet in (*sheets.values(), tmp_path / "sheet.png")]
    assert len({image.tobytes() for image in images}) == 3
    np.testing.assert_array_equal(images[0], images[3])


@pytest.mark.parametrize(
    "name",
    ["own/train/images/0.png", "own/val/masks/new.png", "own/sheet.png", "linked/0.png", "l.png"],
)
def test_a_sheet_in_the_dataset_is_refused(cli, own_folder, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (own_folder / "test" / "images").rename(tmp_path / "linked")
    (own_folder / "test" / "images").symlink_to(tmp_path / "linked")
    (tmp_path / "l.png").symlink_to(own_folder / "train" / "masks" / "1.png")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    code, out, err = cli("data", "--data", "own", "--classes", CLASSES, "--sheet", name)
    assert (code, out) == (2, "")
    assert f"--sheet: {name} is inside the dataset own. Choose a file outside." in err
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.png")} == before


@pytest.mark.filterwarnings("default")  # the library warns of so many
def test_unlabelled_pixels_are_a_row(cli, own_folder):
    mask = own_folder / "train" / "masks" / "0.png"
    with Image.open(mask) as image:
        Image.new("L", image.size, 255).save(mask)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        code, out, err = cli("data", "--data", own_folder, "--classes", CLASSES)
    rows = rows_of(out)
    assert code == 0
    assert err.startswith("petseg: warning: ")
    assert "unlabelled" in err
    train = [float(rows[f"{name}, pixels"][0].rstrip("%")) for name in petseg.PET_CLASSES]
    unlabelled = float(rows["unlabelled, pixels"][0].rstrip("%"))
    assert sum(train) + unlabelled == pytest.approx(100, abs=0.3)
    assert unlabelled > 20
    assert rows["unlabelled, pixels"][1:] == ["0.0%", "0.0%"]


def test_verify_lists_every_invalid_file(cli, own_folder):
    verify = ("data", "--source", own_folder, "--classes", CLASSES, "--verify")
    assert cli(*verify)[:2] == (0, "No problems found.\n")
    (own_folder / "val" / "masks" / "0.png").unlink()
    (own_folder / "train" / "images" / "1.png").write_bytes(b"no image")
    code, out, _ = cli(*verify)
    assert code == 1
    assert str(own_folder / "val" / "images" / "0.png") in out
    assert str(own_folder / "train" / "images" / "1.png") in out
    assert out.endswith("Found 2 errors and 0 warnings.\n")
    (own_folder / "val" / "images" / "0.png").unlink()
    assert cli(*verify)[1].endswith("Found 1 error and 0 warnings.\n")


def test_verify_lists_by_name_and_each_remedy_once(cli, own_folder):
    masks = [own_folder / split / "masks" / "0.png" for split in ("test", "train", "val")]
    for path in masks:
        with Image.open(path) as image:
            size = image.size
        Image.new("RGB", size, (255, 0, 0)).save(path)
    code, out, _ = cli("data", "--data", own_folder, "--classes", CLASSES, "--verify")
    fault = (
        "must hold one integer per pixel, as grey values or palette indices. "
        "Received: an image of mode RGB with the colours (255, 0, 0)"
    )
    lines = out.splitlines()
    assert code == 1
    assert lines[:3] == [f"{path}: unreadable: {fault}" for path in masks]
    remedies = [line for line in lines if line.startswith("unreadable: ")]
    assert len(remedies) == 1
    assert remedies[0].startswith("unreadable: If the colours stand for classes, pass a table of ")
    assert "as --labels, such as a file classes.csv with the columns name, r, g and b" in out
    assert f"{own_folder}: unknown: colour (255, 0, 0) is in 100.0% of the pixels of 3 masks" in out


def test_verify_divides_messages_of_pillow_from_the_remedy(cli, own_folder):
    image = own_folder / "train" / "images" / "0.png"
    image.write_bytes(image.read_bytes()[:200])
    out = cli("data", "--data", own_folder, "--classes", CLASSES, "--verify")[1]
    assert out.count("Replace the file") == 1
    assert "unreadable: Replace the file or remove it." in out.splitlines()


def test_verify_explains_masks_of_0_and_255(cli, own_folder):
    for path in own_folder.rglob("masks/*.png"):
        with Image.open(path) as image:
            mask = np.where(np.asarray(image) == 1, 0, 255).astype(np.uint8)
        Image.fromarray(mask).save(path)
    code, out, _ = cli("data", "--data", own_folder, "--classes", "background,pet", "--verify")
    assert code == 1
    assert "absent" in out
    (remedy,) = (line for line in out.splitlines() if "If 255 marks" in line)
    assert remedy.endswith('class 1 "pet", pass --labels 0=background,255=pet.')
    assert out.endswith("warnings.\n")
    # The remedy works as it is written.
    labels = remedy.rstrip(".").rsplit(" ", 1)[1]
    code, out, _ = cli("data", "--data", own_folder, "--labels", labels, "--verify")
    assert (code, out) == (0, "No problems found.\n")


def test_verify_lists_ten_masks_with_wrong_labels(cli, tmp_path):
    write_camvid(tmp_path, count=5)
    verify = ("data", "--data", tmp_path, "--classes", ",".join(CAMVID), "--verify")
    code, out, err = cli(*verify)
    assert code == 1
    assert err == f"petseg: Reading {tmp_path}. Images: train, masks: trainannot.\n"
    listed = [line for line in out.splitlines() if line.startswith(f"{tmp_path}/")]
    assert len(listed) == 10
    assert "and 5 more mislabelled masks like these" in out.splitlines()
    assert "label 11 is in 8.3% of the pixels of 15 masks (2,160 pixels, 15 masks) and is no" in out
    assert out.count("If 11 means no class, pass --ignore-class 11. Otherwise name every") == 1
    assert cli(*verify, "--ignore-class", "11")[:2] == (0, "No problems found.\n")


def test_a_folder_with_colours(cli, tmp_path):
    """As CamVid comes from Kaggle: one command to verify, without any option."""
    write_camvid(tmp_path, masks="{}_labels", ending="_L", colours=True)
    code, out, err = cli("data", "--data", tmp_path, "--verify")
    assert (code, out) == (0, "No problems found.\n")
    assert f"Classes: {', '.join(CAMVID)}, from {tmp_path / 'class_dict.csv'}." in err
    code, out, _ = cli("data", "--data", tmp_path)
    rows = rows_of(out)
    assert code == 0
    assert [row for row in rows if row.endswith("pixels")][:11] == [f"{n}, pixels" for n in CAMVID]
    assert rows["unlabelled, pixels"] == ["8.3%", "8.3%", "8.3%"]
    (tmp_path / "class_dict.csv").write_text("name,r,g,b\nsky,0,10,20\nroad,20,10,20\n")
    code, out, _ = cli("data", "--data", tmp_path, "--verify")
    assert code == 1
    assert "colour (40, 10, 20) is in 8.3% of the pixels of 6 masks" in out
    assert "class_dict.csv with the name of its class, or without a name where it means" in out


def test_one_command_trains_on_camvid(cli, tmp_path):
    write_camvid(tmp_path / "camvid")
    options = ("--classes", ",".join(CAMVID), "--ignore-class", "11", "--data", tmp_path / "camvid")
    out = tmp_path / "run"
    small = ("--image-size", "32", "--backbone", "mobilenet", "--weights", "none")
    epochs = ("--frozen-epochs", "0", "--epochs", "1", "--class-weights", "balanced")
    code, text, err = cli("train", "unet", *options, *small, *epochs, "--out", out)
    assert code == 0, err
    info = petseg.model_info(out / "model.keras")
    assert (info.class_names, info.ignore_class) == (CAMVID, 11)
    settings = json.loads((out / "result.json").read_text())["settings"]
    assert settings["ignore_class"] == 11
    assert settings["class_weights"] == "balanced"
    assert "labels" not in settings
    code, text, err = cli("evaluate", out, *options)
    assert code == 0, err
    assert "mean IoU" in text


def test_convert(cli, tmp_path):
    shape = {"label": "car", "points": [[2, 2], [20, 2], [20, 20]], "shape_type": "polygon"}
    for number in range(40):
        Image.new("RGB", (30, 24)).save(tmp_path / f"{number}.png")
        record = {"shapes": [shape], "imagePath": f"{number}.png"}
        (tmp_path / f"{number}.json").write_text(json.dumps(record))
    code, out, err = cli("data", "convert", tmp_path, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert f"Wrote {tmp_path}/out: 40 images, their masks, and classes.csv" in out
    code, out, err = cli("data", "--data", tmp_path / "out", "--verify")
    assert (code, out) == (0, "No problems found.\n"), err
    code, out, err = cli("data", "convert", tmp_path, "--out", tmp_path / "out")
    assert (code, out) == (1, "")
    assert "petseg: error: --out must be a new or an empty folder" in err
    code, out, err = cli("data", "convert", tmp_path / "nothing", "--out", tmp_path / "new")
    assert "petseg: error: SOURCE must be a COCO JSON file" in err


@pytest.mark.parametrize("kind", [each.value for each in ShardFormat])
def test_shards(cli, own_folder, tmp_path, kind):
    out = tmp_path / "shards"
    arguments = ("data", "shards", own_folder, "--out", out, "--classes", "animal,ground,outline")
    assert cli(*arguments, "--format", kind, "--size", 1) == (
        0,
        f"Wrote {out}: 6 images and masks in 6 shards\n",
        "",
    )
    assert (out / f"train-000001.{kind}").is_file()
    code, text, err = cli("data", "--data", out)
    assert code == 0, err
    assert "animal, pixels" in text
    code, _, err = cli("data", "--data", out, "--verify")
    assert code == 1
    assert "petseg: error: --data must be a folder of images and masks" in err
    code, _, err = cli(*arguments)
    assert code == 1
    assert "petseg: error: --out must be a new or an empty folder" in err
    code, _, err = cli("data", "shards", "pets", "--out", out)
    assert code == 2
    assert "It must be a folder of images and masks. Received: pets." in " ".join(err.split())
    code, _, err = cli("data", "shards", own_folder, "--out", out)
    assert code == 2
    assert "--classes: It is needed with" in err


def test_formats_of_shards_are_those_of_the_writer():
    assert tuple(each.value for each in ShardFormat) == FORMATS


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ("data --data synthetic --classes a,b", 2, "--classes: --data synthetic has its own"),
        ("data --classes a,b", 2, "--classes: --data pets has its own classes"),
        ("data --data synthetic --data-dir .", 2, "--data-dir: It is for --data pets"),
        ("data --verify --sheet x.png", 2, "--sheet: It does not apply with --verify"),
        ("data --verify --augmented x.png", 2, "--augmented: It does not apply with --verify"),
        ("data --data synthetic --channels 0", 2, "--channels"),
        ("data --data synthetic --channels 4", 1, '--channels must be 3 with the data "synthetic"'),
        ("data --data . --classes a,a", 2, "'a,a' is not two or more different names"),
        ("data --data . --classes a", 2, "'a' is not two or more different names"),
        ("data --data synthetic --sheet .", 2, "--sheet: . is a folder"),
        ("data --data petz", 1, "petseg: error: --data must be pets, synthetic or a folder."),
        ("data --data petz", 1, "Did you mean pets?"),
        ("data --data .", 2, "--classes: It is needed with --data ."),
        ("data --ignore-class x", 2, "'x' is not a label such as 255, or none."),
        ("data --labels 0=a,b=1", 2, "'0=a,b=1' is not a table such as 0=road,7=car,11="),
        ("data --ignore-class none", 1, '--ignore-class must be 255 with the data "pets"'),
        ("data --data . --labels a.csv", 1, "--labels must be a CSV or JSON file. Received: a.csv"),
        ("data --data . --classes a,b --masks x", 1, "--images and --masks must be the names"),
    ],
)
def test_a_mistake_is_answered_in_words(cli, tmp_path, monkeypatch, args, code, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    got, out, err = cli(*args.split())
    assert (got, out) == (code, "")
    assert message in err
    assert "Traceback" not in err


def test_binary_is_refused_with_classes(cli, tmp_path):
    code, _, err = cli("evaluate", "--data", tmp_path, "--classes", "a,b", "--binary")
    assert code == 2
    assert "--binary: It merges the border" in err


def test_class_names_are_known_before_anything_is_read(tmp_path):
    assert data_source("pets").class_names == petseg.PET_CLASSES
    assert data_source("synthetic", binary=True).class_names == ("pet", "background")
    assert data_source(str(tmp_path), classes=("a", "b")).class_names == ("a", "b")
    (tmp_path / "annotations" / "trimaps").mkdir(parents=True)
    assert data_source(str(tmp_path)).class_names == petseg.PET_CLASSES


def test_a_download_is_announced_with_its_size_and_place(capsys, tmp_path):
    announce_download(data_source("pets", tmp_path / "data"))
    expected = f"petseg: Downloading Oxford-IIIT Pet (800 MB) to {tmp_path}/data/oxford_iiit_pet\n"
    assert capsys.readouterr().err == expected
    assert not (tmp_path / "data").exists()


def test_nothing_is_announced_where_nothing_is_downloaded(capsys, tmp_path, pets_dir):
    announce_download(data_source("pets", pets_dir))
    announce_download(data_source("synthetic"))
    announce_download(data_source(str(tmp_path), classes=("a", "b")))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "command", ["data", "train unet --out run", "evaluate", "export m.tflite --quantize int8"]
)
def test_it_is_announced_before_it_starts(cli, tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)

    def downloads(*_args: object, **_options: object) -> None:
        assert "Downloading Oxford-IIIT Pet (800 MB)" in capsys.readouterr().err
        raise OSError("no network")

    monkeypatch.setattr(DataSource, "splits", downloads)
    code, _, err = cli(*command.split(), "--data-dir", tmp_path / "new")
    assert (code, err) == (1, "petseg: error: no network\n")
    assert not list(tmp_path.iterdir())
