"""The fused batch normalization has the results of the one of Keras."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from petseg.normalization import FusedBatchNormalization

pytestmark = pytest.mark.backend


def pair(**arguments):
    """Keras's layer and ours, with the same random weights."""
    rng = np.random.default_rng(0)
    both = layers.BatchNormalization(**arguments), FusedBatchNormalization(**arguments)
    for layer in both:
        layer.build((None, None, None, 5))
    weights = [rng.uniform(0.5, 2, (5,)).astype("float32") for _ in both[0].weights]
    for layer in both:
        layer.set_weights(weights)
    return both


def features(seed=1):
    return np.random.default_rng(seed).normal(3, 2, (4, 7, 6, 5)).astype("float32")


@pytest.mark.parametrize("arguments", [{}, {"scale": False}, {"center": False}, {"epsilon": 0.1}])
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_statistics_are_those_of_keras(training, arguments):
    theirs, ours = pair(momentum=0.8, **arguments)
    for seed in (1, 2):
        x = features(seed)
        expected = ops.convert_to_numpy(theirs(x, training=training))
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours(x, training=training)), expected, atol=2e-5
        )
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_it_learns_as_that_of_keras_does(training):
    models = []
    for layer in pair():
        images = keras.Input((None, None, 5))
        convolved = layers.Conv2D(5, 1, kernel_initializer="ones", use_bias=False)(images)
        model = keras.Model(images, layer(convolved, training=training))
        model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
        model.fit(features(), features(2), epochs=2, batch_size=2, shuffle=False, verbose=0)
        models.append(model)
    for a, b in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(b, a, atol=1e-4)


def test_frozen_layer_keeps_its_statistics():
    _, ours = pair()
    before = ours.get_weights()
    ours.trainable = False
    ours(features(), training=True)
    for a, b in zip(before, ours.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_it_is_as_exact_in_half_precision():
    layer = FusedBatchNormalization(dtype="mixed_bfloat16")
    outputs = layer(features(), training=True)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    outputs = ops.convert_to_numpy(ops.cast(outputs, "float32"))
    assert abs(outputs.mean()) < 0.01
    assert abs(outputs.std() - 1) < 0.01


CONVOLUTIONS = {
    "plain": lambda: layers.Conv2D(6, 3, padding="same", use_bias=False),
    "strided": lambda: layers.Conv2D(6, 3, strides=2, padding="same", use_bias=False),
    "with a bias": lambda: layers.Conv2D(6, 1),
    "depthwise": lambda: layers.DepthwiseConv2D(3, strides=2, use_bias=False),
    "depthwise, twice the channels": lambda: layers.DepthwiseConv2D(
        3, depth_multiplier=2, use_bias=False
    ),
    "dilated": lambda: layers.Conv2D(6, 3, dilation_rate=2, use_bias=False),
    "depthwise, dilated": lambda: layers.DepthwiseConv2D(3, dilation_rate=2, use_bias=False),
}


@pytest.mark.parametrize("convolution", CONVOLUTIONS)
def test_after_a_convolution_it_predicts_and_learns_as_that_of_keras(convolution):
    models = []
    for kind in (layers.BatchNormalization, FusedBatchNormalization):
        keras.utils.set_random_seed(0)
        images = keras.Input((None, None, 5))
        normalized = kind()(CONVOLUTIONS[convolution]()(images))
        normalized = kind(scale=False)(layers.DepthwiseConv2D(1, use_bias=False)(normalized))
        model = keras.Model(images, layers.GlobalAveragePooling2D()(normalized))
        rng = np.random.default_rng(0)
        model.set_weights([weight + rng.uniform(0, 0.3, weight.shape) for weight in model.weights])
        for layer in model.layers:  # Frozen, while the kernels before them learn.
            layer.trainable = not isinstance(layer, layers.BatchNormalization)
        model.compile(optimizer=keras.optimizers.SGD(1e-4), loss="mse")
        models.append(model)
    theirs, ours = models
    x, y = features() / 4, np.ones((4, theirs.output_shape[-1]), "float32")
    for _ in range(2):  # With the initial weights, then with trained ones.
        np.testing.assert_allclose(
            ours.predict(x, verbose=0), theirs.predict(x, verbose=0), rtol=1e-4, atol=1e-4
        )
        for model in models:
            model.fit(x, y, epochs=2, batch_size=2, shuffle=False, verbose=0)
    for a, b in zip(theirs.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-3, atol=1e-4)
