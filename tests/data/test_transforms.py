"""The transformations of a batch, one by one."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from petseg.data import transforms
from petseg.data.transforms import (
    degrade,
    elastic,
    jitter_colour,
    occlude,
    random_boxes,
    rotate,
    shift_hue,
)

BACKGROUND = 1


class TestCropAndColour:
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

    def test_hue_by_hand(self):
        colours = [[255.0, 0.0, 0.0], [90.0, 90.0, 90.0], [40.0, 200.0, 120.0]]
        images = tf.tile(tf.constant([[colours]]), (50, 1, 1, 1))
        shifts = tf.random.stateless_uniform((50, 1, 1), (1, 2), -0.5, 0.5).numpy().ravel()
        assert np.ptp(shifts) > 0.9
        for found, shift in zip(shift_hue(images, (1, 2), 0.5).numpy(), shifts, strict=True):
            for colour, pixel in zip(colours, found[0], strict=True):
                hue, *rest = colorsys.rgb_to_hsv(*colour)
                expected = colorsys.hsv_to_rgb((hue + shift) % 1, *rest)
                np.testing.assert_allclose(pixel, expected, atol=0.01)

    def test_other_channels_have_no_hue(self):
        images = tf.ones((2, 3, 3, 4))
        assert shift_hue(images, (1, 2), 0.5) is images


class TestRotation:
    def test_by_hand(self):
        """Where each pixel comes from is computed one by one."""
        height, width = 21, 30
        y, x = np.mgrid[:height, :width].astype("float32")
        ramp = np.stack([2 * x + 3 * y] * 3, axis=-1)
        masks = np.random.default_rng(0).integers(0, 200, (height, width, 1), np.uint8)
        images, labels = rotate(np.stack([ramp] * 4), np.stack([masks] * 4), (4, 5), 40.0)
        angles = tf.random.stateless_uniform((4,), (4, 5), -np.radians(40), np.radians(40)).numpy()
        assert labels.dtype == tf.int32
        assert (angles.min() < 0) & (angles.max() > 0)
        for image, label, angle in zip(images.numpy(), labels.numpy(), angles, strict=True):
            right, down = x - (width - 1) / 2, y - (height - 1) / 2
            from_x = np.cos(angle) * right - np.sin(angle) * down + (width - 1) / 2
            from_y = np.sin(angle) * right + np.cos(angle) * down + (height - 1) / 2
            inside = (from_x >= 0) & (from_x <= width - 1) & (from_y >= 0) & (from_y <= height - 1)
            assert 0.5 < inside.mean() < 0.95
            expected = (2 * from_x + 3 * from_y)[inside]
            np.testing.assert_allclose(image[inside, 0], expected, atol=1e-3)
            columns, rows = (np.rint(each[inside]).astype(int) for each in (from_x, from_y))
            assert np.mean(label[inside] == masks[rows, columns]) > 0.99  # the rest are ties

    def test_edges_are_reflected(self):
        masks = np.full((8, 20, 31, 1), 7, np.uint8)
        images, labels = rotate(np.full((8, 20, 31, 3), 200, np.uint8), masks, (0, 0), 180.0)
        np.testing.assert_array_equal(labels, 7)
        np.testing.assert_allclose(images, 200.0, atol=1e-3)


class TestOcclusion:
    def test_a_box_of_one_colour_is_background(self):
        masks = np.full((200, 40, 80, 1), 2, np.int32)
        images = np.zeros((200, 40, 80, 3), np.float32)
        found, found_masks = (np.array(x) for x in occlude(images, masks, (0, 0), 1.0, BACKGROUND))
        shares = []
        for image, mask in zip(found, found_masks, strict=True):
            rows, columns = np.nonzero(mask[..., 0] == BACKGROUND)
            box = slice(rows.min(), rows.max() + 1), slice(columns.min(), columns.max() + 1)
            assert (mask[box] == BACKGROUND).all()  # a rectangle
            assert len(np.unique(image[box].reshape(-1, 3), axis=0)) == 1
            assert (image[mask[..., 0] == 2] == 0).all()
            assert set(np.unique(mask)) == {BACKGROUND, 2}
            shares.append(len(rows) / mask.size)
        # 2% to 15% of the image, of which the frame can cut off three quarters.
        assert 0.1 < max(shares) < 0.17
        assert min(shares) < 0.03

    @pytest.mark.parametrize("probability", [0.0, 0.25])
    def test_share_of_the_images(self, probability):
        masks = np.zeros((400, 20, 20, 1), np.int32)
        images = np.zeros((400, 20, 20, 3), np.float32)
        _, found = occlude(images, masks, (1, 0), probability, BACKGROUND)
        share = np.array(found).any((1, 2, 3)).mean()
        assert share == pytest.approx(probability, abs=0.08 * (probability > 0))


class TestElastic:
    def test_one_displacement_by_hand(self, monkeypatch):
        monkeypatch.setattr(transforms, "ELASTIC_CELLS", 1)
        masks = np.arange(30, dtype=np.int32).reshape(1, 5, 6, 1)
        down, right = np.rint(tf.random.stateless_uniform((1, 1, 1, 2), (3, 0), -2.5, 2.5)[0, 0, 0])
        assert (down, right) != (0, 0)
        rows = np.clip(np.arange(5) + int(down), 0, 4)
        columns = np.clip(np.arange(6) + int(right), 0, 5)
        found = elastic(masks, (3, 0), 2.5)
        np.testing.assert_array_equal(found[0, ..., 0], masks[0, ..., 0][np.ix_(rows, columns)])

    def test_no_label_moves_further_than_asked(self):
        rows, columns = np.indices((50, 70))
        masks = np.stack([rows, columns])[..., None].astype(np.int32)
        for pixels in (0.0, 1.0, 3.0):
            moved = np.array(elastic(masks, (0, 1), pixels)) - masks
            assert abs(moved).max() == round(pixels)

    def test_neighbours_move_together(self):
        columns = np.indices((60, 60))[1][None, ..., None].astype(np.int32)
        moved = np.array(elastic(columns, (0, 2), 2.0)) - columns
        inner = moved[0, 3:-3, 3:-3, 0]
        assert abs(np.diff(inner, axis=1)).max() <= 1
        assert len(np.unique(inner)) > 2


class TestDegrade:
    IMAGES = np.random.default_rng(0).uniform(0, 255, (2, 6, 7, 3)).astype(np.float32)

    def test_blur_is_the_mean_of_the_pixels_around(self):
        found = np.array(degrade(self.IMAGES, (0, 0), blur=1.0, noise=0.0))
        np.testing.assert_allclose(found[:, 2, 3], self.IMAGES[:, 1:4, 2:5].mean((1, 2)), rtol=1e-5)
        np.testing.assert_allclose(found[:, 0, 0], self.IMAGES[:, :2, :2].mean((1, 2)), rtol=1e-5)

    def test_noise_keeps_the_mean_and_the_range(self):
        grey = np.full((1, 100, 100, 3), 128, np.float32)
        deviations = []
        for seed in range(20):
            found = np.array(degrade(grey, (seed, 0), blur=0.0, noise=1.0))
            assert found.mean() == pytest.approx(128, abs=1)
            deviations.append(found.std())
            dark = np.array(degrade(0 * grey, (seed, 0), blur=0.0, noise=1.0))
            assert dark.min() == 0
        assert 10 < max(deviations) < 15.5
        assert min(deviations) < 5

    def test_neither_changes_nothing(self):
        found = degrade(self.IMAGES, (0, 0), blur=0.0, noise=0.0)
        np.testing.assert_array_equal(found, self.IMAGES)
