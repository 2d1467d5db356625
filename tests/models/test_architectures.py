"""One contract for every architecture on every backbone, on whatever backend Keras runs."""

import keras
import numpy as np
import pytest

import petseg

LIGHT = "mobilenet"  # the least to compile
NUM_CLASSES = 4


def build(model, backbone, **arguments):
    return petseg.MODELS[model](NUM_CLASSES, backbone=backbone, weights=None, **arguments)


def random_images(count, height, width):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 3), dtype="uint8")


@pytest.mark.parametrize("backbone", petseg.BACKBONES)
@pytest.mark.parametrize("model", petseg.MODELS)
def test_logits_have_the_size_of_the_image(model, backbone):
    network = build(model, backbone)
    assert network.name == model
    assert isinstance(network.get_layer("encoder"), keras.Model)
    for height, width in ((33, 47), (64, 32)):
        logits = network(random_images(1, height, width))
        assert tuple(logits.shape) == (1, height, width, NUM_CLASSES)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        assert np.isfinite(keras.ops.convert_to_numpy(logits)).all()


def one_step(network, tmp_path):
    """Fits a batch, saves, loads, and compares what both predict at another size."""
    images = random_images(2, 33, 47)
    masks = np.random.default_rng(1).integers(0, NUM_CLASSES, (2, 33, 47, 1))
    before = [weight.numpy() for weight in network.trainable_weights]
    logs = network.fit(images, masks, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert {"pixel_accuracy", "mean_iou", "iou_0"} <= logs.keys()
    after = [weight.numpy() for weight in network.trainable_weights]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert np.mean(moved) > 0.5

    network.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    other = random_images(1, 40, 64)
    # By `predict`, which compiles: what a compiled network does to sizes is not what an eager one
    # does.
    expected = network.predict(other, verbose=0)
    assert expected.shape == (1, 40, 64, NUM_CLASSES)
    np.testing.assert_array_equal(loaded.predict(other, verbose=0), expected)
    assert loaded.metrics_names == network.metrics_names


@pytest.mark.parametrize("model", petseg.MODELS)
def test_every_architecture_trains_and_loads_again(model, tmp_path):
    one_step(build(model, LIGHT), tmp_path)


@pytest.mark.parametrize("backbone", [name for name in petseg.BACKBONES if name != LIGHT])
def test_every_backbone_trains_and_loads_again(backbone, tmp_path):
    one_step(build("fcn8", backbone), tmp_path)


def test_segnet_trains_on_the_backbone_with_max_pools():
    network = build("segnet", "vgg16", image_shape=(33, 47, 3))
    images = random_images(1, 33, 47)
    logs = network.fit(images, np.zeros((1, 33, 47), "int32"), verbose=0).history
    assert np.isfinite(logs["loss"]).all()


@pytest.mark.parametrize("model", petseg.MODELS)
def test_logits_are_float32_under_mixed_precision(model):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        network = build(model, LIGHT)
    finally:
        keras.config.set_dtype_policy("float32")
    logits = network(random_images(1, 33, 47))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


def test_pixels_of_the_ignored_class_change_nothing():
    network = build("fcn32", LIGHT, ignore_class=255)
    images = random_images(1, 32, 32)
    masks = np.zeros((1, 32, 32, 1), "int32")
    masks[:, :16] = 255
    whole = network.evaluate(images, masks, verbose=0, return_dict=True)
    masks[:, 16:] = np.array(network.predict(images, verbose=0)).argmax(-1)[:, 16:, :, None]
    right = network.evaluate(images, masks, verbose=0, return_dict=True)
    assert np.isfinite(whole["loss"])
    assert right["pixel_accuracy"] == right["mean_iou"] == 1.0


def test_weights_of_a_file_are_those_that_were_saved(tmp_path):
    network = build("unet", LIGHT)
    network.save_weights(tmp_path / "some.weights.h5")
    network.save(tmp_path / "some.keras")
    image = random_images(1, 33, 47)
    expected = keras.ops.convert_to_numpy(network(image))
    for name in ("some.weights.h5", "some.keras"):
        again = petseg.unet(NUM_CLASSES, backbone=LIGHT, weights=str(tmp_path / name))
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(image)), expected)


def test_the_same_seed_gives_the_same_network():
    images = random_images(1, 32, 32)
    logits = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        logits.append(keras.ops.convert_to_numpy(build("unet", LIGHT)(images)))
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize("model", petseg.MODELS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "`num_classes` must be an integer of 2 or more. Received: 1."),
        ({"num_classes": "3"}, "`num_classes`"),
        ({"backbone": "mobilenet_v2"}, "Did you mean 'mobilenetv2'"),
        ({"backbone": None}, "`backbone` must be one of mobilenet, "),
        ({"image_shape": (31, 64, 3)}, "at least 32. Received: .31, 64, 3."),
        ({"image_shape": (64, 64)}, "`image_shape`"),
        ({"image_shape": 64}, "`image_shape`"),
        ({"weights": "imagnet"}, "`weights` must be 'imagenet', 'pets', None, or the path"),
        ({"weights": "missing.weights.h5"}, "`weights`"),
        ({"class_names": ("a", "b")}, "`class_names` must hold 3 different names"),
    ],
)
def test_bad_arguments_are_answered(model, arguments, message):
    arguments = {"backbone": LIGHT, "weights": None, **arguments}
    with pytest.raises(ValueError, match=message):
        petseg.MODELS[model](**arguments)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        ("unet", {"decoder_filters": ()}, "`decoder_filters` must hold one to 4 positive integers"),
        ("unet", {"decoder_filters": (8, 8, 8, 8, 8)}, "`decoder_filters`"),
        ("fcn8", {"dropout": 1.0}, r"`dropout` must be a number in \[0, 1\)"),
        ("fcn8", {"decoder_filters": 0}, "`decoder_filters` must be a positive integer"),
        ("segnet", {"output_stride": 16}, "`output_stride` must be 2, 4 or 8"),
        ("pspnet", {"bin_sizes": (0, 2)}, "`bin_sizes`"),
        ("pspnet", {"output_stride": 4}, "`output_stride` must be 8 or 16"),
        ("deeplabv3", {"atrous_rates": ()}, "`atrous_rates`"),
        ("deeplabv3", {"output_stride": 32}, "`output_stride` must be 8 or 16. Received: 32."),
        ("deeplabv3_plus", {"low_level_filters": -1}, "`low_level_filters`"),
    ],
)
def test_bad_architecture_arguments_are_answered(model, arguments, message):
    arguments = {"backbone": LIGHT, "weights": None, **arguments}
    with pytest.raises(ValueError, match=message):
        petseg.MODELS[model](**arguments)


def test_weights_of_another_model_are_refused(tmp_path):
    build("unet", LIGHT).save_weights(tmp_path / "unet.weights.h5")
    with pytest.raises(ValueError, match="`weights` must be a file of the same model"):
        petseg.fcn8(backbone=LIGHT, weights=str(tmp_path / "unet.weights.h5"))
