import numpy as np
import pytest
import tensorflow as tf

from petseg.data import PET_CLASSES, load_folder, load_pets, synthetic_pets


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
