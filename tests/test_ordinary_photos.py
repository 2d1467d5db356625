"""Photos with small and several animals are composed alike each time, with masks that fit."""

import numpy as np
import pytest

from benchmarks.accuracy import scene_composer
from benchmarks.accuracy.ordinary_photos import SHEET_COLUMNS, batches, sheet
from benchmarks.accuracy.scene_composer import (
    AREA,
    BACKGROUND,
    BORDER,
    FRAMES,
    KINDS,
    PET,
    Composer,
    Photo,
    compose,
    free_rectangle,
)
from petseg.data import draw_pet

COUNT = 60


@pytest.fixture(scope="module")
def photos():
    found = [Photo(image, mask[..., 0]) for image, mask in map(draw_pet, range(30))]
    assert all(photo.image.shape[:2] == photo.mask.shape for photo in found)
    return found


@pytest.fixture(scope="module")
def found(photos):
    return compose(photos, COUNT, seed=1)


def test_same_seed_same_set(photos, found):
    again, other = compose(photos, COUNT, seed=1), compose(photos, 5, seed=2)
    for one, same in zip(found, again, strict=True):
        assert one.kind == same.kind
        np.testing.assert_array_equal(one.image, same.image)
        np.testing.assert_array_equal(one.mask, same.mask)
    assert not all(
        np.array_equal(one.mask, another.mask)
        for one, another in zip(found[:5], other, strict=True)
    )


def test_images_and_masks(found):
    kinds = [scene.kind for scene in found]
    for kind, share in KINDS.items():
        assert kinds.count(kind) / COUNT == pytest.approx(share, abs=0.2)
    for scene in found:
        assert scene.mask.shape in FRAMES
        assert scene.image.shape == (*scene.mask.shape, 3)
        assert scene.image.dtype == scene.mask.dtype == np.uint8
        assert set(np.unique(scene.mask)) <= {PET, BACKGROUND, BORDER}
    assert all((scene.mask == PET).any() for scene in found if scene.kind == "mosaic")


def test_one_animal_takes_the_share_that_was_drawn(found):
    shares = [np.mean(scene.mask != BACKGROUND) for scene in found if scene.kind == "one"]
    assert max(shares) < AREA[1] + 0.02
    assert min(shares) < 0.12
    # A frame or a box can hide a part, but seldom all.
    assert np.median(shares) > AREA[0]


def test_several_animals_cover_at_most_half_of_the_frame(found):
    shares = [np.mean(scene.mask != BACKGROUND) for scene in found if scene.kind == "several"]
    assert max(shares) < 0.52
    assert np.median(shares) > 2 * AREA[0]


def test_an_animal_is_pasted_with_its_mask():
    """A white animal on black, pasted onto grey: its pixels are white, and others stay grey."""
    mask = np.full((60, 80), BACKGROUND, np.uint8)
    mask[20:50, 30:60] = PET
    white = Photo(np.where(mask[..., None] == PET, 255, 0).astype(np.uint8).repeat(3, 2), mask)
    for seed in range(10):
        composer = Composer([white], np.random.default_rng(seed))
        image = np.full((120, 160, 3), 100, np.uint8)
        labels = np.full((120, 160), BACKGROUND, np.uint8)
        composer._paste(image, labels, 0.1)
        rows, columns = np.nonzero(labels == PET)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert height * width == len(rows)  # a rectangle, as it was cut out
        if (labels[1:-1, 1:-1] == PET).sum() == len(rows):  # the frame cuts nothing off
            assert len(rows) / labels.size == pytest.approx(0.1, rel=0.05)
        np.testing.assert_array_equal(image[labels == BACKGROUND], 100)
        assert (image[labels == PET] > 100).mean() > 0.95
        middle = image[rows.min() + height // 2, columns.min() + width // 2]
        np.testing.assert_array_equal(middle, 255)


def test_an_animal_that_its_photo_cuts_off_stays_at_that_side():
    mask = np.full((60, 80), BACKGROUND, np.uint8)
    mask[30:, 20:60] = PET  # cut off by the lower edge
    photo = Photo(np.zeros((60, 80, 3), np.uint8), mask)
    for seed in range(10):
        composer = Composer([photo], np.random.default_rng(seed))
        labels = np.full((120, 160), BACKGROUND, np.uint8)
        composer._paste(np.zeros((120, 160, 3), np.uint8), labels, 0.1)
        assert (labels[-1] == PET).any()


def test_a_box_over_an_animal_is_background():
    mask = np.full((100, 100), PET, np.uint8)
    photo = Photo(np.zeros((100, 100, 3), np.uint8), np.full((100, 100), BACKGROUND, np.uint8))
    for seed in range(10):
        composer = Composer([photo], np.random.default_rng(seed))
        image, labels = np.full((100, 100, 3), 7, np.uint8), mask.copy()
        composer._occlude(image, labels)
        rows, columns = np.nonzero(labels == BACKGROUND)
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert height * width == len(rows)
        assert 8 <= height <= 30
        assert 8 <= width <= 30
        np.testing.assert_array_equal(image[labels == PET], 7)


def test_the_largest_rectangle_without_an_animal_by_hand():
    mask = np.full((48, 64), BACKGROUND, np.uint8)
    assert free_rectangle(mask) == (slice(0, 48), slice(0, 64))
    mask[20, 40] = PET  # in the cell of rows 16 to 24 and columns 40 to 48
    # To the left: 48 x 40. Above: 16 x 64, below: 24 x 64, to the right: 48 x 16.
    assert free_rectangle(mask) == (slice(0, 48), slice(0, 40))
    mask[47, 3] = BORDER  # leaves 40 x 40 to the left, and 48 x 32 between the two
    assert free_rectangle(mask) == (slice(0, 40), slice(0, 40))
    mask[:] = PET
    assert free_rectangle(mask) == (slice(0, 0), slice(0, 0))


def test_only_animal_free_rectangles_are_backgrounds(photos):
    composer = Composer(photos, np.random.default_rng(0))
    assert composer.backgrounds
    for photo in photos:
        assert (photo.mask[free_rectangle(photo.mask)] == BACKGROUND).all()
    smallest = scene_composer.LEAST_FREE * min(photo.mask.size for photo in photos)
    assert all(part.shape[0] * part.shape[1] > smallest for part in composer.backgrounds)


def test_batches_are_those_of_the_other_splits(found):
    dataset = batches(found[:5], (32, 48), batch_size=4)
    sizes = []
    for images, masks in dataset:
        assert images.shape[1:] == (32, 48, 3)
        assert masks.shape[1:] == (32, 48, 1)
        assert images.dtype == "float32"
        assert masks.dtype == "int32"
        sizes.append(len(images))
    assert sizes == [4, 1]


def test_the_sheet_has_ten_scenes_in_a_row(found):
    picture = sheet(found[:12])
    width, height = picture.size
    assert width % SHEET_COLUMNS == 0
    cell = width // SHEET_COLUMNS, height // 2
    blank = picture.crop((2 * cell[0], cell[1], width, height))
    assert blank.getextrema() == ((255, 255),) * 3
    for index in (0, 9, 11):
        row, column = divmod(index, SHEET_COLUMNS)
        box = column * cell[0], row * cell[1], (column + 1) * cell[0], (row + 1) * cell[1]
        assert picture.crop(box).getextrema() != ((255, 255),) * 3
