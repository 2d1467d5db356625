import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from petseg.data import Problem, verify_folder, verify_pets

ALL_BACKGROUND = {
    "Egyptian_Mau_162",
    "Egyptian_Mau_165",
    "Egyptian_Mau_196",
    "leonberger_18",
    "miniature_pinscher_14",
    "saint_bernard_15",
    "saint_bernard_108",
    "Egyptian_Mau_20",
    "Persian_259",
    "japanese_chin_199",
    "keeshond_7",
    "saint_bernard_60",
    "saint_bernard_78",
    "wheaten_terrier_195",
}


def kinds(problems):
    return {(Path(problem.file).name, problem.kind) for problem in problems}


@pytest.fixture
def damaged_folder(official_folder, tmp_path):
    """The official archives with four bad files, all in places where TFDS will still take them."""
    root = shutil.copytree(official_folder, tmp_path / "damaged")
    trimaps = root / "annotations" / "trimaps"
    (root / "images" / "Abyssinian_1.jpg").write_bytes(b"no image")
    for name, change in {
        "american_bulldog_2": lambda trimap: np.full_like(trimap, 2),
        "basset_hound_3": lambda trimap: trimap - 1,
        "Bengal_40": lambda trimap: trimap[:, :-5],
    }.items():
        path = trimaps / f"{name}.png"
        trimap = np.asarray(Image.open(path))
        Image.fromarray(change(trimap)).save(path)
    return root


class TestFolder:
    def test_good(self, official_folder):
        assert verify_folder(official_folder) == []

    def test_every_bad_file_is_listed(self, damaged_folder):
        trimaps = damaged_folder / "annotations" / "trimaps"
        (damaged_folder / "images" / "Bengal_4.jpg").unlink()
        (trimaps / "Abyssinian_5.png").unlink()
        (trimaps / "american_bulldog_6.png").write_bytes(b"")
        problems = verify_folder(damaged_folder)
        assert kinds(problems) == {
            ("Bengal_4.jpg", "missing"),
            ("Abyssinian_5.png", "missing"),
            ("Abyssinian_1.jpg", "unreadable"),
            ("american_bulldog_6.png", "unreadable"),
            ("american_bulldog_2.png", "mislabelled"),
            ("basset_hound_3.png", "mislabelled"),
            ("Bengal_40.png", "misaligned"),
        }
        assert len(problems) == 7
        assert (
            Problem(
                str(trimaps / "basset_hound_3.png"),
                "mislabelled",
                "has labels 0, expected 1 to 3. Restore the trimap from annotations.tar.gz.",
            )
            in problems
        )
        # A message names its file once.
        photo = damaged_folder / "images" / "Abyssinian_1.jpg"
        detail = "is not an image of a format that Pillow knows. Replace the file or remove it."
        assert Problem(str(photo), "unreadable", detail) in problems

    def test_own(self, tmp_path):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir()
            for number in range(40):  # some for each split
                two = Image.fromarray(np.eye(8, dtype=np.uint8))
                two.save(tmp_path / folder / f"{number}.png")
        assert verify_folder(tmp_path, class_names=("a", "b")) == []
        (tmp_path / "masks" / "0.png").unlink()
        (tmp_path / "images" / "1.png").unlink()
        Image.fromarray(np.array([[0, 1, 7]] * 8, np.uint8)).save(tmp_path / "masks" / "2.png")
        problems = verify_folder(tmp_path, class_names=("a", "b"))
        assert [(Path(problem.file).name, problem.kind) for problem in problems] == [
            ("0.png", "missing"),
            ("1.png", "missing"),
            ("2.png", "misaligned"),
            ("2.png", "mislabelled"),
            (tmp_path.name, "unknown"),
        ]
        assert [str(problem) for problem in problems] == [
            f"{tmp_path / 'images' / '0.png'}: missing: has no file of the same name in "
            f"{tmp_path / 'masks'}",
            f"{tmp_path / 'masks' / '1.png'}: missing: has no file of the same name in "
            f"{tmp_path / 'images'}",
            f"{tmp_path / 'masks' / '2.png'}: misaligned: is 8 x 3 pixels (height x width), but "
            "its image is 8 x 8. Save the mask at the size of its image.",
            f"{tmp_path / 'masks' / '2.png'}: mislabelled: has labels 7, expected 0 to 1 or 255. "
            "Give each label its class with a table as `labels`, such as a file classes.csv with "
            "the columns label and name; an empty name means no class.",
            f"{tmp_path}: unknown: label 7 is in 0.3% of the pixels of 38 masks (8 pixels, 1 mask) "
            "and is no class. If it means no class, pass `ignore_class=7`. If it marks a class, "
            "pass a table of all labels as `labels`.",
        ]

    def test_a_split_without_images_is_listed(self, tmp_path):
        for folder in ("images", "masks"):
            (tmp_path / folder).mkdir()
        problems = verify_folder(tmp_path, class_names=("a", "b"))
        empty = [problem for problem in problems if problem.kind == "missing"]
        assert [str(problem) for problem in empty] == [
            f"{tmp_path}: missing: has no image for {split}. Add images, or set the splits by "
            "subfolders train, val and test."
            for split in ("train", "val", "test")
        ]

    def test_bad_root(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="`root` must be a folder"):
            verify_folder(tmp_path / "nowhere")


class TestPets:
    def test_good(self, pets_dir):
        assert verify_pets(data_dir=pets_dir) == []

    def test_every_bad_example_is_listed(self, damaged_folder, fill_download_cache, tmp_path):
        fill_download_cache(tmp_path, damaged_folder)
        problems = verify_pets(data_dir=tmp_path)
        assert kinds(problems) == {
            ("Abyssinian_1.jpg", "unreadable"),
            ("american_bulldog_2.jpg", "mislabelled"),
            ("basset_hound_3.jpg", "mislabelled"),
            ("Bengal_40.jpg", "misaligned"),
        }
        (unreadable,) = (problem for problem in problems if problem.kind == "unreadable")
        assert str(unreadable) == (
            "Abyssinian_1.jpg: unreadable: cannot be decoded: Unknown image file format. One of "
            "JPEG, JPEG XL, PNG, GIF, BMP, WebP required."
        )

    def test_real_set(self, real_pets_dir):
        problems = verify_pets(data_dir=real_pets_dir)
        assert kinds(problems) == {(f"{name}.jpg", "mislabelled") for name in ALL_BACKGROUND}
        assert {problem.detail for problem in problems} == {"has no pixel of the pet"}
