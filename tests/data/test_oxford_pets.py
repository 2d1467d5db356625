import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from petseg.data import load_pets, pet_examples, verify_pets
from petseg.data.name_hash import name_bucket
from petseg.data.oxford_pets import in_val, is_prepared, pets_folder

# Of the small dataset in tests/conftest.py.
NUM_TRAINVAL, NUM_TEST = 32, 8

# Those of the trainval list that the hash holds out.
VAL_NAMES = [b"Abyssinian_21.jpg", b"basset_hound_15.jpg", b"basset_hound_19.jpg"]

# Of Abyssinian_1.jpg to Abyssinian_10.jpg.
BUCKETS = [9, 7, 8, 8, 5, 7, 8, 0, 6, 9]


def names(dataset):
    return [example["file_name"] for example in dataset.as_numpy_iterator()]


def test_splits(pets_dir):
    examples = pet_examples(pets_dir)
    assert {split: len(dataset) for split, dataset in examples.items()} == {
        "train": NUM_TRAINVAL - len(VAL_NAMES),
        "val": len(VAL_NAMES),
        "test": NUM_TEST,
    }
    found = {split: names(dataset) for split, dataset in examples.items()}
    assert sorted(found["val"]) == VAL_NAMES
    assert len({name for split in found.values() for name in split}) == NUM_TRAINVAL + NUM_TEST


def test_examples_hold_classes(pets_dir, official_folder):
    for example in pet_examples(pets_dir)["test"].as_numpy_iterator():
        trimap = official_folder / "annotations" / "trimaps" / example["file_name"].decode()
        expected = tf.io.decode_png(tf.io.read_file(str(trimap.with_suffix(".png"))))
        np.testing.assert_array_equal(example["mask"] + 1, expected)
        assert example["image"].shape == (*example["mask"].shape[:2], 3)
        assert example["image"].dtype == example["mask"].dtype == np.uint8


def test_loader(pets_dir):
    splits = load_pets(data_dir=pets_dir, image_size=(32, 48), batch_size=4)
    assert splits.class_names == ("pet", "background", "border")
    assert (len(splits.train), len(splits.val), len(splits.test)) == (8, 1, 2)
    for dataset in (splits.train, splits.val, splits.test):
        for images, masks in dataset:
            assert images.shape[1:] == (32, 48, 3)
            assert 50 < np.mean(images) < 200
            assert set(np.unique(masks)) == {0, 1, 2}


def test_binary_border_is_pet(pets_dir):
    three, two = (
        load_pets(data_dir=pets_dir, image_size=(32, 32), binary=binary) for binary in (False, True)
    )
    assert two.class_names == ("pet", "background")
    for (_, masks), (_, merged) in zip(three.test, two.test, strict=True):
        np.testing.assert_array_equal(merged, np.where(masks == 1, 1, 0))


def test_hash_is_the_same_for_good():
    files = [f"Abyssinian_{number}.jpg" for number in range(1, 11)]
    assert name_bucket(files).numpy().tolist() == BUCKETS
    assert in_val(files).numpy().tolist() == [bucket == 0 for bucket in BUCKETS]


def test_data_dir_with_version_3_only(pets_dir, tmp_path):
    old = tmp_path / "oxford_iiit_pet" / "3.2.0"
    shutil.copytree(pets_dir / "oxford_iiit_pet" / "4.0.0", old)
    info = json.loads((old / "dataset_info.json").read_text())
    (old / "dataset_info.json").write_text(json.dumps({**info, "version": "3.2.0"}))
    assert is_prepared(tmp_path)
    assert sorted(names(pet_examples(tmp_path)["val"])) == VAL_NAMES
    assert [path.name for path in old.parent.iterdir()] == ["3.2.0"]


def test_prepared_data_are_only_read(pets_dir):
    before = sorted(pets_dir.rglob("*"))
    pet_examples(str(pets_dir))
    assert sorted(pets_dir.rglob("*")) == before


def test_prepares_what_is_not_there(official_folder, fill_download_cache, tmp_path):
    fill_download_cache(tmp_path, official_folder)
    assert not is_prepared(tmp_path)
    assert not (tmp_path / "oxford_iiit_pet").exists()  # To ask prepares nothing.
    assert len(pet_examples(tmp_path)["test"]) == NUM_TEST
    assert is_prepared(tmp_path)


def test_is_prepared_and_where(pets_dir, tmp_path):
    assert is_prepared(pets_dir)
    assert is_prepared(str(pets_dir))
    assert pets_folder(pets_dir) == pets_dir / "oxford_iiit_pet"
    assert not is_prepared(tmp_path / "nowhere")
    assert pets_folder(tmp_path / "nowhere") == tmp_path / "nowhere" / "oxford_iiit_pet"
    assert not (tmp_path / "nowhere").exists()


def test_failed_preparation_names_the_remedy(official_folder, fill_download_cache, tmp_path):
    fill_download_cache(tmp_path, official_folder)
    (listing,) = tmp_path.glob("downloads/extracted/*/annotations/trainval.txt")
    listing.unlink()
    expected = r"is not in .*oxford_iiit_pet.*failed.*trainval.txt.*`data_dir`.*load_folder"
    with pytest.raises(FileNotFoundError, match=expected):
        load_pets(data_dir=tmp_path)


def test_data_dir_is_a_file(tmp_path):
    file = tmp_path / "file"
    file.touch()
    for function in (load_pets, verify_pets, is_prepared, pets_folder):
        with pytest.raises(ValueError, match="`data_dir` must be a folder"):
            function(data_dir=file)


def test_real_set(real_pets_dir):
    examples = pet_examples(real_pets_dir)
    assert [len(dataset) for dataset in examples.values()] == [3317, 363, 3669]
    first = [example["file_name"] for example in examples["val"].take(3).as_numpy_iterator()]
    assert first == [b"chihuahua_187.jpg", b"german_shorthaired_134.jpg", b"pug_120.jpg"]
