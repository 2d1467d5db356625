import dataclasses

import numpy as np
import pytest

from petseg.data import (
    DataSource,
    describe,
    folder_examples,
    load_folder,
    load_pets,
    pet_examples,
    synthetic_examples,
    synthetic_pets,
)

CLASSES = ("animal", "ground", "outline")
BATCHING = {"image_size": (20, 33), "batch_size": 5, "seed": 3}


# The splits of the synthetic pets that are quick to draw.
HELD_OUT = ("val", "test")


def assert_same(one, other, splits=("train", "val", "test")):
    """The splits have the same batches, and say the same of them."""
    for split in ("train", "val", "test"):
        assert len(getattr(one, split)) == len(getattr(other, split))
    for field in ("class_names", "ignore_class", "image_size"):
        assert getattr(one, field) == getattr(other, field)
    for split in splits:
        for batch, same in zip(getattr(one, split), getattr(other, split), strict=True):
            for array, expected in zip(batch, same, strict=True):
                np.testing.assert_array_equal(array, expected)


def assert_same_examples(one, other, splits=("train", "val", "test")):
    assert list(one) == list(other) == ["train", "val", "test"]
    assert [len(dataset) for dataset in one.values()] == [len(each) for each in other.values()]
    for split in splits:
        for example, same in zip(
            one[split].as_numpy_iterator(), other[split].as_numpy_iterator(), strict=True
        ):
            assert example["file_name"] == same["file_name"]
            np.testing.assert_array_equal(example["image"], same["image"])
            np.testing.assert_array_equal(example["mask"], same["mask"])


class TestSplits:
    @pytest.mark.parametrize("binary", [False, True])
    def test_pets(self, pets_dir, binary):
        source = DataSource("pets", data_dir=pets_dir, binary=binary)
        expected = load_pets(data_dir=pets_dir, binary=binary, **BATCHING)
        assert_same(source.splits(**BATCHING), expected)

    @pytest.mark.parametrize("binary", [False, True])
    def test_official_archives(self, official_folder, binary):
        source = DataSource(str(official_folder), binary=binary)
        expected = load_folder(official_folder, binary=binary, **BATCHING)
        assert_same(source.splits(**BATCHING), expected)

    def test_own_folder(self, own_folder):
        splits = DataSource(str(own_folder), classes=list(CLASSES)).splits(**BATCHING)
        assert splits.ignore_class == 255
        assert_same(splits, load_folder(own_folder, class_names=CLASSES, **BATCHING))

    @pytest.mark.parametrize("binary", [False, True])
    def test_synthetic(self, binary):
        splits = DataSource("synthetic", binary=binary).splits(image_size=(20, 33))
        expected = synthetic_pets(96, image_size=(20, 33), binary=binary, seed=0)
        assert_same(splits, expected, HELD_OUT)

    def test_synthetic_pets_are_the_same_with_every_seed(self):
        one, other = (
            DataSource("synthetic").splits(image_size=(20, 33), seed=seed) for seed in (0, 1)
        )
        assert_same(one, other, HELD_OUT)

    def test_augmentation_can_be_switched_off(self, pets_dir):
        splits = DataSource("pets", data_dir=pets_dir).splits(**BATCHING, augment=False)
        assert_same(splits, load_pets(data_dir=pets_dir, **BATCHING, augment=False))


class TestExamples:
    def test_pets(self, pets_dir):
        found = DataSource("pets", data_dir=pets_dir).examples()
        assert_same_examples(found, pet_examples(pets_dir))

    def test_own_folder(self, own_folder):
        found = DataSource(str(own_folder), classes=CLASSES).examples()
        assert_same_examples(found, folder_examples(own_folder, CLASSES))

    def test_synthetic(self):
        assert_same_examples(
            DataSource("synthetic").examples(), synthetic_examples(96, 0), HELD_OUT
        )

    def test_binary(self):
        three, two = (
            DataSource("synthetic", binary=binary).examples()["test"].as_numpy_iterator()
            for binary in (False, True)
        )
        for example, merged in zip(three, two, strict=True):
            np.testing.assert_array_equal(merged["mask"], example["mask"] == 1)


class TestDescribe:
    def test_pets(self, pets_dir):
        source = DataSource("pets", data_dir=pets_dir)
        expected = describe(pet_examples(pets_dir), ("pet", "background", "border"))
        assert source.describe() == expected

    def test_own_folder(self, own_folder):
        summaries = DataSource(str(own_folder), classes=CLASSES).describe()
        assert [summary.examples for summary in summaries.values()] == [2, 2, 2]
        assert tuple(summaries["val"].class_shares) == CLASSES

    def test_binary(self, official_folder):
        three, two = (
            DataSource(str(official_folder), binary=binary).describe()["val"]
            for binary in (False, True)
        )
        assert tuple(two.class_shares) == ("pet", "background")
        assert two.class_shares["pet"] == pytest.approx(
            three.class_shares["pet"] + three.class_shares["border"]
        )


class TestProblems:
    def test_good(self, pets_dir, official_folder, own_folder):
        assert DataSource("pets", data_dir=pets_dir).problems() == []
        assert DataSource(str(official_folder)).problems() == []
        assert DataSource(str(own_folder), classes=CLASSES).problems() == []
        assert DataSource("synthetic").problems() == []

    def test_a_bad_file_is_listed(self, own_folder):
        mask = own_folder / "val" / "masks" / "1.png"
        mask.write_bytes(b"no image")
        (problem,) = DataSource(str(own_folder), classes=CLASSES).problems()
        assert problem.file == str(mask)
        assert problem.kind == "unreadable"


class TestRefusals:
    @pytest.mark.parametrize("name", ["synthetic", "photos"])
    def test_data_dir_is_for_pets(self, name, tmp_path):
        with pytest.raises(ValueError, match=rf"`data_dir` must be None .*{name}.*{tmp_path}"):
            DataSource(name, data_dir=tmp_path)

    @pytest.mark.parametrize("name", ["pets", "synthetic"])
    def test_classes_are_for_folders(self, name):
        with pytest.raises(ValueError, match=rf"`classes` must be None .*{name}.*'animal'"):
            DataSource(name, classes=CLASSES)

    def test_binary_is_for_pets(self):
        with pytest.raises(ValueError, match="`binary` must be False with `classes`"):
            DataSource("photos", classes=CLASSES, binary=True)

    @pytest.mark.parametrize("name", ["pets", "photos"])
    def test_bad_binary(self, name):
        with pytest.raises(ValueError, match=r"`binary` must be True or False\. Received: 'yes'"):
            DataSource(name, binary="yes")

    @pytest.mark.parametrize("classes", ["car", (), ("car",), ("car", "car"), (1, 2)])
    def test_bad_classes(self, classes):
        with pytest.raises(ValueError, match="`classes` must hold two or more different names"):
            DataSource("photos", classes=classes)

    def test_at_most_255_classes(self):
        with pytest.raises(ValueError, match=r"`classes` must hold at most 255 .*: 256 names"):
            DataSource("photos", classes=[f"class {number}" for number in range(256)])

    @pytest.mark.parametrize("name", ["", None, 3])
    def test_bad_name(self, name):
        with pytest.raises(ValueError, match="`name` must be"):
            DataSource(name)

    @pytest.mark.parametrize("method", ["splits", "examples", "problems", "describe"])
    def test_folder_that_is_not_there(self, method, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        expected = r"`name` must be .*Received: 'pet', which is not a folder. Did you mean 'pets'"
        with pytest.raises(FileNotFoundError, match=expected):
            getattr(DataSource("pet"), method)()

    @pytest.mark.parametrize("method", ["splits", "examples", "problems", "describe"])
    def test_classes_must_fit_the_folder(self, method, own_folder, official_folder):
        with pytest.raises(ValueError, match="`classes` must hold two or more different names"):
            getattr(DataSource(str(own_folder)), method)()
        with pytest.raises(ValueError, match="`classes` must be None for the official archives"):
            getattr(DataSource(str(official_folder), classes=CLASSES), method)()

    def test_bad_batching(self):
        with pytest.raises(ValueError, match=r"`batch_size` must be .*Received: 0"):
            DataSource("synthetic").splits(batch_size=0)


def test_sources_are_frozen_values():
    source = DataSource("photos", classes=list(CLASSES))
    assert source == DataSource("photos", classes=CLASSES)
    assert hash(source) == hash(DataSource("photos", classes=CLASSES))
    with pytest.raises(dataclasses.FrozenInstanceError):
        source.name = "pets"


def test_nothing_is_read_before_it_is_asked_for(tmp_path):
    DataSource("pets", data_dir=tmp_path / "nowhere")
    DataSource(str(tmp_path / "nowhere"), classes=CLASSES)
    assert list(tmp_path.iterdir()) == []
