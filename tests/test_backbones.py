import keras
import numpy as np
import pytest

from petseg.backbones import BACKBONES, build_encoder, dilate

STRIDES = (2, 4, 8, 16, 32)


def lively_encoder(backbone):
    """An encoder whose batch normalization keeps its features from dying out, as training would."""
    encoder = build_encoder(backbone, None)
    images = np.random.default_rng(0).uniform(-1, 1, (1, 96, 128, 3)).astype("float32")
    for layer in encoder.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    encoder(images, training=True)
    return encoder, images


@pytest.mark.parametrize("backbone", BACKBONES)
def test_taps_are_at_their_strides(backbone):
    features = build_encoder(backbone, None)(np.zeros((1, 96, 128, 3), "float32"))
    assert [feature.shape[1:3] for feature in features] == [(96 // s, 128 // s) for s in STRIDES]


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("backbone", ["mobilenet", "mobilenetv2", "resnet50"])
def test_dilated_features_equal_strided_ones_on_the_grid(backbone, output_stride):
    encoder, images = lively_encoder(backbone)
    strided = encoder(images)
    dilated = dilate(encoder, output_stride)(images)
    for stride, coarse, fine in zip(STRIDES, strided, dilated, strict=True):
        step = max(1, stride // output_stride)
        coarse, fine = np.array(coarse), np.array(fine)[:, ::step, ::step]
        assert coarse.std() > 0.01
        # Within the influence of the border, zeros stand where the other sees features.
        np.testing.assert_allclose(fine, coarse, atol=1e-4 * np.abs(coarse).max())


@pytest.mark.parametrize("backbone", ["mobilenetv3small", "mobilenetv3large", "efficientnetv2b0"])
def test_dilated_sizes_with_squeeze_and_excitation(backbone):
    encoder = build_encoder(backbone, None)
    features = dilate(encoder, 8)(np.zeros((1, 96, 128, 3), "float32"))
    assert [feature.shape[1:3] for feature in features[2:]] == [(12, 16)] * 3


def test_pool_that_strides_no_more_takes_the_same_maxima():
    encoder = build_encoder("vgg16", None, stages=4)
    images = np.random.default_rng(0).uniform(-1, 1, (1, 96, 128, 3)).astype("float32")
    strided, dilated = encoder(images)[-1], dilate(encoder, 8)(images)[-1]
    fine, coarse = np.array(dilated)[:, ::2, ::2], np.array(strided)
    # At the lower and right border the padding of one sees what the other's does not.
    inside = (slice(None), slice(3, -3), slice(3, -3))
    assert coarse.std() > 0
    np.testing.assert_allclose(fine[inside], coarse[inside], atol=1e-4 * coarse.max())


def test_pool_that_would_have_to_dilate_is_refused():
    with pytest.raises(ValueError, match="block5_pool would have to dilate"):
        dilate(build_encoder("vgg16", None), 8)


def test_dilation_keeps_the_weights():
    encoder = build_encoder("mobilenetv2", None)
    for ours, theirs in zip(dilate(encoder, 8).get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("backbone", "white", "black"),
    [
        ("mobilenetv2", (1.0, 1.0, 1.0), (-1.0, -1.0, -1.0)),
        # BGR, the mean of ImageNet taken off.
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
