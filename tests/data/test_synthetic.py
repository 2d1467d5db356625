import numpy as np
import pytest

from petseg.data import draw_pet, synthetic_examples, synthetic_pets


def test_same_seed_same_pet():
    for one, other in zip(draw_pet((3, 4)), draw_pet((3, 4)), strict=True):
        np.testing.assert_array_equal(one, other)
    assert not np.array_equal(draw_pet((3, 4))[0], draw_pet((3, 5))[0])


@pytest.mark.parametrize("seed", range(20))
def test_drawing(seed):
    image, mask = draw_pet(seed)
    height, width, _ = image.shape
    assert 96 <= height <= 160
    assert 96 <= width <= 160
    assert mask.shape == (height, width, 1)
    assert image.dtype == mask.dtype == np.uint8
    pet, background, border = np.bincount(mask.ravel(), minlength=3) / mask.size
    assert 0.05 < pet < 0.6
    assert 0.3 < background < 0.9
    assert 0.03 < border < 0.3


@pytest.mark.parametrize("seed", range(20))
def test_border_parts_pet_from_background(seed):
    mask = draw_pet(seed)[1][..., 0]
    for one, other in ((mask[1:], mask[:-1]), (mask[:, 1:], mask[:, :-1])):
        assert not np.any(one + other == 1)  # 0 beside 1


def test_examples_by_seed_and_number():
    few, many = (synthetic_examples(count, seed=5)["train"] for count in (10, 20))
    for one, other in zip(few.as_numpy_iterator(), many.as_numpy_iterator(), strict=False):
        np.testing.assert_array_equal(one["image"], other["image"])
        assert one["file_name"] == other["file_name"]
    example = next(synthetic_examples(3, seed=5)["train"].as_numpy_iterator())
    np.testing.assert_array_equal(example["mask"], draw_pet((5, 0))[1])


@pytest.mark.parametrize(("num_examples", "sizes"), [(3, [1, 1, 1]), (20, [14, 3, 3])])
def test_split_sizes(num_examples, sizes):
    examples = synthetic_examples(num_examples, seed=0)
    assert list(examples) == ["train", "val", "test"]
    assert [len(dataset) for dataset in examples.values()] == sizes
    names = [x["file_name"] for split in examples.values() for x in split.as_numpy_iterator()]
    assert len(set(names)) == num_examples


def test_loader():
    splits = synthetic_pets(10, image_size=(32, 48), batch_size=4)
    assert splits.class_names == ("pet", "background", "border")
    images, masks = next(iter(splits.train))
    assert images.shape == (4, 32, 48, 3)
    assert set(np.unique(masks)) == {0, 1, 2}


def test_binary_border_is_pet():
    three, two = (
        synthetic_pets(10, image_size=(32, 48), augment=False, binary=binary)
        for binary in (False, True)
    )
    assert two.class_names == ("pet", "background")
    for (_, masks), (_, merged) in zip(three.test, two.test, strict=True):
        np.testing.assert_array_equal(masks == 1, merged == 1)
        assert set(np.unique(merged)) == {0, 1}


@pytest.mark.parametrize("num_examples", [2, 0, -3, 7.0, "9", True, None])
def test_bad_num_examples(num_examples):
    with pytest.raises(ValueError, match="`num_examples` must be an integer of 3 or more"):
        synthetic_pets(num_examples)


@pytest.mark.parametrize("seed", [-1, 0.0, "0", False, None])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer of 0 or more"):
        synthetic_examples(3, seed)


def test_numpy_integers_are_integers():
    numpy, python = synthetic_examples(np.int64(5), np.uint8(3)), synthetic_examples(5, 3)
    for split in ("train", "val", "test"):
        one, other = (next(data[split].as_numpy_iterator()) for data in (numpy, python))
        np.testing.assert_array_equal(one["image"], other["image"])
