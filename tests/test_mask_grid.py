import numpy as np
import pytest

from petseg import PET_CLASSES, overlay, synthetic_pets
from petseg.comparison import prediction_sheet, sample_sheet


@pytest.fixture(scope="module")
def dataset():
    return synthetic_pets(40, image_size=(48, 64), batch_size=8, augment=False).val


@pytest.fixture(scope="module")
def pets(dataset):
    images, masks = next(iter(dataset))
    return images.numpy()[:2], masks.numpy()[:2]


def shown(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def test_a_prediction_sheet_has_a_column_an_image(pets):
    images, masks = pets
    wrong = 1 - np.minimum(masks, 1)
    figure = prediction_sheet(images, masks, {"unet": masks, "fcn32": wrong}, PET_CLASSES)

    labels = [[text.get_text() for text in axes.texts] for axes in figure.axes[::2]]
    assert labels == [["photo"], ["truth"], ["unet"], ["fcn32"]]
    photo, truth, unet, fcn32 = shown(figure)[1::2]
    assert np.abs(photo - images[1]).max() <= 0.5
    assert (truth == overlay(images[1], masks[1])).all()
    assert (unet == truth).all()
    assert (fcn32 == overlay(images[1], wrong[1])).all()


def test_a_sample_sheet_has_masks_below_the_first_images(dataset, pets):
    images, masks = pets
    figure = sample_sheet(dataset, PET_CLASSES)
    panels = shown(figure)
    columns = len(panels) // 2
    assert np.abs(panels[1] - images[1]).max() <= 0.5
    assert (panels[columns + 1] == overlay(images[1], masks[1])).all()


def test_the_legend_names_the_classes_that_are_coloured(dataset):
    for transparent, names in ((1, ["pet", "border"]), (None, list(PET_CLASSES))):
        figure = sample_sheet(dataset, PET_CLASSES, transparent=transparent)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == names


def test_a_sheet_can_be_saved_without_a_display(dataset, tmp_path):
    sample_sheet(dataset, PET_CLASSES).savefig(tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 10_000


def test_photos_of_different_sizes_share_a_sheet():
    images = [np.zeros((30, 40, 3), np.uint8), np.zeros((50, 20, 3), np.uint8)]
    masks = [np.zeros((30, 40), np.uint8), np.zeros((50, 20), np.uint8)]
    assert len(prediction_sheet(images, masks, {}, PET_CLASSES).axes) == 4


def test_masks_that_are_not_one_an_image_are_refused(pets):
    images, masks = pets
    with pytest.raises(ValueError, match="1 masks of 'unet' for 2 images"):
        prediction_sheet(images, masks, {"unet": masks[:1]}, PET_CLASSES)
    with pytest.raises(ValueError, match="1 masks of 'truth' for 2 images"):
        prediction_sheet(images, masks[:1], {}, PET_CLASSES)


def test_a_sheet_of_nothing_is_refused(dataset):
    with pytest.raises(ValueError, match="at least one image"):
        prediction_sheet([], [], {}, PET_CLASSES)
    with pytest.raises(ValueError, match="at least one image"):
        sample_sheet(dataset.take(0), PET_CLASSES)
