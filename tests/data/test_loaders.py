import os
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from petseg.data import PET_CLASSES, load_folder, load_pets, synthetic_pets
from petseg.data.epochs import batches_from_epoch


@pytest.fixture(params=["pets", "folder", "synthetic"])
def load(request):
    """Each loader, with a source at hand."""
    if request.param == "pets":
        data_dir = request.getfixturevalue("pets_dir")
        return lambda **batching: load_pets(data_dir=data_dir, **batching)
    if request.param == "folder":
        root = request.getfixturevalue("official_folder")
        return lambda **batching: load_folder(root, **batching)
    return lambda **batching: synthetic_pets(20, **batching)


def test_same_promise(load):
    splits = load(image_size=(20, 33), batch_size=5)
    assert splits.class_names == PET_CLASSES
    assert splits.image_size == (20, 33)
    assert splits.ignore_class is None
    for dataset in (splits.train, splits.val, splits.test):
        images, masks = dataset.element_spec
        assert (images.dtype, masks.dtype) == (tf.float32, tf.int32)
        assert images.shape.as_list() == [None, 20, 33, 3]
        assert masks.shape.as_list() == [None, 20, 33, 1]
        batches = list(dataset)
        assert len(batches) == len(dataset)
        assert all(len(images) <= 5 for images, _ in batches)
        assert all(tf.reduce_min(x) >= 0 and tf.reduce_max(x) <= 255 for x, _ in batches)


@pytest.mark.parametrize("argument", ["image_size", "batch_size", "seed"])
@pytest.mark.parametrize("value", [-1, True])
def test_bad_batching(load, argument, value):
    with pytest.raises(ValueError, match=f"`{argument}` must be .* Received: {value}"):
        load(**{argument: value})


@pytest.mark.parametrize("value", ["yes", 1, None])
def test_bad_binary(load, value):
    with pytest.raises(ValueError, match=f"`binary` must be True or False. Received: {value!r}"):
        load(binary=value)


def test_numpy_integers_are_integers(load):
    splits = load(image_size=np.array([20, 33]), batch_size=np.int64(5), seed=np.int32(2))
    assert splits.image_size == (20, 33)
    images, _ = next(iter(splits.val))
    assert images.shape[1:] == (20, 33, 3)


def assert_same_batches(one, other):
    """Training batches of two epochs, and those of validation."""
    for epochs in (2, 0):
        parts = [
            batches_from_epoch(each.train, 5).take(epochs * len(each.train)) if epochs else each.val
            for each in (one, other)
        ]
        for batch, same in zip(*parts, strict=True):
            for array, expected in zip(batch, same, strict=True):
                np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("source", ["binary", "folder"])
def test_batches_do_not_depend_on_the_cache(source, request, tmp_path):
    batching = {"image_size": (20, 33), "batch_size": 5, "seed": 2, "augment": False}
    if source == "folder":
        root = request.getfixturevalue("own_folder")

        def load(**cache):
            return load_folder(root, class_names=PET_CLASSES, **batching, **cache)
    else:
        data_dir = request.getfixturevalue("pets_dir")

        def load(**cache):
            return load_pets(data_dir=data_dir, binary=True, **batching, **cache)

    kept = load()
    assert_same_batches(load(cache=False), kept)
    assert_same_batches(load(cache=tmp_path / "cache"), kept)
    files = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").iterdir()}
    assert len(files) == 2  # train and val
    assert_same_batches(load(cache=str(tmp_path / "cache")), kept)
    assert {path: path.stat().st_mtime_ns for path in files} == files


def cached_folder(root, cache, **arguments):
    arguments = {"class_names": PET_CLASSES, "image_size": (8, 8), "augment": False, **arguments}
    return load_folder(root, **arguments, cache=cache)


def test_other_data_and_sizes_do_not_mix(own_folder, tmp_path):
    cache = tmp_path / "cache"
    cached_folder(own_folder, cache)
    assert len(list(cache.iterdir())) == 2
    path = own_folder / "val" / "images" / "0.png"
    with Image.open(path) as image:
        size = image.size
    Image.new("RGB", size, (9, 9, 9)).save(path)
    images, _ = next(iter(cached_folder(own_folder, cache).val))
    assert (images[0] == 9).numpy().all()
    assert len(list(cache.iterdir())) == 3
    names = {"class_names": None, "labels": {0: "pet", 1: "rest", 2: "rest"}}
    assert cached_folder(own_folder, cache, **names).class_names == ("pet", "rest")
    cached_folder(own_folder, cache, image_size=(8, 9))
    cached_folder(own_folder, cache, channels=1)
    assert len(list(cache.iterdir())) == 9
    # A file that was cut off is written again.
    largest = max(cache.iterdir(), key=lambda each: each.stat().st_size)
    os.truncate(largest, 10)
    assert_same_batches(cached_folder(own_folder, cache), cached_folder(own_folder, False))


def test_a_file_is_no_cache(own_folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"`cache` must be a folder\. Received: .*file, which is"):
        cached_folder(own_folder, tmp_path / "file")


def test_a_process_that_is_killed_leaves_no_half_of_a_cache(own_folder, tmp_path):
    for kind in ("images", "masks"):
        for number in range(2, 500):
            file = own_folder / "train" / kind / "0.png"
            os.link(file, file.with_name(f"{number}.png"))
    cache = tmp_path / "cache"
    program = (
        "import sys, petseg\n"
        "petseg.load_folder(sys.argv[1], class_names=petseg.PET_CLASSES, image_size=(64, 64), "
        "augment=False, cache=sys.argv[2])"
    )
    process = subprocess.Popen([sys.executable, "-c", program, own_folder, cache])
    part = []
    while process.poll() is None and not part:
        part = [path for path in cache.glob(".part-*") if path.stat().st_size]
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert [path.name for path in cache.iterdir()] == [path.name for path in part]
    cached, read = (cached_folder(own_folder, each, image_size=(64, 64)) for each in (cache, False))
    names = [path.name for path in cache.iterdir()]
    assert len(names) == 2
    assert not any(name.startswith(".part") for name in names)
    for batch, same in zip(cached.train.take(3), read.train.take(3), strict=True):
        np.testing.assert_array_equal(batch[0], same[0])
