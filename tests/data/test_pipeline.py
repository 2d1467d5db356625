import numpy as np
import pytest
import tensorflow as tf

from petseg.data.pipeline import (
    Batching,
    evaluation_batches,
    resize_example,
    training_batches,
)

BATCHING = Batching(image_size=(24, 32), batch_size=4, augment=True, seed=1)


def numbered_examples(count, reads=None):
    """Images of which number i is all i; `reads` collects each number that is read."""

    def generate():
        for number in range(count):
            if reads is not None:
                reads.append(number)
            image = np.full((30, 40, 3), number, np.uint8)
            yield {"image": image, "mask": image[..., :1] % 3, "file_name": f"{number}.jpg"}

    spec = {
        "image": tf.TensorSpec((None, None, 3), tf.uint8),
        "mask": tf.TensorSpec((None, None, 1), tf.uint8),
        "file_name": tf.TensorSpec((), tf.string),
    }
    dataset = tf.data.Dataset.from_generator(generate, output_signature=spec)
    return dataset.apply(tf.data.experimental.assert_cardinality(count))


def epoch(dataset):
    batches = list(dataset.as_numpy_iterator())
    images, masks = (np.concatenate(parts) for parts in zip(*batches, strict=True))
    return images, masks


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


class TestResize:
    def test_mask_is_nearest_neighbour_and_image_averages(self):
        mask = np.repeat(np.array([[0, 255], [2, 7]], np.uint8), 2, axis=0)[..., None]
        image = np.repeat(np.array([[10, 20], [30, 41]], np.uint8)[..., None], 3, axis=2)
        _, resized = resize_example(np.zeros((4, 2, 3), np.uint8), mask, (8, 6))
        expected = np.repeat(np.repeat(mask, 2, axis=0), 3, axis=1)
        np.testing.assert_array_equal(resized, expected)
        resized, _ = resize_example(image, mask, (1, 1))
        # (10 + 20 + 30 + 41) / 4 = 25.25.
        np.testing.assert_array_equal(resized, np.full((1, 1, 3), 25))

    def test_both_are_uint8_and_no_label_is_made_up(self):
        rng = np.random.default_rng(0)
        image = rng.integers(0, 256, (50, 70, 3), np.uint8)
        mask = rng.choice(np.array([0, 2, 255], np.uint8), (50, 70, 1))
        for size in ((20, 90), (100, 31)):
            resized_image, resized_mask = resize_example(image, mask, size)
            assert resized_image.dtype == resized_mask.dtype == tf.uint8
            assert resized_image.shape == (*size, 3)
            assert set(np.unique(resized_mask)) == {0, 2, 255}


class TestTrainingBatches:
    def test_same_seed_same_epochs(self):
        one, other = (training_batches(numbered_examples(10), BATCHING, 3) for _ in range(2))
        first, second = epoch(one), epoch(one)
        assert equal(first, epoch(other))
        assert equal(second, epoch(other))
        assert not equal(first, second)

    def test_another_seed_gives_other_batches(self):
        batching = Batching(image_size=(24, 32), batch_size=4, augment=True, seed=2)
        one = training_batches(numbered_examples(10), BATCHING, 3)
        assert not equal(epoch(one), epoch(training_batches(numbered_examples(10), batching, 3)))

    def test_iterators_count_as_epochs(self):
        # So a resumed run can go to its epoch without reading the ones before it.
        dataset = training_batches(numbered_examples(10), BATCHING, 3)
        epochs = [epoch(dataset) for _ in range(3)]
        resumed = training_batches(numbered_examples(10), BATCHING, 3)
        for _ in range(2):
            iter(resumed)
        assert equal(epoch(resumed), epochs[2])

    def test_each_epoch_has_each_example_once_in_a_new_order(self):
        batching = Batching(image_size=(30, 40), batch_size=4, augment=False, seed=0)
        dataset = training_batches(numbered_examples(10), batching, 3)
        orders = [epoch(dataset)[0][:, 0, 0, 0].tolist() for _ in range(3)]
        assert all(sorted(order) == list(range(10)) for order in orders)
        assert orders[0] != orders[1] != orders[2]

    @pytest.mark.parametrize("augment", [True, False])
    def test_batches(self, augment):
        batching = Batching(image_size=(24, 32), batch_size=4, augment=augment, seed=0)
        dataset = training_batches(numbered_examples(10), batching, 3)
        assert len(dataset) == 3
        assert [len(images) for images, _ in dataset] == [4, 4, 2]
        images, masks = dataset.element_spec
        assert (images.dtype, masks.dtype) == (tf.float32, tf.int32)
        assert images.shape.as_list() == [None, 24, 32, 3]
        assert masks.shape.as_list() == [None, 24, 32, 1]

    def test_examples_are_read_once(self):
        reads = []
        dataset = training_batches(numbered_examples(10, reads), BATCHING, 3)
        next(iter(dataset))  # even when the first epoch is broken off
        epoch(dataset)
        assert reads == list(range(10))


class TestEvaluationBatches:
    @pytest.mark.parametrize(("cache", "times"), [("memory", 1), (False, 2)])
    def test_same_order_each_time(self, cache, times):
        reads = []
        dataset = evaluation_batches(numbered_examples(10, reads), BATCHING, cache=cache)
        first = epoch(dataset)
        assert first[0][:, 0, 0, 0].tolist() == list(range(10))
        assert first[1][:, 0, 0, 0].tolist() == [number % 3 for number in range(10)]
        assert equal(first, epoch(dataset))
        assert reads == list(range(10)) * times
        assert len(dataset) == 3


def test_without_a_cache_examples_are_read_in_each_epoch():
    reads = []
    batching = Batching((24, 32), 4, True, 1, cache=False)
    dataset = training_batches(numbered_examples(10, reads), batching, 3)
    kept = training_batches(numbered_examples(10), BATCHING, 3)
    for _ in range(2):
        assert equal(epoch(dataset), epoch(kept))
    assert reads == [*range(10)] * 2


@pytest.mark.parametrize("cache", [True, None, "", 3])
def test_bad_cache(cache):
    with pytest.raises(ValueError, match=f'`cache` must be "memory", .* Received: {cache!r}'):
        Batching((24, 32), 4, True, 0, cache=cache)


def test_a_folder_needs_files_that_can_be_told_apart(tmp_path):
    batching = Batching((24, 32), 4, True, 0, cache=tmp_path)
    with pytest.raises(ValueError, match='`cache` must be "memory" or False for a dataset of your'):
        training_batches(numbered_examples(10), batching, 3)


@pytest.mark.parametrize(
    "image_size",
    [224, (224,), (0, 224), (224.0, 224), "ab", None, (True, 2), (np.True_, 2), (2, 2, 3)],
)
def test_bad_image_size(image_size):
    with pytest.raises(ValueError, match="`image_size` must be two positive integers"):
        Batching(image_size=image_size, batch_size=1, augment=True, seed=0)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, None, True, np.True_, np.float32(2)])
def test_bad_batch_size(batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        Batching(image_size=(32, 32), batch_size=batch_size, augment=True, seed=0)


@pytest.mark.parametrize("seed", [-1, None, 0.0, 0.5, False, True, np.False_])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer of 0 or more"):
        Batching(image_size=(32, 32), batch_size=1, augment=True, seed=seed)


@pytest.mark.parametrize("image_size", [[24, 32], np.array([24, 32]), (np.int64(24), np.uint8(32))])
def test_numpy_integers_are_integers(image_size):
    batching = Batching(image_size, np.int64(4), augment=True, seed=np.uint16(1))
    assert batching == BATCHING
    numbers = (*batching.image_size, batching.batch_size, batching.seed)
    assert [type(number) for number in numbers] == [int] * 4
    assert isinstance(batching.image_size, tuple)
    one, other = (training_batches(numbered_examples(10), each, 3) for each in (batching, BATCHING))
    assert equal(epoch(one), epoch(other))
