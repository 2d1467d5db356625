import numpy as np
import pytest
import tensorflow as tf

from petseg.data.pipeline import (
    Batching,
    augment_batch,
    evaluation_batches,
    jitter_colour,
    random_boxes,
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


class TestAugment:
    def test_mask_moves_with_image(self):
        # A straight edge between two greys: halfway between them, bilinear crosses where nearest
        # neighbour steps. Colour jitter shifts greys but not the halfway point between them.
        masks = np.zeros((64, 40, 40, 1), np.uint8)
        masks[:32, :, 17:] = 2
        masks[32:, 22:] = 2
        images = np.repeat(np.where(masks == 2, 170, 80), 3, axis=-1).astype(np.uint8)
        for seed in range(20):
            moved, moved_masks = augment_batch(images, masks, seed=(seed, 0), image_size=(37, 29))
            moved, moved_masks = moved.numpy(), moved_masks.numpy()
            greys = moved[..., :1]
            low, high = (reduce(greys, (1, 2, 3), keepdims=True) for reduce in (np.min, np.max))
            both = (high > low + 1).ravel()
            assert both.sum() > 32
            seen = np.where(greys > (low + high) / 2, 2, 0)
            np.testing.assert_array_equal(seen[both], moved_masks[both])

    @pytest.mark.parametrize("size", [47, 70, 90, 128])
    def test_edges_are_not_padded(self, size):
        # At 47, 70 and 90 the box (0, 0, 1, 1) is rounded to end outside the image.
        images = np.full((64, 5 * size // 4 + 1, 5 * size // 4 + 1, 3), 200, np.uint8)
        masks = np.ones_like(images[..., :1])
        for seed in range(5):
            moved, moved_masks = augment_batch(
                images, masks, seed=(seed, 1), image_size=(size,) * 2
            )
            assert np.all(moved_masks == 1)
            assert np.min(moved) > 127

    def test_no_label_is_made_up(self):
        masks = np.random.default_rng(0).choice(np.array([0, 2, 255], np.uint8), (8, 40, 50, 1))
        images = np.zeros((8, 40, 50, 3), np.uint8)
        _, moved = augment_batch(images, masks, seed=(3, 4), image_size=(32, 32))
        assert moved.dtype == tf.int32
        assert set(np.unique(moved)) == {0, 2, 255}

    def test_half_are_flipped(self):
        ramps = np.tile(np.arange(100, 140, dtype=np.uint8)[:, None], (500, 40, 1, 3))
        moved, _ = augment_batch(ramps, ramps[..., :1], seed=(0, 0), image_size=(16, 16))
        flipped = np.mean(moved[:, 0, 0, 0] > moved[:, 0, -1, 0])
        assert flipped == pytest.approx(0.5, abs=0.07)

    def test_same_eagerly_and_in_tf_data(self):
        rng = np.random.default_rng(0)
        images = rng.integers(0, 256, (6, 40, 40, 3), np.uint8)
        masks = rng.integers(0, 3, (6, 40, 40, 1), np.uint8)
        eager = augment_batch(images, masks, seed=(5, 6), image_size=(32, 32))
        dataset = tf.data.Dataset.from_tensors((images, masks)).map(
            lambda images, masks: augment_batch(images, masks, seed=(5, 6), image_size=(32, 32))
        )
        mapped = next(dataset.as_numpy_iterator())
        np.testing.assert_array_equal(eager[1], mapped[1])
        np.testing.assert_allclose(eager[0], mapped[0], atol=1e-3)
        assert dataset.element_spec[0].shape[1:] == (32, 32, 3)

    def test_boxes_by_hand(self):
        # Area 0.5 and aspect ratio 3/4: height sqrt(2/3), width sqrt(3/8), in the lower right.
        boxes = random_boxes(*(tf.constant([x]) for x in (0.0, 0.0, 1.0, 1.0, 0.9)))
        expected = [1 - (2 / 3) ** 0.5, 1 - (3 / 8) ** 0.5, 1, 1]
        np.testing.assert_allclose(boxes[0], expected, atol=2e-5)
        flipped = random_boxes(*(tf.constant([x]) for x in (0.0, 0.0, 1.0, 1.0, 0.1)))
        np.testing.assert_allclose(flipped[0], np.take(expected, [0, 3, 2, 1]), atol=2e-5)

    def test_boxes_keep_half_of_the_image(self):
        boxes = random_boxes(*tf.random.stateless_uniform((5, 2000), (0, 0)))
        y1, x1, y2, x2 = np.transpose(boxes)
        areas = (y2 - y1) * abs(x2 - x1)
        assert 0.49 < areas.min() < 0.52
        assert 0.95 < areas.max() <= 1
        assert boxes.numpy().min() > 0
        assert boxes.numpy().max() < 1

    def test_colour_by_hand(self):
        images = tf.constant([[[[200.0, 100.0, 50.0]]]] * 2)
        draws = tf.constant([0.5, 1.0])  # the first leaves all as it is
        unchanged, changed = jitter_colour(images, draws, draws, draws)
        np.testing.assert_allclose(unchanged, images[0], atol=1e-3)
        # Its grey is 0.299 * 200 + 0.587 * 100 + 0.114 * 50 = 124.2; saturation 1.3 gives
        # (222.74, 92.74, 27.74); contrast 1.2 and brightness 25.5 give 1.2 x - 25.5 + 25.5.
        np.testing.assert_allclose(changed[0, 0], [255.0, 111.288, 33.288], atol=1e-3)


class TestTrainingBatches:
    def test_same_seed_same_epochs(self):
        one, other = (training_batches(numbered_examples(10), BATCHING) for _ in range(2))
        first, second = epoch(one), epoch(one)
        assert equal(first, epoch(other))
        assert equal(second, epoch(other))
        assert not equal(first, second)

    def test_another_seed_gives_other_batches(self):
        batching = Batching(image_size=(24, 32), batch_size=4, augment=True, seed=2)
        one = training_batches(numbered_examples(10), BATCHING)
        assert not equal(epoch(one), epoch(training_batches(numbered_examples(10), batching)))

    def test_iterators_count_as_epochs(self):
        # So a resumed run can go to its epoch without reading the ones before it.
        dataset = training_batches(numbered_examples(10), BATCHING)
        epochs = [epoch(dataset) for _ in range(3)]
        resumed = training_batches(numbered_examples(10), BATCHING)
        for _ in range(2):
            iter(resumed)
        assert equal(epoch(resumed), epochs[2])

    def test_each_epoch_has_each_example_once_in_a_new_order(self):
        batching = Batching(image_size=(30, 40), batch_size=4, augment=False, seed=0)
        dataset = training_batches(numbered_examples(10), batching)
        orders = [epoch(dataset)[0][:, 0, 0, 0].tolist() for _ in range(3)]
        assert all(sorted(order) == list(range(10)) for order in orders)
        assert orders[0] != orders[1] != orders[2]

    @pytest.mark.parametrize("augment", [True, False])
    def test_batches(self, augment):
        batching = Batching(image_size=(24, 32), batch_size=4, augment=augment, seed=0)
        dataset = training_batches(numbered_examples(10), batching)
        assert len(dataset) == 3
        assert [len(images) for images, _ in dataset] == [4, 4, 2]
        images, masks = dataset.element_spec
        assert (images.dtype, masks.dtype) == (tf.float32, tf.int32)
        assert images.shape.as_list() == [None, 24, 32, 3]
        assert masks.shape.as_list() == [None, 24, 32, 1]

    def test_examples_are_read_once(self):
        reads = []
        dataset = training_batches(numbered_examples(10, reads), BATCHING)
        next(iter(dataset))  # even when the first epoch is broken off
        epoch(dataset)
        assert reads == list(range(10))


class TestEvaluationBatches:
    @pytest.mark.parametrize(("cache", "times"), [(True, 1), (False, 2)])
    def test_same_order_each_time(self, cache, times):
        reads = []
        dataset = evaluation_batches(numbered_examples(10, reads), BATCHING, cache=cache)
        first = epoch(dataset)
        assert first[0][:, 0, 0, 0].tolist() == list(range(10))
        assert first[1][:, 0, 0, 0].tolist() == [number % 3 for number in range(10)]
        assert equal(first, epoch(dataset))
        assert reads == list(range(10)) * times
        assert len(dataset) == 3


@pytest.mark.parametrize("image_size", [224, (224,), (0, 224), (224.0, 224), "ab", None, (True, 2)])
def test_bad_image_size(image_size):
    with pytest.raises(ValueError, match="`image_size` must be two positive integers"):
        Batching(image_size=image_size, batch_size=1, augment=True, seed=0)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5, None, True])
def test_bad_batch_size(batch_size):
    with pytest.raises(ValueError, match="`batch_size` must be a positive integer"):
        Batching(image_size=(32, 32), batch_size=batch_size, augment=True, seed=0)


@pytest.mark.parametrize("seed", [-1, None, 0.5, True])
def test_bad_seed(seed):
    with pytest.raises(ValueError, match="`seed` must be an integer of 0 or more"):
        Batching(image_size=(32, 32), batch_size=1, augment=True, seed=seed)
