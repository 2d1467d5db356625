"""Scenes made of the photos of a batch, by photos of one colour."""

import numpy as np
import pytest

from petseg.data import scenes
from petseg.data.scenes import mosaic, paste

BACKGROUND = 1
WHOLE = np.array([[0.0, 0.0, 1.0, 1.0]], np.float32)  # a crop box


def frames_of(images, masks):
    return images.astype(np.float32), masks.astype(np.int32)


def colour_of(labels):
    """The colour of the photo whose object has the label."""
    return 20.0 * labels


def photos_of_one_colour(count=4, size=(40, 60)):
    """Photo i is of one colour; its object has the label i + 2. The last has no background."""
    labels = np.arange(2, count + 2).reshape(-1, 1, 1, 1)
    masks = np.full((count, *size, 1), BACKGROUND)
    masks[:, 10:30, 20:45] = labels
    masks[-1] = labels[-1]
    images = np.broadcast_to(colour_of(labels), (count, *size, 3))
    return images.astype(np.uint8), masks.astype(np.uint8)


def triangles(count, size):
    """White triangles on black, without symmetry, and their masks."""
    rows, columns = np.indices(size)
    height, width = size
    inside = (rows > height // 8) & (columns > width // 4) & (rows > columns * height / width)
    masks = np.where(inside, 0, BACKGROUND).astype(np.uint8)[None, :, :, None]
    images = np.where(masks == 0, 255, 0).astype(np.uint8)
    return np.repeat(np.repeat(images, 3, axis=3), count, axis=0), np.repeat(masks, count, axis=0)


def is_uniform(masks):
    """Where a mask has one label in the 3x3 pixels around a pixel."""
    padded = np.pad(masks[..., 0], ((0, 0), (1, 1), (1, 1)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return (windows.min((-2, -1)) == windows.max((-2, -1)))[..., None]


class TestPaste:
    @pytest.mark.parametrize("seed", range(12))
    def test_objects_are_pasted_and_no_background(self, seed):
        images, masks = photos_of_one_colour()
        frames = frames_of(images, masks)
        new_images, new_masks = (
            np.array(x) for x in paste(images, masks, frames, (seed, 0), BACKGROUND)
        )
        assert new_images.shape == images.shape
        assert new_masks.dtype == np.int32
        own = frames[0][..., :1]
        expected = np.where(new_masks == BACKGROUND, own, colour_of(new_masks))
        np.testing.assert_allclose(new_images, np.repeat(expected, 3, axis=3), atol=1e-3)
        assert set(np.unique(new_masks)) <= {1, 2, 3, 4, 5}
        assert (new_masks != masks).any()

    def test_of_photos_without_objects_nothing_is_pasted(self):
        images, masks = photos_of_one_colour()
        masks[:] = BACKGROUND
        for seed in range(5):
            found = paste(images, masks, frames_of(images, masks), (seed, 0), BACKGROUND)
            np.testing.assert_array_equal(found[0], images)
            np.testing.assert_array_equal(found[1], masks)

    @pytest.mark.parametrize("size", [(80, 120), (81, 119)])
    def test_the_mask_lies_on_the_object(self, monkeypatch, size):
        monkeypatch.setattr(scenes, "MOST_PASTED", 1)
        images, masks = triangles(6, size)
        empty = np.zeros_like(images), np.full_like(masks, BACKGROUND)
        objects = 0
        for seed in range(8):
            new_images, new_masks = (
                np.array(x) for x in paste(images, masks, frames_of(*empty), (seed, 1), BACKGROUND)
            )
            sure = is_uniform(new_masks)
            white = new_images[..., :1] > 127
            np.testing.assert_array_equal(white[sure], (new_masks == 0)[sure])
            objects += (sure & (new_masks == 0)).sum()
        assert objects > 1000

    def test_size_and_number(self, monkeypatch):
        size = (100, 200)
        images, masks = np.zeros((50, *size, 3), np.uint8), np.zeros((50, *size, 1), np.uint8)
        frames = frames_of(images, np.full_like(masks, BACKGROUND))
        monkeypatch.setattr(scenes, "MOST_PASTED", 1)
        _, found = paste(images, masks, frames, (0, 2), BACKGROUND)
        pasted = np.array(found)[..., 0] == 0
        sides = pasted.any(2).sum(1) / 100, pasted.any(1).sum(1) / 200
        for side in sides:  # those in the middle are not cut off by the frame
            assert 0.55 < side.max() <= 0.66
        shares = pasted.mean((1, 2))
        assert shares.min() > 0.2**2 / 4 - 0.01  # a corner of the smallest lies in the frame
        np.testing.assert_array_equal(shares > 0, True)

    def test_a_batch_of_one(self):
        images, masks = photos_of_one_colour(1)
        found = paste(images, masks, frames_of(images, masks), (0, 0), BACKGROUND)
        np.testing.assert_allclose(found[0], images, atol=1e-3)


class TestMosaic:
    def tiles(self, size, image_size, share_of_3x3, monkeypatch, count=4):
        """The colour and the label of each pixel, which are those of photo 0 to 3."""
        monkeypatch.setattr(scenes, "MOSAIC_3X3", share_of_3x3)
        numbers = np.arange(count, dtype=np.uint8).reshape(-1, 1, 1, 1)
        images = np.broadcast_to(10 * numbers, (count, *size, 3))
        masks = np.broadcast_to(numbers, (count, *size, 1))
        boxes = np.repeat(WHOLE, count, axis=0)
        found = mosaic(images, masks, boxes, (0, 0), image_size)
        assert found[0].shape == (count, *image_size, 3)
        np.testing.assert_allclose(found[0], np.repeat(10.0 * found[1].numpy(), 3, 3), atol=1e-4)
        return np.array(found[1])[..., 0].tolist()

    def test_2x2_by_hand(self, monkeypatch):
        found = self.tiles((8, 8), (2, 4), 0.0, monkeypatch)
        assert found == [
            [[0, 0, 1, 1], [2, 2, 3, 3]],
            [[1, 1, 2, 2], [3, 3, 0, 0]],
            [[2, 2, 3, 3], [0, 0, 1, 1]],
            [[3, 3, 0, 0], [1, 1, 2, 2]],
        ]

    def test_odd_sizes_cut_the_last_tiles(self, monkeypatch):
        found = self.tiles((8, 8), (3, 5), 0.0, monkeypatch)
        assert found[0] == [[0, 0, 0, 1, 1], [0, 0, 0, 1, 1], [2, 2, 2, 3, 3]]

    def test_3x3_by_hand(self, monkeypatch):
        found = self.tiles((8, 8), (3, 3), 1.0, monkeypatch)
        assert found[0] == [[0, 1, 2], [3, 0, 1], [2, 3, 0]]  # of four photos
        assert found[1] == [[1, 2, 3], [0, 1, 2], [3, 0, 1]]

    @pytest.mark.parametrize("share_of_3x3", [0.0, 1.0])
    def test_the_mask_lies_on_the_object(self, monkeypatch, share_of_3x3):
        monkeypatch.setattr(scenes, "MOSAIC_3X3", share_of_3x3)
        images, masks = triangles(4, (81, 120))
        boxes = np.array(
            [[0, 0, 1, 1], [0, 1, 1, 0], [0.1, 0.2, 0.9, 0.9], [0.3, 0.1, 1, 0.8]], np.float32
        )
        new_images, new_masks = (
            np.array(x) for x in mosaic(images, masks, boxes, (0, 0), (72, 96))
        )
        sure = is_uniform(new_masks)
        np.testing.assert_array_equal(new_images[..., :1][sure] > 127, (new_masks == 0)[sure])
        assert 0.2 < (new_masks == 0).mean() < 0.8
