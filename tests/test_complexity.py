"""Multiply-adds equal a count by hand and that of a paper."""

import keras
import numpy as np
import pytest
from keras import layers

import petseg
from petseg.complexity import multiply_adds


def test_by_hand():
    images = keras.Input((None, None, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(images)
    encoder = keras.Model(images, layers.DepthwiseConv2D(5, padding="same")(x), name="encoder")
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(encoder(images))
    model = keras.Model(images, [layers.Conv2D(3, 1)(encoder(images)), layers.Dense(4)(pooled)])
    positions = 16 * 24
    by_hand = positions * (3 * 3 * 3 * 8 + 5 * 5 * 8 + 8 * 3) + 8 * 4
    assert multiply_adds(model, (32, 48)) == by_hand
    assert multiply_adds(model, np.array([32, 48])) == by_hand


def test_the_paper_counts_300_million_for_mobilenetv2():
    # Sandler et al., arXiv:1801.04381, table 4. It includes a last convolution and a classifier,
    # which the encoder does not have.
    model = petseg.fcn32(backbone="mobilenetv2", weights=None, decoder_filters=1)
    head = 49 * 320 * 1280 + 1280 * 1000
    assert abs(multiply_adds(model, (224, 224)) + head - 300e6) < 5e6


@pytest.mark.parametrize("image_size", [(224,), (0, 224), (True, 224), 224])
def test_bad_image_size_is_refused(image_size):
    model = petseg.fcn32(backbone="mobilenetv3small", weights=None, decoder_filters=1)
    with pytest.raises(ValueError, match="`image_size` must be two positive integers"):
        multiply_adds(model, image_size)
