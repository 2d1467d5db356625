import re

import keras
import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.model_records import update_info
from petseg.models.layers import SegmentationOutput
from petseg.prediction import predict
from petseg_runtime import ModelInfo
from petseg_runtime.predictor import Predictor

THREE = ModelInfo(("red", "green", "blue"))


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


def test_an_image_of_the_model_size_is_taken_as_it_is(model):
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


def masks_by_path(predictions):
    found = list(predictions)
    assert all(prediction.error is None for prediction in found)
    return {prediction.path: prediction.mask for prediction in found}


def test_a_folder_in_a_list_gives_its_photos_in_order(model, photos, tmp_path):
    found = masks_by_path(predict(model, [tmp_path]))
    assert list(found) == list(photos)
    assert all(agreement(mask, photos[path]) > 0.95 for path, mask in found.items())


def test_a_pattern_in_a_list_gives_what_it_matches(model, photos, tmp_path):
    assert list(masks_by_path(predict(model, [tmp_path / "*.png"]))) == list(photos)[:2]
    assert list(masks_by_path(predict(model, [f"{tmp_path}/**/c.png"]))) == list(photos)[2:]


def test_a_folder_or_pattern_alone_is_refused_with_the_remedy(model, tmp_path):
    for path in (str(tmp_path), f"{tmp_path}/*.png"):
        with pytest.raises(ValueError, match=re.escape(f"Pass [{path!r}] for all images in it")):
            predict(model, path)


def test_brackets_in_a_file_name_are_no_pattern(model, tmp_path):
    Image.fromarray(drawn(40, 60)[0]).save(tmp_path / "cat[1].png")
    assert predict(model, tmp_path / "cat[1].png").shape == (40, 60)


def test_a_list_gives_its_photos_in_its_order(model, photos):
    paths = [str(path) for path in reversed(photos)]
    assert [str(found.path) for found in predict(model, paths)] == paths


def test_photos_are_opened_a_few_ahead(model, photos, tmp_path):
    last = tmp_path / "z.png"
    paths = [*photos, *[next(iter(photos))] * 40, last]  # written after the first came back
    masks = predict(model, paths)
    next(masks)
    Image.fromarray(drawn(33, 44)[0]).save(last)
    assert list(masks)[-1].mask.shape == (33, 44)


def test_photos_of_one_shape_go_through_the_model_at_once():
    shapes = []

    def network(images):
        shapes.append(images.shape)
        return images

    sizes = [(100, 100), (200, 400), (90, 90)] * 4
    predictor = Predictor(network, THREE, (None, None))
    masks = list(predictor.masks(drawn(*size)[0] for size in sizes))
    assert [mask.shape for mask in masks] == sizes
    assert shapes == [(8, 224, 224, 3), (4, 224, 448, 3)]


def test_a_dataset_gives_the_masks_of_each_batch(model):
    pets = petseg.synthetic_pets(20, image_size=(64, 96), batch_size=2)
    masks = list(predict(model, pets.train))
    assert [len(mask) for mask in masks] == [2] * len(pets.train)
    assert masks[0].shape == (2, 64, 96)
    generated = predict(model, (images for images, _ in pets.test))
    np.testing.assert_array_equal(next(generated), next(predict(model, pets.test)))


class FirstColumn(keras.layers.Layer):
    """Class 0 wherever the image is; class 1 more than that in the network's first column."""

    def call(self, images):
        column = keras.ops.arange(keras.ops.shape(images)[2])[None, None, :, None]
        second = keras.ops.where(column == 0, 3.0, 0.0) + 0 * images[..., :1]
        return keras.ops.concatenate([0 * second + 1, second], axis=-1)


def lopsided():
    images = keras.Input((None, None, 3))
    return keras.Model(images, FirstColumn()(images))


def test_tta_averages_the_logits_of_both_mirror_images():
    photo = np.zeros((32, 32, 3), np.uint8)
    # One side alone: 3 against 1. Both sides averaged: (3 + 0) / 2 against 1.
    assert predict(lopsided(), photo, image_size=(32, 32))[0].tolist() == [1] + [0] * 31
    assert predict(lopsided(), photo, image_size=(32, 32), tta=True)[0].tolist() == (
        [1] + [0] * 30 + [1]
    )


def test_tiles_see_the_photo_at_its_own_size(model):
    noise = np.random.default_rng(0).integers(0, 256, (500, 450, 3), np.uint8)
    mask = predict(model, noise, tile=32)
    assert (mask == noise.argmax(axis=-1)).mean() > 0.99  # where two are equal, either is right
    assert (predict(model, noise) != noise.argmax(axis=-1)).mean() > 0.3


def test_tiles_count_less_towards_their_rim():
    # The middle tile's first column says class 1 with 3 against 1; the tile to its left, whose
    # middle that is, says 0 against 1, and outweighs it.
    mask = predict(lopsided(), np.zeros((32, 64, 3), np.uint8), tile=32)
    assert mask[0].tolist() == [1] + [0] * 63


def test_a_photo_smaller_than_the_tile_is_enlarged(model):
    assert agreement(predict(model, drawn(20, 40)[0], tile=64), (20, 40)) > 0.9


def test_tiles_of_a_model_of_one_size_have_that_size(model):
    assert agreement(predict(colour_model(64, 64), drawn(100, 150)[0], tile=64), (100, 150)) > 0.99
    with pytest.raises(ValueError, match=r"`tile` must fit the model.*\(64, 64\)"):
        predict(colour_model(64, 64), drawn(100, 150)[0], tile=96)
    with pytest.raises(ValueError, match=r"`tile` must be an integer of 32 or more\. Received: 16"):
        predict(model, drawn(100, 150)[0], tile=16)


def test_a_bad_file_among_many_gives_a_record_of_its_error(model, photos, tmp_path):
    (tmp_path / "aa.jpg").write_bytes(b"no image")
    bad, *good = sorted(predict(model, [tmp_path]), key=lambda found: found.path.name != "aa.jpg")
    assert bad.mask is None
    assert isinstance(bad.error, ValueError)
    assert "aa.jpg is not an image" in str(bad.error)
    assert list(masks_by_path(good)) == list(photos)
    (gone,) = predict(model, [tmp_path / "gone.png"])
    assert isinstance(gone.error, FileNotFoundError)


def test_more_than_256_classes_fit_in_a_mask():
    images = keras.Input((None, None, 3))
    # Class 256 + R of the pixel: the greatest logit is at the class that red says.
    logits = keras.layers.Lambda(
        lambda x: keras.ops.one_hot(256 + keras.ops.cast(x[..., 0], "int32"), 300),
        output_shape=(None, None, 300),
    )(images)
    model = keras.Model(images, logits)
    photo = np.zeros((32, 32, 3), np.uint8)
    photo[:, 16:, 0] = 43
    for arguments in ({}, {"tile": 32}):
        mask = predict(model, photo, image_size=(32, 32), **arguments)
        assert mask.dtype == np.uint16
        assert mask[0, ::16].tolist() == [256, 299]
    classes = Predictor(
        lambda batch: 256 + batch[..., 0].astype(int), petseg.model_info(model), (None, None)
    )
    assert classes(photo)[0, ::16].tolist() == [256, 299]


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


def test_a_model_with_a_record_sees_the_size_it_was_trained_at():
    images = keras.Input((None, None, 3))
    seen = SizeSeen()(images)
    output = SegmentationOutput(
        ModelInfo(tuple(map(str, range(64))), image_size=(64, 96)).to_dict()
    )
    model = keras.Model(images, output(seen, images))
    mask = predict(model, np.zeros((200, 100, 3), np.uint8))
    assert (32 * int(mask[0, 0]), 32 * int(mask[-1, -1])) == (64, 96)
    update_info(model, image_size=(128, 32))
    mask = predict(model, np.zeros((200, 100, 3), np.uint8))
    assert (32 * int(mask[0, 0]), 32 * int(mask[-1, -1])) == (128, 32)


def test_a_petseg_model_takes_photos_of_any_size(photos, tmp_path):
    unet = petseg.unet(weights=None)
    for found in predict(unet, [tmp_path], image_size=(64, 96)):
        assert found.mask.shape == photos[found.path]
        assert found.mask.max() < 3


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        ("gone.jpg", FileNotFoundError, "gone.jpg"),
        (["gone/*.jpg"], FileNotFoundError, "No image files in gone"),
        (np.zeros((8, 8)), ValueError, "`images` must be RGB"),
        (np.full((8, 8, 3), 0.5), ValueError, "`images` .*Multiply it by 255"),
        ([np.zeros((8, 8, 3))], TypeError, "`images` must hold paths"),
        (None, ValueError, "`images` must be RGB"),
    ],
)
def test_what_are_no_images_is_refused_at_once(model, images, error, message):
    with pytest.raises(error, match=message):
        predict(model, images)


def test_an_iterator_of_paths_is_told_from_one_of_batches(model, tmp_path):
    Image.fromarray(drawn(40, 60)[0]).save(tmp_path / "cat.png")
    with pytest.raises(TypeError, match=r"`list\(paths\)`"):
        next(predict(model, tmp_path.glob("*.png")))


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([{"image": 1}], "Received: dict"),
        ([None], "Received: NoneType"),
    ],
)
def test_a_batch_that_is_no_array_is_refused(model, batches, message):
    with pytest.raises(TypeError, match=message):
        next(predict(model, iter(batches)))


def test_batches_may_be_lists_of_images_and_masks(model):
    images = np.stack([drawn(40, 60)[0]] * 2)
    (masks,) = predict(model, iter([[images, None]]))
    np.testing.assert_array_equal(masks, predict(model, images))


def test_a_mapping_of_images_is_refused(model):
    with pytest.raises(TypeError, match=r"`images` must be a path, a list of paths.*dict"):
        predict(model, {"image": np.zeros((40, 60, 3))})
    with pytest.raises(ValueError, match="`tta` must be True or False"):
        predict(model, np.zeros((40, 60, 3)), tta=2)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.head = keras.layers.Conv2D(3, 1)

    def call(self, images):
        return self.head(images)


def test_a_subclassed_model_predicts():
    model = Subclassed()
    model.compile(loss="mse", metrics=[petseg.MeanIoU(3, ("a", "b", "c"))])
    model(np.zeros((1, 32, 32, 3), np.float32))
    assert predict(model, np.zeros((40, 60, 3), np.uint8)).shape == (40, 60)


def test_one_bad_file_alone_is_an_error(model, tmp_path):
    (tmp_path / "cat.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"cat\.jpg is not an image"):
        predict(model, tmp_path / "cat.jpg")


@pytest.mark.parametrize("size", [224, (224,), (16, 224), (224.0, 224.0), "ab"])
def test_what_is_no_image_size_is_refused(model, size):
    with pytest.raises(ValueError, match="`image_size` must be two integers of 32 or more"):
        predict(model, drawn(40, 60)[0], image_size=size)


def test_an_image_size_other_than_that_of_the_model_is_refused():
    with pytest.raises(ValueError, match=r"fixed to \(64, 96\)\. Received: \(96, 96\)"):
        predict(colour_model(64, 96), drawn(40, 60)[0], image_size=(96, 96))


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"`model` must be a keras\.Model"):
        predict("unet", drawn(40, 60)[0])


def test_what_was_decoded_of_a_damaged_file_is_let_go(tmp_path):
    photo = tmp_path / "photo.jpg"
    Image.fromarray(np.zeros((600, 800, 3), np.uint8)).save(photo)
    photo.write_bytes(photo.read_bytes()[:-200])
    predictor = Predictor(lambda images: images, THREE, (None, None))
    error = next(predictor.files([photo])).error
    assert isinstance(error, ValueError)
    assert error.__traceback__ is error.__cause__ is error.__context__ is None
