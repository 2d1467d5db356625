import itertools

import numpy as np
import pytest

from petseg import PET_CLASSES, overlay, synthetic_pets
from petseg.mask_grid import prediction_grid, sample_grid, spread_examples


@pytest.fixture(scope="module")
def dataset():
    return synthetic_pets(40, image_size=(48, 64), batch_size=8, augment=False).val


@pytest.fixture(scope="module")
def pets(dataset):
    images, masks = next(iter(dataset))
    return images.numpy()[:2], masks.numpy()[:2]


def shown(figure):
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes]


def test_a_prediction_grid_has_a_column_an_image(pets):
    images, masks = pets
    wrong = 1 - np.minimum(masks, 1)
    figure = prediction_grid(images, masks, {"unet": masks, "fcn32": wrong}, PET_CLASSES)

    labels = [[text.get_text() for text in axes.texts] for axes in figure.axes[::2]]
    assert labels == [["photo"], ["truth"], ["unet"], ["fcn32"]]
    photo, truth, unet, fcn32 = shown(figure)[1::2]
    assert np.abs(photo - images[1]).max() <= 0.5
    assert (truth == overlay(images[1], masks[1], class_names=PET_CLASSES)).all()
    assert (unet == truth).all()
    assert (fcn32 == overlay(images[1], wrong[1], class_names=PET_CLASSES)).all()


def numbered(count, batch_size):
    """Batches of images whose pixels are the number of the example."""
    images = np.arange(count, dtype=np.float32).repeat(8 * 8 * 3).reshape(count, 8, 8, 3)
    starts = range(0, count, batch_size)
    return [(images[k : k + batch_size], images[k : k + batch_size, ..., :1]) for k in starts]


@pytest.mark.parametrize(
    ("count", "batch_size", "wanted"),
    [(100, 10, [12, 37, 62, 87]), (12, 12, [1, 4, 7, 10]), (3, 2, [0, 1, 2]), (1, 4, [0])],
)
def test_examples_are_spread_over_the_dataset(count, batch_size, wanted):
    for batches in (numbered(count, batch_size), iter(numbered(count, batch_size))):
        images, masks = spread_examples(batches, 4)
        assert [int(image[0, 0, 0]) for image in images] == wanted
        assert [int(mask[0, 0, 0]) for mask in masks] == wanted


def test_a_sample_grid_has_masks_below_the_images(dataset):
    images, masks = spread_examples(dataset, 6)
    panels = shown(sample_grid(dataset, PET_CLASSES))
    assert len(panels) == 2 * len(images)
    for index, (image, mask) in enumerate(zip(images, masks, strict=True)):
        assert np.abs(panels[index] - image).max() <= 0.5
        expected = overlay(image, mask, class_names=PET_CLASSES)
        assert (panels[len(images) + index] == expected).all()


def test_ignored_pixels_are_drawn_as_ignored(pets):
    images, masks = pets
    void = np.full_like(masks, 255)
    picture = shown(prediction_grid(images, void, {}, PET_CLASSES, ignore_class=255))[2]
    expected = overlay(images[0], void[0], class_names=PET_CLASSES, ignore_class=255)
    assert (picture == expected).all()


@pytest.mark.parametrize(
    ("names", "shown"),
    [(PET_CLASSES, ["pet", "border"]), (("road", "car", "sky"), ["road", "car", "sky"])],
)
def test_the_legend_names_the_classes_that_are_coloured(dataset, names, shown):
    figure = sample_grid(dataset, names)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == shown


def test_a_sheet_can_be_saved_without_a_display(dataset, tmp_path):
    sample_grid(dataset, PET_CLASSES).savefig(tmp_path / "samples.png")
    assert (tmp_path / "samples.png").stat().st_size > 10_000


def test_photos_of_different_sizes_share_a_sheet():
    images = [np.zeros((30, 40, 3), np.uint8), np.zeros((50, 20, 3), np.uint8)]
    masks = [np.zeros((30, 40), np.uint8), np.zeros((50, 20), np.uint8)]
    assert len(prediction_grid(images, masks, {}, PET_CLASSES).axes) == 4


def test_masks_that_are_not_one_an_image_are_refused(pets):
    images, masks = pets
    with pytest.raises(ValueError, match="1 masks of 'unet' for 2 images"):
        prediction_grid(images, masks, {"unet": masks[:1]}, PET_CLASSES)
    with pytest.raises(ValueError, match="1 masks of 'truth' for 2 images"):
        prediction_grid(images, masks[:1], {}, PET_CLASSES)


def test_a_sheet_of_nothing_is_refused(dataset):
    with pytest.raises(ValueError, match="at least one image"):
        prediction_grid([], [], {}, PET_CLASSES)
    with pytest.raises(ValueError, match="at least one image"):
        sample_grid(dataset.take(0), PET_CLASSES)


@pytest.mark.parametrize("label", [3, 255])
def test_the_legend_names_ignored_pixels_where_they_occur(label):
    image, mask = np.zeros((32, 32, 3)), np.zeros((32, 32), np.uint8)
    names = ("road", "car", "sky", "void")
    void = np.where(np.eye(32), label, mask)

    def entries(truth, ignore_class):
        figure = prediction_grid([image], [truth], {}, names, ignore_class=ignore_class)
        return [text.get_text() for text in figure.legends[0].get_texts()]

    classes = [name for index, name in enumerate(names) if index != label]
    assert entries(void, label) == [*classes, "ignored"]
    assert entries(mask, label) == classes
    assert entries(mask, None) == list(names)


def test_row_labels_do_not_overlap():
    images = [np.zeros((96, 128, 3))] * 2
    masks = [np.zeros((96, 128), np.uint8)] * 2
    names = ("deeplabv3_plus mobilenetv2 224 with tta", "m" * 40, "unet")
    figure = prediction_grid(images, masks, dict.fromkeys(names, masks), PET_CLASSES)
    figure.draw_without_rendering()
    labels = [axes.texts[0] for axes in figure.axes[::2]]
    shown = ["".join(text.get_text().split()) for text in labels]
    assert shown == ["photo", "truth", *("".join(name.split()) for name in names)]
    boxes = [text.get_window_extent() for text in labels]
    assert all(below.y1 < above.y0 for above, below in itertools.pairwise(boxes))
    assert min(box.x0 for box in boxes) >= 0


@pytest.mark.parametrize(
    ("names", "lines"),
    [
        ([f"class {index}" for index in range(25)], 5),
        ([f"a class with a long name, number {index}" for index in range(25)], 13),
        (["pet", "border"], 1),
    ],
)
def test_the_legend_has_as_many_columns_as_fit(names, lines):
    images = [np.zeros((96, 128, 3))] * 3
    masks = [np.zeros((96, 128), np.uint8)] * 3
    figure = prediction_grid(images, masks, {}, names)
    figure.draw_without_rendering()
    legend = figure.legends[0]
    boxes = [text.get_window_extent() for text in legend.get_texts()]
    assert len({round(box.y0) for box in boxes}) == lines
    assert legend.get_window_extent().x0 >= 0
    assert legend.get_window_extent().x1 <= figure.bbox.width


def test_a_class_name_wider_than_the_figure_is_wrapped():
    names = ("a class name that is wider than a figure of one image", "car")
    figure = prediction_grid([np.zeros((64, 64, 3))], [np.zeros((64, 64), np.uint8)], {}, names)
    figure.draw_without_rendering()
    legend = figure.legends[0]
    assert " ".join(legend.get_texts()[0].get_text().split("\n")) == names[0]
    assert legend.get_window_extent().x0 >= 0
    assert legend.get_window_extent().x1 <= figure.bbox.width
