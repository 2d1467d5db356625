import warnings

import keras
import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.prediction import COLOURS, overlay, predict

ORANGE, SLATE, SKY = np.array(COLOURS[:3])


def colour_model(height=None, width=None):
    """Logits that are the pixel itself: red is class 0, green 1, blue 2."""
    images = keras.Input((height, width, 3))
    return keras.Model(images, keras.layers.Rescaling(1 / 255)(images))


@pytest.fixture(scope="module")
def model():
    return colour_model()


def drawn(height, width):
    """Three upright bands of red, green and blue, and their mask."""
    mask = np.tile(np.arange(width) * 3 // width, (height, 1))
    return (np.eye(3) * 255).astype(np.uint8)[mask], mask


@pytest.fixture
def photos(tmp_path):
    """A folder of photos of different sizes, by path; PNG, so that the bands stay sharp."""
    sizes = {"a.png": (50, 90), "b.png": (96, 48), "inner/c.png": (240, 300)}
    for name, size in sizes.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(drawn(*size)[0]).save(tmp_path / name)
    return {tmp_path / name: size for name, size in sizes.items()}


def agreement(mask, size):
    assert mask.shape == size
    assert mask.dtype == np.uint8
    return np.mean(mask == drawn(*size)[1])


@pytest.mark.parametrize("size", [(224, 224), (37, 91), (91, 37), (300, 500), (1, 40)])
def test_an_array_gives_a_mask_of_its_size(model, size):
    assert agreement(predict(model, drawn(*size)[0]), size) > 0.95


def test_an_image_of_the_network_size_is_taken_as_it_is(model):
    noise = np.random.default_rng(0).uniform(0, 255, (64, 96, 3))
    assert (predict(model, noise, image_size=(64, 96)) == noise.argmax(axis=-1)).all()


def test_a_batch_gives_masks_one_each(model):
    images = np.stack([drawn(40, 60)[0], drawn(40, 60)[0][:, ::-1]] * 20)  # Two steps of 32.
    masks = predict(model, images)
    assert masks.shape == (40, 40, 60)
    for image, mask in zip(images, masks, strict=True):
        assert (predict(model, image) == mask).all()


def test_an_empty_batch_gives_no_mask(model):
    assert predict(model, np.zeros((0, 40, 60, 3))).shape == (0, 40, 60)


def test_a_flipped_photo_gives_a_flipped_mask(model):
    photo = np.random.default_rng(0).integers(0, 256, (50, 75, 3), np.uint8)
    assert (predict(model, photo[:, ::-1]) == predict(model, photo)[:, ::-1]).mean() > 0.999


def test_the_logits_are_resized_and_not_the_mask():
    # The network sees two columns of one row, red and green, 32 pixels each; back at 8 columns
    # the logits cross between the fourth and the fifth.
    photo = np.zeros((32, 8, 3), np.uint8)
    photo[:, :4, 0] = photo[:, 4:, 1] = 255
    assert predict(colour_model(32, 64), photo)[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]


def test_a_path_gives_a_mask(model, photos):
    for path, size in photos.items():
        assert agreement(predict(model, path), size) > 0.95
        assert agreement(predict(model, str(path)), size) > 0.95


def test_the_mask_is_upright_where_the_photo_is(model, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 8  # Stored lying; it shows upright turned a quarter counterclockwise.
    photo, mask = drawn(60, 90)
    lying = Image.fromarray(photo).rotate(-90, expand=True)
    lying.save(tmp_path / "lying.png", exif=exif)
    assert agreement(predict(model, tmp_path / "lying.png"), mask.shape) > 0.95


def test_a_folder_gives_its_photos_in_order(model, photos, tmp_path):
    found = dict(predict(model, tmp_path))
    assert list(found) == list(photos)
    assert all(agreement(mask, photos[path]) > 0.95 for path, mask in found.items())


def test_a_pattern_gives_what_it_matches(model, photos, tmp_path):
    assert [path for path, _ in predict(model, tmp_path / "*.png")] == list(photos)[:2]
    assert [path for path, _ in predict(model, f"{tmp_path}/**/c.png")] == list(photos)[2:]


def test_brackets_in_a_file_name_are_no_pattern(model, tmp_path):
    Image.fromarray(drawn(40, 60)[0]).save(tmp_path / "cat[1].png")
    assert predict(model, tmp_path / "cat[1].png").shape == (40, 60)


def test_a_list_gives_its_photos_in_its_order(model, photos):
    paths = [str(path) for path in reversed(photos)]
    assert [str(path) for path, _ in predict(model, paths)] == paths


def test_photos_are_opened_as_their_turn_comes(model, photos):
    masks = predict(model, list(photos))
    next(masks)
    second = list(photos)[1]
    Image.fromarray(drawn(33, 44)[0]).save(second)
    assert next(masks)[1].shape == (33, 44)


def test_a_bad_file_among_many_is_skipped_with_a_warning(model, photos, tmp_path):
    (tmp_path / "aa.jpg").write_bytes(b"no image")
    with pytest.warns(UserWarning, match=r"Skipped an image\. .*aa\.jpg is not an image"):
        found = dict(predict(model, tmp_path))
    assert list(found) == list(photos)
    with pytest.warns(UserWarning, match=r"Skipped an image\. .*gone\.png"):
        assert list(predict(model, [tmp_path / "gone.png"])) == []


class SizeSeen(keras.layers.Layer):
    """Logits that say how large the images are: of class H // 32 or, in the last row, W // 32."""

    def call(self, images):
        height, width = keras.ops.shape(images)[1:3]
        rows = keras.ops.arange(height)[None, :, None, None]
        index = keras.ops.where(rows < height - 16, height // 32, width // 32)
        return keras.ops.one_hot(index[..., 0], 64) + 0 * images[..., :1]


@pytest.mark.parametrize(
    ("size", "seen"),
    [
        ((224, 224), (224, 224)),
        ((500, 375), (288, 224)),  # 298.7 by 224
        ((375, 500), (224, 288)),
        ((60, 92), (224, 352)),  # 224 by 343.5
        ((20, 2000), (224, 1792)),  # at most eight times 224
    ],
)
def test_a_model_of_any_size_sees_the_shorter_side_at_224(size, seen):
    images = keras.Input((None, None, 3))
    model = keras.Model(images, SizeSeen()(images))
    mask = predict(model, np.zeros((*size, 3), np.uint8))
    assert (32 * int(mask[0, 0]), 32 * int(mask[-1, -1])) == seen


def test_a_model_of_one_size_sees_that_size():
    assert agreement(predict(colour_model(64, 96), drawn(100, 100)[0]), (100, 100)) > 0.95


def test_a_network_of_the_zoo_takes_photos_of_any_size(photos, tmp_path):
    unet = petseg.unet(weights=None)
    for path, mask in predict(unet, tmp_path, image_size=(64, 96)):
        assert mask.shape == photos[path]
        assert mask.max() < 3


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("gone.jpg", FileNotFoundError, "gone.jpg"),
        ("gone/*.jpg", FileNotFoundError, "No image files in gone"),
        (np.zeros((8, 8)), ValueError, "`images` must be RGB"),
        (np.full((8, 8, 3), 0.5), ValueError, "`images` .*Multiply it by 255"),
        ([np.zeros((8, 8, 3))], TypeError, "`images` must hold paths"),
        (None, ValueError, "`images` must be RGB"),
    ],
)
def test_what_are_no_images_is_refused_at_once(model, images, error, message):
    with pytest.raises(error, match=message):
        predict(model, images)


def test_one_bad_file_alone_is_an_error(model, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"cat\.jpg is not an image"):
        predict(model, tmp_path / "cat.jpg")


@pytest.mark.parametrize("size", [224, (224,), (16, 224), (224.0, 224.0), "ab"])
def test_what_is_no_image_size_is_refused(model, size):
    with pytest.raises(ValueError, match=r"`image_size` must be \(height, width\)"):
        predict(model, drawn(40, 60)[0], image_size=size)


def test_an_image_size_other_than_that_of_the_model_is_refused():
    with pytest.raises(ValueError, match=r"takes \(64, 96\) alone.*Received: \(96, 96\)"):
        predict(colour_model(64, 96), drawn(40, 60)[0], image_size=(96, 96))


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"`model` must be a keras\.Model"):
        predict("unet", drawn(40, 60)[0])


# Four columns of each class, on black.
BANDS = np.repeat(np.array([[0, 1, 2]], np.uint8), 4, axis=1).repeat(4, axis=0)
BLACK = np.zeros((4, 12, 3), np.uint8)


def test_overlay_blends_colours_and_outlines_regions():
    row = overlay(BLACK, BANDS, opacity=0.5)[0]
    assert row[:3].tolist() == [(ORANGE // 2).tolist()] * 3
    assert row[3].tolist() == ORANGE.tolist()  # the outline
    assert row[4:8].tolist() == BLACK[0, 4:8].tolist()  # the background
    assert row[8].tolist() == SKY.tolist()
    assert row[9:].tolist() == [(SKY // 2).tolist()] * 3


def test_overlay_of_no_opacity_leaves_outlines_alone():
    row = overlay(BLACK, BANDS, opacity=0)[0]
    assert np.flatnonzero(row.any(axis=-1)).tolist() == [3, 8]


def test_overlay_leaves_any_class_bare():
    assert not overlay(BLACK, BANDS, transparent=0)[:, :4].any()
    assert (overlay(BLACK, BANDS, opacity=1, transparent=None)[:, 4:8] == SLATE).all()


def test_overlay_takes_a_photo_and_mask_of_a_batch():
    from_batch = overlay(BLACK.astype(np.float32), BANDS[..., np.newaxis].astype(np.int32))
    assert (from_batch == overlay(BLACK, BANDS)).all()


def test_overlay_leaves_its_arguments_alone():
    photo, mask = BLACK.copy(), BANDS.copy()
    overlay(photo, mask)
    assert not photo.any()
    assert (mask == BANDS).all()


def test_overlay_has_a_colour_for_any_label():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert overlay(BLACK, np.full((4, 12), 255, np.uint8)).any()


@pytest.mark.parametrize(
    ("image", "mask", "opacity", "message"),
    [
        (BLACK, BANDS[:, :5], 0.5, r"`mask` .*\(4, 12\).*\(4, 5\)"),
        (BLACK, BANDS.astype(float), 0.5, "`mask` must hold integer classes"),
        (BLACK[..., 0], BANDS, 0.5, "`image` must be RGB"),
        (BLACK, BANDS, 1.5, r"`opacity` must lie in \[0, 1\]\. Received: 1\.5"),
    ],
)
def test_overlay_refuses_what_does_not_fit(image, mask, opacity, message):
    with pytest.raises(ValueError, match=message):
        overlay(image, mask, opacity=opacity)
