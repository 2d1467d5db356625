"""`petseg data`, and the options that say where data comes from."""

import warnings

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.data.source import DataSource
from petseg_cli.data_source import announce_download, class_names_of, data_source

CLASSES = "pet, background, border"


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


def test_verify_lists_by_name_and_each_remedy_once(cli, own_folder):
    masks = [own_folder / split / "masks" / "0.png" for split in ("test", "train", "val")]
    for path in masks:
        with Image.open(path) as image:
            size = image.size
        Image.new("RGB", size, (255, 0, 0)).save(path)
    code, out, _ = cli("data", "--data", own_folder, "--classes", CLASSES, "--verify")
    fault = (
        "must hold one integer per pixel, as grey values or palette indices. "
        "Received: an image of mode RGB"
    )
    lines = out.splitlines()
    assert code == 1
    assert lines[:3] == [f"{path}: unreadable: {fault}" for path in masks]
    remedies = [line for line in lines if line.startswith("unreadable: ")]
    assert len(remedies) == 1
    assert remedies[0].startswith("unreadable: Change each colour to the index of its class")


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
    assert "If 255 marks" in out
    assert out.endswith("warnings.\n")


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ("data --data synthetic --classes a,b", 2, "--classes: --data synthetic has its own"),
        ("data --classes a,b", 2, "--classes: --data pets has its own classes"),
        ("data --data synthetic --data-dir .", 2, "--data-dir: It is for --data pets"),
        ("data --verify --sheet x.png", 2, "--sheet: It does not apply with --verify"),
        ("data --data . --classes a,a", 2, "'a,a' is not two or more different names"),
        ("data --data . --classes a", 2, "'a' is not two or more different names"),
        ("data --data synthetic --sheet .", 2, "--sheet: . is a folder"),
        ("data --data petz", 1, "petseg: error: --data must be pets, synthetic or a folder."),
        ("data --data petz", 1, "Did you mean pets?"),
        ("data --data .", 2, "--classes: It is needed with --data ."),
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
    assert class_names_of(data_source("pets")) == petseg.PET_CLASSES
    assert class_names_of(data_source("synthetic", binary=True)) == ("pet", "background")
    assert class_names_of(data_source(str(tmp_path), classes=("a", "b"))) == ("a", "b")
    (tmp_path / "annotations" / "trimaps").mkdir(parents=True)
    assert class_names_of(data_source(str(tmp_path))) == petseg.PET_CLASSES


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
