"""A dilated encoder computes the features of the original, at more positions."""

import keras
import numpy as np
import pytest
from keras import layers

from petseg.backbones import BACKBONES, build_encoder
from petseg.dilation import dilate
from petseg.efficientnet_lite import VARIANTS

STRIDES = (2, 4, 8, 16, 32)


def random_images():
    return np.random.default_rng(0).uniform(-1, 1, (1, 96, 128, 3)).astype("float32")


def normalized_encoder(backbone):
    """A random encoder whose normalization statistics fit, so that features do not vanish."""
    encoder = build_encoder(BACKBONES[backbone], None)
    for layer in encoder.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    encoder(random_images(), training=True)
    return encoder


@pytest.mark.parametrize("output_stride", [8, 16])
@pytest.mark.parametrize("backbone", ["mobilenet", "mobilenetv2", "resnet50", *VARIANTS])
def test_dilated_features_equal_strided_ones_on_the_grid(backbone, output_stride):
    encoder = normalized_encoder(backbone)
    strided = encoder(random_images())
    dilated = dilate(encoder, output_stride)(random_images())
    for stride, coarse, fine in zip(STRIDES, strided, dilated, strict=True):
        step = max(1, stride // output_stride)
        coarse, fine = np.array(coarse), np.array(fine)[:, ::step, ::step]
        assert coarse.std() > 0.01
        np.testing.assert_allclose(fine, coarse, atol=1e-4 * np.abs(coarse).max())


def test_dilated_convolution_by_hand():
    images = keras.Input((None, None, 1))
    ones = {"use_bias": False, "kernel_initializer": "ones", "padding": "same"}
    x = layers.Conv2D(1, 1, strides=2, **ones)(images)
    encoder = keras.Model(images, layers.Conv2D(1, 3, **ones)(x))
    dilated = dilate(encoder, 1)
    # The first layer keeps all positions; the second sums neighbours two positions apart.
    image = np.zeros((1, 8, 8, 1), "float32")
    image[0, 4, 4] = 1.0
    expected = np.zeros((8, 8))
    expected[2:7:2, 2:7:2] = 1.0
    np.testing.assert_array_equal(np.array(dilated(image))[0, ..., 0], expected)
    assert [layer.dilation_rate for layer in dilated.layers[1:]] == [(1, 1), (2, 2)]


@pytest.mark.parametrize("backbone", ["mobilenetv3small", "mobilenetv3large", "efficientnetv2b0"])
def test_dilated_sizes_with_squeeze_and_excitation(backbone):
    encoder = build_encoder(BACKBONES[backbone], None)
    features = dilate(encoder, 8)(np.zeros((1, 96, 128, 3), "float32"))
    assert [feature.shape[1:3] for feature in features[2:]] == [(12, 16)] * 3


def test_pooling_without_its_stride_takes_the_same_maxima():
    encoder = build_encoder(BACKBONES["vgg16"], None, stages=4)
    strided, dilated = encoder(random_images())[-1], dilate(encoder, 8)(random_images())[-1]
    fine, coarse = np.array(dilated)[:, ::2, ::2], np.array(strided)
    # At the lower and right border, one has padding where the other has features.
    inside = (slice(None), slice(3, -3), slice(3, -3))
    assert coarse.std() > 0
    np.testing.assert_allclose(fine[inside], coarse[inside], atol=1e-4 * coarse.max())


def test_average_pooling_without_its_stride_takes_the_same_means():
    images = keras.Input((None, None, 3))
    x = layers.SeparableConv2D(4, 3, padding="same")(layers.AveragePooling2D(2)(images))
    encoder = keras.Model(images, layers.SeparableConv2D(4, 3, 2, padding="same")(x))
    coarse = np.array(encoder(random_images()))
    fine = np.array(dilate(encoder, 1)(random_images()))[:, ::4, ::4]
    inside = (slice(None), slice(1, -1), slice(1, -1))
    assert coarse.std() > 0
    np.testing.assert_allclose(fine[inside], coarse[inside], atol=1e-5)


def test_pooling_with_windows_that_overlap_is_refused():
    images = keras.Input((None, None, 3))
    encoder = keras.Model(images, layers.MaxPooling2D(3, 2, padding="same", name="pool")(images))
    message = "`output_stride` must be at least 2 .* pool cannot be dilated. Received: 1"
    with pytest.raises(ValueError, match=message):
        dilate(encoder, 1)


def test_pooling_that_would_need_dilation_is_refused():
    message = "`output_stride` must be at least 16 .* block5_pool cannot be dilated. Received: 8"
    with pytest.raises(ValueError, match=message):
        dilate(build_encoder(BACKBONES["vgg16"], None), 8)


def test_dilation_keeps_the_weights():
    encoder = build_encoder(BACKBONES["mobilenetv2"], None)
    for ours, theirs in zip(dilate(encoder, 8).get_weights(), encoder.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
