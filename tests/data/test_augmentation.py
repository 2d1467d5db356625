import numpy as np
import pytest
import tensorflow as tf

from petseg.data.batch_augmentation import augment_batch
from petseg.data.transforms import jitter_colour, random_boxes


def test_same_seed_same_batch():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (6, 40, 40, 3), np.uint8)
    masks = rng.integers(0, 3, (6, 40, 40, 1), np.uint8)
    one, same, other = (
        augment_batch(images, masks, seed=seed, image_size=(32, 32))
        for seed in ((5, 6), (5, 6), (5, 7))
    )
    for first, second, third in zip(one, same, other, strict=True):
        np.testing.assert_array_equal(first, second)
        assert not np.array_equal(first, third)


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
