"""The drawn scenes for class imbalance: repeatable, with masks that fit and rare classes."""

import numpy as np
import pytest

import petseg
from benchmarks.accuracy.imbalance import CHANGES, SEEDS, class_shares, runs
from benchmarks.accuracy.street_scenes import CLASSES, RARE, ROAD, SIZE, draw_street, write_streets


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streets") / "streets"
    write_streets(folder, {"train": 60, "val": 40, "test": 40})
    return folder


def test_same_seed_same_scene():
    image, mask = draw_street((0, 1, 2))
    again = draw_street((0, 1, 2))
    np.testing.assert_array_equal(image, again[0])
    np.testing.assert_array_equal(mask, again[1])
    assert (image.shape, mask.shape) == ((*SIZE, 3), SIZE)
    assert np.abs(image.astype(int) - draw_street((0, 1, 3))[0]).mean() > 5


def test_image_and_mask_show_the_same_road():
    image, mask = draw_street(0)
    # The road is grey; its noise is the same in all channels.
    road = image[mask == ROAD].astype(int)
    assert np.median(np.ptp(road, axis=1)) < 10
    assert np.median(np.ptp(image[mask != ROAD].astype(int), axis=1)) >= 10


def test_the_scenes_are_a_valid_folder_with_rare_classes(folder):
    assert petseg.data.verify_folder(folder, class_names=CLASSES) == []
    shares = class_shares(folder / "train" / "masks")
    assert sum(share["pixels"] for share in shares.values()) == pytest.approx(1, abs=1e-3)
    assert sum(shares[name]["pixels"] for name in RARE) < 0.02
    assert all(0 < shares[name]["images"] < 0.5 for name in RARE)
    assert all(shares[name]["images"] > 0.8 for name in CLASSES if name not in RARE)


def test_each_change_is_made_with_each_seed():
    names = [name for name, _, _ in runs()]
    assert len(set(names)) == len(names) == SEEDS * len(CHANGES)
