"""Images of any number of channels: models, weights, training, prediction and export."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tifffile
from PIL import Image

import petseg
from petseg.backbones import BACKBONES, adapt_kernel, build_encoder, in_cycle
from petseg.data.augmentation import STRONG
from petseg.data.batch_augmentation import augment_batch
from petseg.data.transforms import jitter_colour
from petseg.experiment import Settings
from petseg.models import WeightsWarning
from petseg_runtime.image_io import read_image, shown_as_rgb
from petseg_runtime.resizing import resize

SMALL = {"backbone": "mobilenetv3small", "decoder_filters": 8, "weights": None}


def advice(channels):
    """What the error about another number of channels tells to do."""
    return f"Replace the file, or load the data with `channels={channels}` and use a model"


def small_model(channels, **arguments):
    keras.utils.set_random_seed(0)
    return petseg.fcn32(image_shape=(None, None, channels), **{**SMALL, **arguments})


def images_of(channels, count=2, size=(40, 64)):
    rng = np.random.default_rng(channels)
    return rng.integers(0, 256, (count, *size, channels), dtype="uint8")


def test_a_kernel_of_rgb_is_adapted():
    kernel = np.arange(2 * 2 * 3 * 5, dtype="float32").reshape(2, 2, 3, 5)
    red, green, blue = np.moveaxis(kernel, 2, 0)
    np.testing.assert_array_equal(adapt_kernel(kernel, 1)[:, :, 0], red + green + blue)
    expected = np.stack([red, green, blue, red], axis=2) * np.float32(0.75)
    np.testing.assert_array_equal(adapt_kernel(kernel, 4), expected)
    # Where the channels are turned round, the kernel is of blue, green and red, and the fourth
    # channel comes first.
    expected = np.stack([blue, red, green, blue], axis=2) * np.float32(0.75)
    np.testing.assert_array_equal(adapt_kernel(kernel, 4, is_reversed=True), expected)
    np.testing.assert_array_equal(adapt_kernel(kernel, 3), kernel)


def test_constants_of_channels_are_repeated():
    assert in_cycle((1.0, 2.0, 6.0), 5) == [1.0, 2.0, 6.0, 1.0, 2.0]
    assert in_cycle((1.0, 2.0, 6.0), 1) == [3.0]


@pytest.mark.parametrize("channels", [1, 6])
def test_imagenet_features_of_equal_channels_are_those_of_grey_rgb(channels):
    grey = images_of(1, size=(64, 64)).astype("float32")
    features = []
    for count in (3, channels):
        images = np.repeat(grey, count, axis=-1)
        encoder = build_encoder(BACKBONES["efficientnetlite0"], "imagenet", channels=count)
        features.append(encoder(BACKBONES["efficientnetlite0"].preprocess(images))[-1])
    np.testing.assert_allclose(*features, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("backbone", ["vgg16", "efficientnetv2b0"])
def test_preprocessing_repeats_the_constants_of_rgb(backbone):
    images = images_of(4).astype("float32")
    rgb = np.array(BACKBONES[backbone].preprocess(images[..., :3]))
    again = np.array(BACKBONES[backbone].preprocess(images[..., [3, 1, 2]]))
    found = np.array(BACKBONES[backbone].preprocess(images))
    if BACKBONES[backbone].reversed_channels:
        rgb, again, found = rgb[..., ::-1], again[..., ::-1], found[..., ::-1]
    np.testing.assert_allclose(found[..., :3], rgb, rtol=1e-6)
    np.testing.assert_allclose(found[..., 3], again[..., 0], rtol=1e-6)


@pytest.mark.parametrize("channels", [1, 2, 8])
def test_a_model_predicts_is_evaluated_and_is_saved(channels, tmp_path):
    model = small_model(channels)
    images = images_of(channels)
    assert petseg.model_info(model).channels == channels
    mask = petseg.predict(model, images[0], image_size=(40, 64))
    np.testing.assert_array_equal(mask, np.array(model(images[:1]))[0].argmax(-1))
    resized = petseg.predict(model, images[0], image_size=(64, 96))
    assert resized.shape == (40, 64)
    masks = np.zeros((2, 40, 64), "int32")
    assert petseg.evaluate(model, [(images, masks)]).examples == 2
    model.save(tmp_path / "model.keras")
    assert petseg.model_info(tmp_path / "model.keras").channels == channels
    picture = petseg.overlay(images[0], mask, class_names=petseg.PET_CLASSES)
    assert picture.shape == (40, 64, 3)
    cut = petseg.cutout(images[0], mask, class_names=petseg.PET_CLASSES, edges="hard")
    np.testing.assert_array_equal(cut[..., :3], shown_as_rgb(images[0]))


def test_errors_name_both_numbers_of_channels(tmp_path):
    model = small_model(4)
    rgb, masks = images_of(3), np.zeros((2, 40, 64, 1), "int32")
    message = r"\(H, W, 4\).*Received: shape \(40, 64, 3\)"
    with pytest.raises(ValueError, match=message):
        petseg.predict(model, rgb[0])
    with pytest.raises(ValueError, match=r"\(N, H, W, 4\)\. Received: shape \(2, 40, 64, 3\)"):
        petseg.evaluate(model, [(rgb, masks)])
    data = tf.data.Dataset.from_tensor_slices((rgb, masks)).batch(2)
    with pytest.raises(ValueError, match=r"images of 4 channels, .*images of 3 channels"):
        petseg.finetune(model, data, data)
    with pytest.raises(ValueError, match=r"\(N, H, W, 4\)\. Received"):
        petseg.export(model, tmp_path / "model.onnx", calibration=[rgb])


@pytest.mark.parametrize("name", ["model.onnx", "model.tflite", "model.xml", "saved"])
def test_exports_have_the_channels_of_the_model(name, tmp_path):
    model = small_model(4)
    path = petseg.export(model, tmp_path / name)
    runtime = petseg.Runtime(path)
    assert runtime.info.channels == 4
    images = images_of(4)
    expected = np.array(model(images))
    np.testing.assert_allclose(runtime(images), expected, atol=1e-3)
    with pytest.raises(ValueError, match=r"\(N, any, any, 4\)\. Received: shape \(2, 40, 64, 3\)"):
        runtime(images[..., :3])


def test_grey_images_are_trained_on():
    images, masks = images_of(1, 8), np.zeros((8, 40, 64, 1), "int32")
    data = tf.data.Dataset.from_tensor_slices((images, masks)).batch(4)
    model = small_model(1)
    history = petseg.finetune(model, data, data, frozen_epochs=0, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_weights_of_rgb_start_a_model_of_other_channels(tmp_path):
    source = small_model(3)
    source.save_weights(tmp_path / "rgb.weights.h5")
    with pytest.warns(WeightsWarning, match="adapted to the channels of the images: conv\\. "):
        model = small_model(4, weights=str(tmp_path / "rgb.weights.h5"))
    kernel, *rest = source.get_weights()
    adapted, *others = model.get_weights()
    np.testing.assert_array_equal(adapted, adapt_kernel(kernel, 4))
    for one, other in zip(rest, others, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_pets_weights_see_grey_photos_as_they_see_rgb():
    with pytest.warns(WeightsWarning, match="adapted to the channels of the images: stem"):
        model = petseg.unet(weights="pets", image_shape=(None, None, 1))
    grey = images_of(1, size=(64, 64))
    expected = np.array(petseg.unet(weights="pets")(np.repeat(grey, 3, axis=-1)))
    np.testing.assert_allclose(np.array(model(grey)), expected, atol=1e-2)
    assert petseg.model_info(model).temperature == 1.0  # measured on RGB


@pytest.mark.parametrize("channels", [1, 4])
def test_strong_augmentation_keeps_the_channels(channels):
    images, masks = images_of(channels, 4, (48, 48)), np.ones((4, 48, 48, 1), "uint8")
    for seed in range(4):
        found, labels = augment_batch(
            tf.constant(images),
            tf.constant(masks),
            seed=tf.constant([seed, 0]),
            image_size=(32, 32),
            augmentation=STRONG,
            background=0,
        )
        assert found.shape == (4, 32, 32, channels)
        assert labels.shape == (4, 32, 32, 1)


def test_other_channels_get_the_same_contrast_and_brightness():
    images = tf.constant(images_of(4).astype("float32"))
    draws = tf.constant([0.5, 0.75])
    found = jitter_colour(images, draws, draws, draws).numpy()
    # Half of the range: factor 1 and offset 0. Three quarters: factor 1.1 and offset 0.05 * 255.
    np.testing.assert_allclose(found[0], images[0], atol=1e-4)
    expected = np.clip(1.1 * (np.array(images[1]) - 127.5) + 127.5 + 12.75, 0, 255)
    np.testing.assert_allclose(found[1], expected, atol=1e-3)


def test_four_channels_are_resized_one_by_one():
    # Pillow would take the fourth for transparency and lose the others where it is 0.
    image = images_of(4, 1)[0]
    image[..., 3] = 0
    found = resize(image, (20, 32))
    np.testing.assert_array_equal(found[..., 0], resize(image[..., 0], (20, 32)))
    assert not found[..., 3].any()


@pytest.mark.parametrize(
    ("channels", "expected"), [(1, [0, 0, 0]), (2, [0, 0, 0]), (3, [0, 1, 2]), (5, [0, 1, 2])]
)
def test_what_is_shown_of_the_channels(channels, expected):
    image = np.arange(channels).reshape(1, 1, channels)
    assert shown_as_rgb(image).tolist() == [[expected]]


# Files.


@pytest.fixture(scope="module")
def bands():
    return images_of(5, 1, (36, 48))[0]


def write_tiff(path, pixels, **options):
    tifffile.imwrite(path, pixels, photometric="minisblack", **options)
    return path


@pytest.mark.parametrize("kind", ["contiguous", "separate", "pages", "npy", "uint16"])
def test_files_of_many_channels_are_read(bands, tmp_path, kind):
    path = tmp_path / ("image.npy" if kind == "npy" else "image.tif")
    if kind == "npy":
        np.save(path, bands)
    elif kind == "contiguous":
        write_tiff(path, bands, planarconfig="contig")
    elif kind == "separate":
        write_tiff(path, np.moveaxis(bands, -1, 0), planarconfig="separate", compression="zlib")
    elif kind == "pages":
        write_tiff(path, np.moveaxis(bands, -1, 0))
    else:
        write_tiff(path, bands.astype("uint16") * 257, planarconfig="contig")
    found = read_image(path, channels=5)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, bands)
    for channels in (4, 3, 1):
        expected = rf"image\.\w+ has 5 channels, and {channels} .* wanted\. {advice(5)}"
        with pytest.raises(ValueError, match=expected):
            read_image(path, channels)


@pytest.mark.parametrize(
    ("dtype", "options"),
    [
        ("uint16", {}),  # ExtraSamples 2, as tifffile writes by default
        ("uint16", {"photometric": "rgb", "extrasamples": (1,)}),
        ("uint16", {"photometric": "rgb", "extrasamples": (0,)}),
        ("uint8", {"photometric": "rgb", "extrasamples": (0,)}),
        ("uint8", {"photometric": "minisblack", "planarconfig": "contig"}),
        ("uint8", {"photometric": "minisblack"}),  # as pages of rows
        ("uint16", {"photometric": "minisblack", "bigtiff": True, "byteorder": "<"}),
        ("uint16", {"photometric": "rgb", "byteorder": ">", "compression": "zlib"}),
    ],
)
def test_a_fourth_band_is_neither_blended_nor_dropped(dtype, options, tmp_path):
    pixels = images_of(4, 1)[0]
    scale = 257 if dtype == "uint16" else 1
    tifffile.imwrite(tmp_path / "image.tif", pixels.astype(dtype) * scale, **options)
    for channels in (1, 3):
        with pytest.raises(ValueError, match=rf"image\.tif has 4 channels.* {advice(4)}"):
            read_image(tmp_path / "image.tif", channels)
    np.testing.assert_array_equal(read_image(tmp_path / "image.tif", 4), pixels)


def test_a_transparent_tiff_of_8_bits_is_read_as_a_png(tmp_path):
    pixels = images_of(4, 1)[0]
    tifffile.imwrite(tmp_path / "image.tif", pixels, extrasamples=(2,), photometric="rgb")
    Image.fromarray(pixels).save(tmp_path / "image.png")
    for channels in (1, 3, 4):
        one, other = (read_image(tmp_path / f"image.{end}", channels) for end in ("tif", "png"))
        np.testing.assert_array_equal(one, other)
    (tmp_path / "image.tif").write_bytes((tmp_path / "image.png").read_bytes())  # misnamed
    np.testing.assert_array_equal(
        read_image(tmp_path / "image.tif"), read_image(tmp_path / "image.png")
    )


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "CMYK", "YCbCr", "I;16"])
def test_ordinary_tiffs_are_converted(mode, tmp_path):
    image = Image.fromarray(images_of(3, 1)[0])
    image = (
        image.convert("L").convert("I").point(lambda x: x * 257).convert(mode)
        if mode == "I;16"
        else image.convert(mode)
    )
    options = {"compression": "jpeg", "quality": 100} if mode == "YCbCr" else {}
    image.save(tmp_path / "image.tif", **options)
    found = read_image(tmp_path / "image.tif")
    assert found.shape == (40, 64, 3)
    if mode in ("1", "L", "RGB"):
        np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))


def test_other_pages_are_left_out(tmp_path):
    pixels = images_of(1, 1)[0]
    with tifffile.TiffWriter(tmp_path / "image.tif") as file:
        file.write(pixels[..., 0], photometric="minisblack")
        file.write(pixels[::2, ::2, 0], photometric="minisblack")  # a thumbnail
    np.testing.assert_array_equal(read_image(tmp_path / "image.tif", 1), pixels)


def test_three_bands_are_rgb(tmp_path):
    pixels = images_of(3, 1)[0]
    write_tiff(tmp_path / "image.tif", np.moveaxis(pixels, -1, 0), planarconfig="separate")
    np.testing.assert_array_equal(read_image(tmp_path / "image.tif"), pixels)


@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_ordinary_photos_have_three_channels(mode, tmp_path):
    Image.fromarray(images_of(3, 1)[0]).convert(mode).save(tmp_path / "photo.png")
    with pytest.raises(ValueError, match=rf"photo\.png has 3 channels, .* {advice(3)}"):
        read_image(tmp_path / "photo.png", channels=4)


def test_files_of_two_and_four_channels_are_read_with_their_transparency(tmp_path):
    for channels in (2, 4):
        pixels = images_of(channels, 1)[0]
        Image.fromarray(pixels).save(tmp_path / "image.png")
        np.testing.assert_array_equal(read_image(tmp_path / "image.png", channels), pixels)
        expected = f"has {channels} channels, and 6 channels are wanted. {advice(channels)}"
        with pytest.raises(ValueError, match=expected):
            read_image(tmp_path / "image.png", channels=6)


def test_photos_become_grey(tmp_path):
    Image.fromarray(images_of(3, 1)[0]).save(tmp_path / "photo.png")
    grey = read_image(tmp_path / "photo.png", channels=1)
    with Image.open(tmp_path / "photo.png") as photo:
        np.testing.assert_array_equal(grey[..., 0], np.asarray(photo.convert("L")))


@pytest.mark.parametrize("pixels", [np.zeros((8, 8, 5)), np.zeros((8, 8, 5), "int64")])
def test_arrays_of_unknown_range_are_refused(tmp_path, pixels):
    np.save(tmp_path / "image.npy", pixels)
    with pytest.raises(ValueError, match=r"image\.npy .*type must be uint8 or uint16, and is"):
        read_image(tmp_path / "image.npy", channels=5)


@pytest.mark.parametrize("name", ["image.npy", "image.tif"])
def test_a_damaged_file_is_named(bands, tmp_path, name):
    path = tmp_path / name
    np.save(path, bands) if name.endswith("npy") else write_tiff(path, bands)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match=rf"{name} cannot be read as an image"):
        read_image(path, channels=5)


def own_data(root, images, suffix):
    """Writes images and masks in folders of splits."""
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (root / split / kind).mkdir(parents=True)
        for index, pixels in enumerate(images):
            path = root / split / "images" / f"{index}.{suffix}"
            np.save(path, pixels) if suffix == "npy" else write_tiff(path, pixels)
            mask = np.zeros(pixels.shape[:2], "uint8")
            mask[18:] = 1
            Image.fromarray(mask).save(root / split / "masks" / f"{index}.png")


def test_arrays_of_rgb_are_images_in_a_folder_of_their_own(tmp_path):
    images = images_of(3, size=(36, 48))
    own_data(tmp_path, images, "npy")
    names = ("soil", "water")
    assert petseg.data.verify_folder(tmp_path, class_names=names) == []
    data = petseg.load_folder(tmp_path, class_names=names, image_size=(36, 48))
    np.testing.assert_array_equal(next(iter(data.val))[0], images)
    for index, pixels in enumerate(images):
        Image.fromarray(255 - pixels).save(tmp_path / "val" / "images" / f"{index}.png")
    data = petseg.load_folder(tmp_path, class_names=names, image_size=(36, 48))
    np.testing.assert_array_equal(next(iter(data.val))[0], 255 - images)


@pytest.mark.parametrize(("suffix", "channels"), [("npy", 4), ("npy", 1), ("tif", 4), ("tif", 8)])
def test_a_folder_of_other_channels_is_told_from_a_damaged_one(suffix, channels, tmp_path):
    own_data(tmp_path, images_of(channels, size=(36, 48)), suffix)
    problem, *others = petseg.data.verify_folder(tmp_path, class_names=("soil", "water"))
    assert problem.kind == "unreadable"
    expected = rf"has {channels} channels?, and 3 .*{advice(channels)}"
    assert re.match(expected, problem.detail)
    assert {other.kind for other in others} == {"unreadable"}
    data = petseg.load_folder(tmp_path, class_names=("soil", "water"), image_size=(32, 32))
    with pytest.raises(tf.errors.OpError, match=rf"0\.{suffix} {expected}"):
        next(iter(data.val))


def test_a_list_names_arrays(tmp_path):
    for kind in ("images", "masks"):
        (tmp_path / kind).mkdir()
    for index, (split, line) in enumerate({"train": "0.npy", "val": "1", "test": "2.npy"}.items()):
        np.save(tmp_path / "images" / f"{index}.npy", np.full((36, 48, 4), index, "uint8"))
        Image.new("L", (48, 36)).save(tmp_path / "masks" / f"{index}.png")
        (tmp_path / f"{split}.txt").write_text(line)
    names = ("soil", "water")
    source = petseg.data.DataSource(str(tmp_path), classes=names, channels=4)
    found = [next(iter(split))["image"] for split in source.examples().values()]
    assert [int(image[0, 0, 0]) for image in found] == [0, 1, 2]


def test_a_folder_of_many_channels_is_loaded_trained_on_and_predicted(bands, tmp_path, cli):
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (tmp_path / split / kind).mkdir(parents=True)
        for index, suffix in enumerate(("npy", "tif")):
            path = tmp_path / split / "images" / f"{index}.{suffix}"
            np.save(path, bands) if suffix == "npy" else write_tiff(path, bands)
            mask = np.zeros((36, 48), "uint8")
            mask[18:] = 1
            Image.fromarray(mask).save(tmp_path / split / "masks" / f"{index}.png")
    names = ("soil", "water")
    assert petseg.data.verify_folder(tmp_path, class_names=names, channels=5) == []
    data = petseg.load_folder(
        tmp_path, class_names=names, image_size=(36, 48), batch_size=2, channels=5
    )
    images, _ = next(iter(data.val))
    np.testing.assert_array_equal(images[0], bands)
    model = small_model(5, num_classes=2, class_names=names)
    petseg.finetune(model, data.train, data.val, frozen_epochs=0, epochs=1, verbose=0)
    found = list(petseg.predict(model, [tmp_path / "test" / "images"]))
    assert [prediction.error for prediction in found] == [None, None]
    assert [prediction.path.name for prediction in found] == ["0.npy", "1.tif"]
    np.testing.assert_array_equal(found[0].mask, found[1].mask)
    model.save(tmp_path / "model.keras")
    options = ("--data", tmp_path, "--classes", ",".join(names))
    assert cli("data", *options, "--channels", 5, "--verify")[:2] == (0, "No problems found.\n")
    code, out, _ = cli("evaluate", tmp_path / "model.keras", *options)
    assert code == 0
    assert "water" in out
    settings = Settings("unet", data=str(tmp_path), classes=names, channels=5)
    assert settings.to_dict()["channels"] == settings.source().channels == 5
    with pytest.raises(ValueError, match=r"0\.npy has 5 channels, and 3 channels are wanted"):
        petseg.predict(small_model(3), tmp_path / "test" / "images" / "0.npy")
