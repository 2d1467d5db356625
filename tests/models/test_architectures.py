"""One contract for every architecture on every backbone, on every backend of Keras."""

import inspect

import keras
import numpy as np
import pytest

import petseg
from petseg.weight_transfer import layers_of

pytestmark = pytest.mark.backend

LIGHT = "mobilenet"  # The fastest to compile.
NUM_CLASSES = 4

SHARED_ARGUMENTS = {
    "num_classes",
    "backbone",
    "image_shape",
    "weights",
    "class_names",
    "ignore_class",
}

# Values other than the defaults for every argument that only some architectures have.
ASPP = {"output_stride": 8, "atrous_rates": [2, 4], "decoder_filters": 8, "dropout": 0.25}
ARGUMENTS = {
    "unet": {"decoder_filters": [16, 8]},
    "fcn8": {"decoder_filters": 8, "dropout": 0.25},
    "fcn16": {"decoder_filters": 8, "dropout": 0.25},
    "fcn32": {"decoder_filters": 8, "dropout": 0.25},
    "segnet": {"output_stride": 8},
    "pspnet": {"output_stride": 16, "bin_sizes": [1, 3], "decoder_filters": 8, "dropout": 0.25},
    "deeplabv3": ASPP,
    "deeplabv3_plus": {**ASPP, "low_level_filters": 6},
    "fpn": {"pyramid_filters": 8, "decoder_filters": 6},
    "linknet": {"decoder_steps": 4, "reduction": 8},
    "lraspp": {"output_stride": 8, "decoder_filters": 8},
}


def build(architecture, backbone, **arguments):
    return petseg.MODELS[architecture](NUM_CLASSES, backbone=backbone, weights=None, **arguments)


def random_images(count, height, width):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, height, width, 3), dtype="uint8")


# EfficientNet-Lite1 and 2 differ from 0 in the number of blocks and channels alone.
@pytest.mark.parametrize(
    "backbone", sorted(petseg.BACKBONES.keys() - {"efficientnetlite1", "efficientnetlite2"})
)
@pytest.mark.parametrize("architecture", petseg.MODELS)
def test_logits_have_the_size_of_the_image(architecture, backbone):
    model = build(architecture, backbone)
    assert model.name == architecture
    assert isinstance(model.get_layer("encoder"), keras.Model)
    names = [name for name, _ in layers_of(model)]
    assert len(names) == len(set(names)), "weights of other models are found by these names"
    for height, width in ((33, 47), (64, 32)):
        logits = model(random_images(1, height, width))
        assert tuple(logits.shape) == (1, height, width, NUM_CLASSES)
        assert keras.backend.standardize_dtype(logits.dtype) == "float32"
        assert np.isfinite(keras.ops.convert_to_numpy(logits)).all()


def one_step(model, tmp_path):
    """Fits a batch, saves, loads, and compares what both predict at another size."""
    images = random_images(2, 33, 47)
    masks = np.random.default_rng(1).integers(0, NUM_CLASSES, (2, 33, 47, 1))
    before = [weight.numpy() for weight in model.trainable_weights]
    # Plain gradient descent: the update of AdamW takes half of the time to compile.
    metric = petseg.MeanIoU(NUM_CLASSES)
    model.compile(keras.optimizers.SGD(0.1), loss=model.loss, metrics=[metric])
    logs = model.fit(images, masks, verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert {"pixel_accuracy", "mean_iou", "iou_0"} <= logs.keys()
    after = [weight.numpy() for weight in model.trainable_weights]
    moved = [not np.array_equal(a, b) for a, b in zip(before, after, strict=True)]
    assert np.mean(moved) > 0.5

    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    other = random_images(1, 40, 64)
    # `predict` compiles, and compiled functions do not treat unknown sizes as eager ones do.
    expected = model.predict(other, verbose=0)
    assert expected.shape == (1, 40, 64, NUM_CLASSES)
    np.testing.assert_array_equal(loaded.predict(other, verbose=0), expected)
    assert loaded.metrics_names == model.metrics_names


@pytest.mark.parametrize("architecture", petseg.MODELS)
def test_every_architecture_trains_and_loads_again(architecture, tmp_path):
    one_step(build(architecture, LIGHT), tmp_path)


@pytest.mark.parametrize("backbone", [name for name in petseg.BACKBONES if name != LIGHT])
def test_every_backbone_trains_and_loads_again(backbone, tmp_path):
    one_step(build("fcn8", backbone), tmp_path)


def test_segnet_trains_on_the_backbone_with_max_pools():
    model = build("segnet", "vgg16", image_shape=(33, 47, 3))
    images = random_images(1, 33, 47)
    logs = model.fit(images, np.zeros((1, 33, 47), "int32"), verbose=0).history
    assert np.isfinite(logs["loss"]).all()


@pytest.mark.parametrize("architecture", petseg.MODELS)
def test_logits_are_float32_under_mixed_precision(architecture):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = build(architecture, LIGHT)
    finally:
        keras.config.set_dtype_policy("float32")
    logits = model(random_images(1, 33, 47))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


def test_pixels_of_the_ignored_class_change_nothing():
    model = build("fcn32", LIGHT, ignore_class=255)
    images = random_images(1, 32, 32)
    masks = np.zeros((1, 32, 32, 1), "int32")
    masks[:, :16] = 255
    whole = model.evaluate(images, masks, verbose=0, return_dict=True)
    masks[:, 16:] = np.array(model.predict(images, verbose=0)).argmax(-1)[:, 16:, :, None]
    right = model.evaluate(images, masks, verbose=0, return_dict=True)
    assert np.isfinite(whole["loss"])
    assert right["pixel_accuracy"] == right["mean_iou"] == 1.0


def test_weights_of_a_file_are_those_that_were_saved(tmp_path):
    model = build("unet", LIGHT)
    model.save_weights(tmp_path / "some.weights.h5")
    model.save(tmp_path / "some.keras")
    image = random_images(1, 33, 47)
    expected = keras.ops.convert_to_numpy(model(image))
    for name in ("some.weights.h5", "some.keras"):
        again = petseg.unet(NUM_CLASSES, backbone=LIGHT, weights=str(tmp_path / name))
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(again(image)), expected)


def test_the_same_seed_gives_the_same_model():
    images = random_images(1, 32, 32)
    logits = []
    for _ in range(2):
        keras.utils.set_random_seed(7)
        logits.append(keras.ops.convert_to_numpy(build("unet", LIGHT)(images)))
    np.testing.assert_array_equal(*logits)


@pytest.mark.parametrize("architecture", petseg.MODELS)
def test_record_holds_the_arguments(architecture):
    signature = inspect.signature(petseg.MODELS[architecture])
    assert set(ARGUMENTS[architecture]) == set(signature.parameters) - SHARED_ARGUMENTS
    model = build(
        architecture,
        LIGHT,
        image_shape=(64, 96, 3),
        class_names=("a", "b", "c", "d"),
        ignore_class=255,
        **ARGUMENTS[architecture],
    )
    info = petseg.model_info(model)
    assert info.architecture == architecture
    assert info.backbone == LIGHT
    assert info.arguments == ARGUMENTS[architecture]
    assert info.class_names == ("a", "b", "c", "d")
    assert info.ignore_class == 255
    assert info.image_size == (64, 96)
    assert info.weights is None

    again = petseg.MODELS[info.architecture](
        info.num_classes, backbone=info.backbone, weights=None, **info.arguments
    )
    assert [w.shape for w in again.weights] == [w.shape for w in model.weights]


@pytest.mark.parametrize("architecture", petseg.MODELS)
def test_record_holds_the_default_arguments(architecture):
    signature = inspect.signature(petseg.MODELS[architecture])
    info = petseg.model_info(build(architecture, LIGHT))
    assert set(info.arguments) == set(ARGUMENTS[architecture])
    for name, value in info.arguments.items():
        default = signature.parameters[name].default
        assert value == (list(default) if isinstance(default, tuple) else default)
    assert info.class_names == ("0", "1", "2", "3")
    assert (info.ignore_class, info.image_size) == (None, None)


def in_numpy(value):
    if isinstance(value, list):
        return np.array(value)
    return np.float32(value) if isinstance(value, float) else np.int64(value)


@pytest.mark.parametrize("architecture", petseg.MODELS)
def test_numpy_arguments_are_accepted(architecture):
    arguments = {name: in_numpy(value) for name, value in ARGUMENTS[architecture].items()}
    model = petseg.MODELS[architecture](
        np.int64(3),
        backbone=LIGHT,
        weights=None,
        image_shape=(np.int64(64), None, np.int64(3)),
        **arguments,
    )
    info = petseg.model_info(model)
    assert info.arguments == ARGUMENTS[architecture]
    assert info.num_classes == 3
    assert model.input_shape == (None, 64, None, 3)


@pytest.mark.parametrize("architecture", petseg.MODELS)
@pytest.mark.parametrize("flag", [True, False])
def test_booleans_are_refused_as_numbers(architecture, flag):
    flags = {
        name: [flag] if isinstance(value, list) else flag
        for name, value in ARGUMENTS[architecture].items()
    }
    flags |= {"num_classes": flag, "ignore_class": flag, "image_shape": (flag, 64, 3)}
    flags |= {"weights": flag, "backbone": flag}
    for name, value in flags.items():
        arguments = {"backbone": LIGHT, "weights": None, name: value}
        with pytest.raises(ValueError, match=f"`{name}` must .*Received: .*{flag}"):
            petseg.MODELS[architecture](**arguments)


@pytest.mark.parametrize("architecture", petseg.MODELS)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, r"`num_classes` must be an integer of 2 or more\. Received: 1\."),
        ({"num_classes": "3"}, "`num_classes`"),
        ({"backbone": "mobilenet_v2"}, "Did you mean 'mobilenetv2'"),
        ({"backbone": 3}, "`backbone` must be one of mobilenet, "),
        ({"image_shape": (31, 64, 3)}, r"at least 32\. Received: \(31, 64, 3\)\."),
        ({"image_shape": (64, 64)}, "`image_shape`"),
        ({"image_shape": (64, 64, 0)}, "`image_shape`"),
        ({"image_shape": (64, 64, None)}, "`image_shape`"),
        ({"image_shape": (64.0, 64, 3)}, "`image_shape`"),
        ({"image_shape": 64}, "`image_shape`"),
        ({"weights": "imagnet"}, "`weights` must be 'imagenet', 'pets', None, or the path"),
        ({"weights": "missing.weights.h5"}, "`weights`"),
        ({"class_names": ("a", "b")}, "`class_names` must hold 3 different names"),
        ({"ignore_class": "255"}, "`ignore_class` must be an integer or None"),
    ],
)
def test_bad_arguments_are_refused(architecture, arguments, message):
    arguments = {"backbone": LIGHT, "weights": None, **arguments}
    with pytest.raises(ValueError, match=message):
        petseg.MODELS[architecture](**arguments)


@pytest.mark.parametrize(
    ("architecture", "arguments", "message"),
    [
        ("unet", {"decoder_filters": ()}, "`decoder_filters` must hold 1 to 4 positive integers"),
        ("unet", {"decoder_filters": (8, 8, 8, 8, 8)}, "`decoder_filters`"),
        ("fcn8", {"dropout": 1.0}, r"`dropout` must be a number in \[0, 1\)"),
        ("fcn16", {"dropout": float("nan")}, "`dropout`"),
        ("fcn32", {"decoder_filters": 0}, "`decoder_filters` must be a positive integer"),
        ("segnet", {"output_stride": 16}, "`output_stride` must be 2, 4 or 8. Received: 16"),
        ("segnet", {"output_stride": 4.0}, "`output_stride`"),
        ("pspnet", {"bin_sizes": (0, 2)}, "`bin_sizes`"),
        ("pspnet", {"output_stride": 4}, "`output_stride` must be 8 or 16"),
        ("deeplabv3", {"atrous_rates": ()}, "`atrous_rates`"),
        ("deeplabv3", {"output_stride": 32}, "`output_stride` must be 8 or 16. Received: 32."),
        ("deeplabv3_plus", {"low_level_filters": -1}, "`low_level_filters`"),
        ("fpn", {"pyramid_filters": 0}, "`pyramid_filters` must be a positive integer"),
        ("fpn", {"decoder_filters": 1.5}, "`decoder_filters` must be a positive integer"),
        (
            "linknet",
            {"decoder_steps": 5},
            r"`decoder_steps` must be an integer from 1 to 4\. Received: 5\.",
        ),
        ("linknet", {"decoder_steps": 0}, "`decoder_steps` must be an integer from 1 to 4"),
        ("linknet", {"reduction": 0}, "`reduction` must be a positive integer"),
        ("lraspp", {"output_stride": 32}, "`output_stride` must be 8 or 16. Received: 32."),
        ("lraspp", {"decoder_filters": "8"}, "`decoder_filters` must be a positive integer"),
    ],
)
def test_bad_architecture_arguments_are_refused(architecture, arguments, message):
    arguments = {"backbone": LIGHT, "weights": None, **arguments}
    with pytest.raises(ValueError, match=message):
        petseg.MODELS[architecture](**arguments)
