"""Backbones beside the table: models of the user, and functions of `keras.applications`."""

import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import applications, layers

import petseg
from petseg.backbones import BACKBONES, Backbone, build_encoder, encode
from petseg.experiment import Settings
from petseg.feature_taps import find_features
from petseg.own_backbone import find_backbone
from petseg.training import thaw_encoder

STRIDES = (2, 4, 8, 16, 32)


def network(strides=(2, 2, 2, 2, 2), size=None, channels=3, name="own_network", before=()):
    """A convolution for each stride, with padding before and normalization after it."""
    images = x = keras.Input((size, size, channels))
    for layer in before:
        x = layer(x)
    for number, stride in enumerate(strides, start=1):
        x = layers.ZeroPadding2D(1, name=f"pad{number}")(x)
        x = layers.Conv2D(4 * number, 3, stride, use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    return keras.Model(images, layers.GlobalAveragePooling2D()(x), name=name)


def image(size=64):
    return np.random.default_rng(0).uniform(0, 255, (1, size, size, 3)).astype("float32")


def names_of(features):
    return [feature._keras_history.operation.name for feature in features]


@pytest.mark.parametrize("name", ["mobilenet", "vgg16", "efficientnetlite0"])
def test_the_layers_of_the_table_are_found(name):
    backbone = BACKBONES[name]
    whole = backbone.build(include_top=False, weights=None, input_shape=(None, None, 3))
    assert tuple(names_of(find_features(whole, name))) == backbone.taps


def test_features_are_the_last_ones_before_the_padding():
    own = network()
    assert names_of(find_features(own, "own")) == [f"relu{number}" for number in range(1, 6)]
    features = encode(keras.Input((96, 64, 3)), find_backbone(own), None)
    assert [feature.shape[1:3] for feature in features] == [(96 // s, 64 // s) for s in STRIDES]


def test_without_stride_2_the_image_stands_for_the_features():
    encoder = build_encoder(find_backbone(network((4, 2, 2, 2))), None)
    features = encoder(image())
    expected = image().reshape(1, 32, 2, 32, 2, 3).mean((2, 4))
    np.testing.assert_allclose(np.array(features[0]), expected, rtol=1e-5)
    assert [feature.shape[1] for feature in features] == [32, 16, 8, 4, 2]
    thaw_encoder(encoder, "stage2")  # no layer comes before the image
    trained = [layer.name for layer in encoder.layers if layer.trainable_weights]
    assert trained == ["conv1", "conv2", "conv3", "conv4"]


def test_layers_can_be_named():
    taps = ["conv1", "relu2", "norm3", "relu4", "relu5"]
    encoder = build_encoder(Backbone("own", network(), taps=taps), None)
    assert names_of(encoder.outputs) == taps


@pytest.mark.parametrize(
    ("taps", "message"),
    [
        (["relu1", "relu2", "relu3", "relu3", "relu5"], "strides 2, 4, 8, 8, 32"),
        (["relu1", "relu2", "relu3", "relu4", "head"], "Received: 'head'"),
        (["relu1", "relu2"], "must be the names of five layers.*Received: .'relu1', 'relu2'."),
        ("relu1", "must be the names of five layers"),
    ],
)
def test_named_layers_that_do_not_fit_are_refused(taps, message):
    with pytest.raises(ValueError, match=f"`taps` .*{message}"):
        petseg.unet(backbone=Backbone("own", network(), taps=taps))


def test_a_model_keeps_its_weights_unless_they_are_to_be_random():
    own = network()
    kernel = own.get_layer("conv1").get_weights()[0]
    kept = petseg.unet(backbone=own).get_layer("encoder").get_layer("conv1")
    np.testing.assert_array_equal(kept.get_weights()[0], kernel)
    new = petseg.unet(backbone=own, weights=None).get_layer("encoder").get_layer("conv1")
    assert np.abs(new.get_weights()[0] - kernel).max() > 0.01
    assert kept is not own.get_layer("conv1")


def test_a_model_on_an_own_network_does_what_others_do(tmp_path):
    own = network()
    before = own.get_weights()
    pets = petseg.synthetic_pets(8, image_size=(64, 64), batch_size=4)
    model = petseg.unet(backbone=own, class_names=pets.class_names)
    petseg.finetune(model, pets.train, pets.val, frozen_epochs=1, epochs=1, verbose=0)
    for array, original in zip(own.get_weights(), before, strict=True):
        np.testing.assert_array_equal(array, original)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        loaded.predict(image(), verbose=0), model.predict(image(), verbose=0)
    )
    assert petseg.model_info(tmp_path / "model.keras").backbone == "own_network"
    runtime = petseg.Runtime(petseg.export(model, tmp_path / "model.onnx"))
    assert runtime(image(50)).shape == (1, 50, 50, 3)
    with pytest.raises(ValueError, match=r"`backbone` must be given .*'own_network'"):
        petseg.unet(weights=tmp_path / "model.keras")
    again = petseg.unet(backbone=network(), weights=tmp_path / "model.keras")
    np.testing.assert_allclose(again(image()), model(image()), atol=1e-5)


def test_normalization_inside_other_layers_stays_frozen():
    inner = network((1,), channels=3, name="inner")
    block = keras.Model(inner.input, inner.get_layer("relu1").output, name="block")
    images = keras.Input((None, None, 3))
    encoder = keras.Model(images, block(images))
    thaw_encoder(encoder)
    trained = {weight.path for weight in encoder.trainable_weights}
    assert trained == {"conv1/kernel"}


def normalizing(statistics=((100, 120, 140), (900, 1600, 2500))):
    """Layers that normalize red, green and blue, as inside EfficientNet with ImageNet weights."""
    normalization = layers.Normalization()
    normalization.build((None, None, None, 3))
    normalization.set_weights([*map(np.array, statistics), np.array(0)])
    normalization.finalize_state()
    return normalization, layers.Rescaling(np.array([0.5, 1.0, 2.0]), offset=[0.1, 0.2, 0.3])


@pytest.mark.parametrize("output_stride", [32, 8])
def test_normalization_of_images_inside_a_model_is_kept(output_stride):
    own = network(before=normalizing())
    images = keras.Input((None, None, 3))
    ours = keras.Model(images, encode(images, find_backbone(own), "imagenet", output_stride))
    expected = keras.Model(own.input, own.get_layer("relu1").output)(image())
    np.testing.assert_allclose(ours(image())[0], expected, rtol=1e-5)


def with_normalization(*, include_top, weights, input_shape):  # noqa: ARG001 -- as Keras has them
    stem = keras.Sequential([layers.Conv2D(4, 1)], name="stem")
    return network(channels=input_shape[-1], before=(*normalizing(), stem))


def test_normalization_inside_a_function_is_adapted_to_the_channels():
    features = []
    for channels in (3, 6):
        keras.utils.set_random_seed(0)
        encoder = build_encoder(Backbone("own", with_normalization), "imagenet", channels=channels)
        features.append(encoder(np.repeat(image()[..., :1], channels, axis=-1))[-1])
    np.testing.assert_allclose(*features, rtol=1e-4, atol=1e-6)
    assert np.abs(features[0]).max() > 0.01
    grey = build_encoder(Backbone("own", with_normalization), None, channels=1)
    constants = [layer.get_config() for layer in grey.layers[1:3]]
    assert constants[0]["mean"] == [120]
    assert constants[1]["scale"] == [3.5 / 3]
    assert grey(image()[..., :1])[-1].shape == (1, 2, 2, 20)


def test_efficientnet_gets_the_statistics_of_imagenet():
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    keras.utils.set_random_seed(0)
    backbone = find_backbone("EfficientNetB0")
    images = keras.Input((None, None, 3))
    ours = keras.Model(images, encode(images, backbone, None))
    keras.utils.set_random_seed(0)
    theirs = applications.EfficientNetB0(include_top=False, weights=None)
    # In the file of ImageNet weights the variance is the deviation, and Keras divides again.
    theirs.get_layer(index=2).set_weights([mean, deviation**2, np.array(0)])
    theirs.get_layer(index=2).finalize_state()
    np.testing.assert_allclose(ours(image())[-1], theirs(image()), rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("name", ["DenseNet121", "ResNet50V2", "VGG19", "ConvNeXtTiny"])
def test_functions_of_keras_get_the_input_of_their_weights(name):
    build = getattr(applications, name)
    backbone = find_backbone(build)
    assert backbone.name == find_backbone(name).name == name
    images = keras.Input((2, 2, 3))
    ours = keras.Model(images, backbone.preprocess(images))
    pixels = image(2)
    expected = sys.modules[build.__module__].preprocess_input(pixels.copy())
    np.testing.assert_allclose(np.array(ours(pixels)), expected, atol=1e-4)
    assert backbone.reversed_channels == (name == "VGG19")


@pytest.mark.parametrize("given", ["MobileNetV2", applications.MobileNetV2])
def test_functions_in_the_table_are_its_rows(given):
    assert find_backbone(given) is BACKBONES["mobilenetv2"]


def test_a_function_of_keras_works_by_name():
    model = petseg.fpn(backbone="VGG19", weights=None, image_shape=(None, None, 4))
    assert petseg.model_info(model).backbone == "VGG19"
    assert model(np.zeros((1, 40, 48, 4), "float32")).shape == (1, 40, 48, 3)
    assert Settings("fpn", backbone="VGG19").backbone == "VGG19"


def test_a_network_of_one_size_needs_that_size():
    fixed = network(size=64)
    model = petseg.unet(backbone=fixed, image_shape=(64, 64, 3))
    assert model.input_shape == (None, 64, 64, 3)
    with pytest.raises(ValueError, match=r"`image_shape` .*\(64, 64\), .*\(None, None\)"):
        petseg.unet(backbone=fixed)


def stages(count=5):
    return [
        layers.Conv2D(4, 3, 2, padding="same", name=f"stage{number}") for number in range(count)
    ]


def sequential(count=5):
    return keras.Sequential([keras.Input((None, None, 3)), *stages(count)], name="own")


@pytest.mark.parametrize(
    "form",
    [
        lambda x, y: keras.Model([x], y, name="own"),
        lambda x, y: keras.Model([x], [y], name="own"),
        lambda x, y: keras.Model({"image": x}, y, name="own"),
        lambda x, y: keras.Model({"image": x}, {"features": y}, name="own"),
        lambda _x, _y: sequential(),
    ],
    ids=["list", "lists", "dict", "dicts", "sequential"],
)
def test_the_input_may_be_in_a_list_or_a_dict(form):
    base = sequential()
    image_input = keras.Input((None, None, 3), name="image")
    features = image_input
    for layer in base.layers:  # Their `output` is still that in `base`.
        features = layer(features)
    own = form(image_input, features)
    model = petseg.unet(backbone=own)
    assert petseg.model_info(model).backbone == "own"
    assert model(image()).shape == (1, 64, 64, 3)
    encoder = model.get_layer("encoder")
    assert names_of(encoder.outputs) == [f"stage{number}" for number in range(5)]
    expected = keras.Model(own.inputs[0], own.outputs[0])(image())
    np.testing.assert_allclose(encoder(image())[-1], expected, rtol=1e-5)


def test_a_function_may_build_a_sequential():
    backbone = Backbone("own", lambda **_: sequential())
    assert build_encoder(backbone, None)(image())[-1].shape == (1, 2, 2, 4)


def test_a_layer_may_be_used_several_times():
    activation = layers.ReLU(name="activation")
    images = x = keras.Input((None, None, 3))
    for layer in stages():
        x = activation(layer(x))
    encoder = build_encoder(find_backbone(keras.Model(images, x)), None)
    assert names_of(encoder.outputs) == ["activation"] * 5
    assert [features.shape[1] for features in encoder(image())] == [32, 16, 8, 4, 2]


@pytest.mark.parametrize("output_stride", [32, 16, 8])
def test_layers_may_be_models(output_stride):
    images = keras.Input((None, None, 3))
    block_input = keras.Input((None, None, 3))
    block = keras.Model(block_input, layers.Conv2D(3, 1)(block_input), name="block")
    x = block(images)
    for layer in stages():
        x = layer(x)
    own = keras.Model(images, x)
    ours = encode(images, find_backbone(own), "imagenet", output_stride)
    found = keras.Model(images, ours[2])(image())
    expected = keras.Model(images, own.get_layer("stage2").output)(image())
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("taps", [None, [f"stage{number}" for number in range(5)]])
def test_features_inside_an_inner_model_are_not_found(taps):
    images = keras.Input((None, None, 3))
    inner = sequential()
    inner = keras.Model(inner.inputs[0], inner.outputs[0], name="inner")
    wrapped = keras.Model(images, inner(layers.Rescaling(1 / 255)(images)), name="wrapped")
    with pytest.raises(ValueError, match=r"'wrapped'.* pass that .*model.get_layer\('inner'\)"):
        petseg.unet(backbone=Backbone("wrapped", wrapped, taps=taps))
    assert petseg.unet(backbone=wrapped.get_layer("inner"))(image()).shape == (1, 64, 64, 3)


def test_a_backbone_of_keras_hub(tmp_path):
    models = pytest.importorskip("keras_hub").models
    own = models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 64, 64],
        stackwise_num_blocks=[1, 1, 1, 1],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="basic_block",
    )
    # As the page says of the constants of an image converter.
    backbone = Backbone("resnet", own, layers.Rescaling((0.1, 0.2, 0.3), (1, 2, 3)))
    model = petseg.unet(backbone=backbone)
    found = model.get_layer("encoder")(image())
    assert [features.shape[1] for features in found] == [32, 16, 8, 4, 2]
    np.testing.assert_allclose(found[-1], own(image()), rtol=1e-4, atol=1e-5)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(loaded(image()), model(image()), atol=1e-5)
    assert "keras_hub" not in loaded.to_json()


def with_two_inputs():
    images, depth = keras.Input((None, None, 3)), keras.Input((None, None, 1))
    x = layers.Concatenate()([images, depth])
    for layer in stages():
        x = layer(x)
    return keras.Model([images, depth], x, name="rgbd")


class Subclassed(keras.Model):
    def call(self, x):
        return x


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        (lambda **_: network(), "a Keras model, or a `petseg.Backbone`. Received: <function"),
        (Subclassed(), "functional model with one input.* with no input"),
        (keras.Sequential(stages()), "no input. Begin it with `keras.Input"),
        (with_two_inputs(), r"one input .*'rgbd' with inputs .*None, 3\), .*None, 1\)"),
        (keras.Sequential([keras.Input((3,)), layers.Dense(2)]), r"with inputs \(None, 3\)"),
        (Backbone("own", lambda **_: "network"), "functional model .*'network' with no input"),
        (sequential(4), "'own', which has none at 32"),
        (network((2, 2, 2, 2)), "'own_network', which has none at 32"),
        (network((2, 2, 4, 2)), "'own_network', which has none at 8"),
        (network(channels=1), "`image_shape` must have 1 channels"),
        (keras, "must be one of mobilenet"),
        ("resnet", r"its name, such as DenseNet121, a .*'resnet'\. Did you mean 'resnet50' or"),
        ("DenseNet12", r"'DenseNet12'\. Did you mean 'DenseNet121' or"),
    ],
)
def test_what_is_no_backbone_is_refused(backbone, message):
    with pytest.raises(ValueError, match=f"`backbone`.*{message}|{message}"):
        petseg.unet(backbone=backbone)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("", network), "`name` must be a string. Received: ''"),
        (("own", "resnet50"), "`build` must be a function or a model. Received: 'resnet50'"),
        (("own", network, 255), "`preprocess` must be a function or a model. Received: 255"),
    ],
)
def test_wrong_values_of_a_backbone_are_refused(values, message):
    with pytest.raises(ValueError, match=message):
        Backbone(*values)


def test_layers_that_cannot_be_dilated_are_named():
    start = network((2, 2, 2))
    block = keras.Sequential([layers.Conv2D(4, 3, 2, padding="same")])
    x = layers.Conv2D(4, 2, 2)(block(start.get_layer("relu3").output))
    own = keras.Model(start.input, x, name="nested")
    assert petseg.pspnet(backbone=own, weights=None, output_stride=16)
    with pytest.raises(ValueError, match=r"`output_stride` must be 16 .*'nested'.* Received: 8"):
        petseg.pspnet(backbone=own, weights=None, output_stride=8)


def test_preprocessing_is_part_of_the_model():
    def halve(images):
        return layers.Rescaling(0.5)(images)

    own = network()
    features = keras.Model(own.input, own.get_layer("relu5").output)
    images = keras.Input((None, None, 3))
    ours = keras.Model(images, encode(images, Backbone("own", own, halve), "imagenet")[-1])
    np.testing.assert_allclose(ours(image()), features(tf.constant(image() / 2)), atol=1e-4)
