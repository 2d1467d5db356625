"""Features are at their strides, and every backbone gets the input of its weights."""

import keras
import numpy as np
import pytest

from petseg.backbones import BACKBONES, Backbone, build_encoder, encode
from petseg.own_backbone import find_backbone

STRIDES = (2, 4, 8, 16, 32)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_taps_are_at_their_strides(backbone):
    features = build_encoder(BACKBONES[backbone], None)(np.zeros((1, 96, 128, 3), "float32"))
    assert [feature.shape[1:3] for feature in features] == [(96 // s, 128 // s) for s in STRIDES]


@pytest.mark.parametrize(
    ("output_stride", "strides"), [(32, STRIDES), (16, STRIDES[:4]), (8, (2, 4, 8, 8))]
)
@pytest.mark.parametrize("backbone", ["mobilenetv2", "efficientnetlite0"])
def test_output_stride_limits_the_features(backbone, output_stride, strides):
    images = keras.Input((96, 128, 3))
    features = encode(images, BACKBONES[backbone], None, output_stride)
    assert [feature.shape[1:3] for feature in features] == [(96 // s, 128 // s) for s in strides]


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("MobileNet_V2", "must be one of mobilenet, .* Did you mean 'mobilenetv2'"),
        (None, "must be one of mobilenet, .*Received: None"),
        (["vgg16"], r"Received: \['vgg16'\]"),
    ],
)
def test_unknown_backbone_is_refused(backbone, message):
    with pytest.raises(ValueError, match=f"`backbone` .*{message}"):
        find_backbone(backbone)


def test_failed_download_says_what_to_do():
    def fail(**_):
        raise Exception("URL fetch failure on https://example.org/weights.h5: no route")  # as Keras

    with pytest.raises(ConnectionError, match="no route Check the internet connection, use"):
        build_encoder(Backbone("far_away", fail), "imagenet")


@pytest.mark.parametrize(
    ("backbone", "white", "black"),
    [
        ("mobilenetv2", (1.0, 1.0, 1.0), (-1.0, -1.0, -1.0)),
        ("efficientnetlite0", (1.0, 1.0, 1.0), (-127 / 128, -127 / 128, -127 / 128)),
        # BGR minus the ImageNet mean.
        ("resnet50", (255 - 103.939, 255 - 116.779, 255 - 123.68), (-103.939, -116.779, -123.68)),
        (
            "efficientnetv2b0",
            ((1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225),
            (-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225),
        ),
    ],
)
def test_preprocessing(backbone, white, black):
    images = keras.Input((1, 1, 3))
    preprocess = keras.Model(images, BACKBONES[backbone].preprocess(images))
    for value, expected in ((255.0, white), (0.0, black)):
        result = np.array(preprocess(np.full((1, 1, 1, 3), value, "float32")))
        np.testing.assert_allclose(result.ravel(), expected, rtol=1e-4)


def test_preprocessing_equals_that_of_keras():
    image = np.random.default_rng(0).uniform(0, 255, (1, 2, 2, 3)).astype("float32")
    inputs = keras.Input((2, 2, 3))
    for backbone, reference in (
        ("vgg16", keras.applications.vgg16.preprocess_input),
        ("resnet50", keras.applications.resnet.preprocess_input),
        ("mobilenet", keras.applications.mobilenet.preprocess_input),
        ("mobilenetv2", keras.applications.mobilenet_v2.preprocess_input),
    ):
        ours = keras.Model(inputs, BACKBONES[backbone].preprocess(inputs))(image)
        np.testing.assert_allclose(np.array(ours), reference(image.copy()), atol=1e-3)
