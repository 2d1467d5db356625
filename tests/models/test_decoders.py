"""Decoders by hand: features of one value, and convolutions that average channels.

With such convolutions every sum of features is a sum of numbers. Values that are powers of ten show
in the digits of the result which features were added, and how often.
"""

import keras
import numpy as np
import pytest

import petseg

pytestmark = pytest.mark.backend

SIZE = (64, 96)
STRIDES = (2, 4, 8, 16, 32)


def averaging(model):
    """Makes each convolution of a decoder the average over channels, and normalization nothing."""
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            kernel = np.zeros(layer.kernel.shape, "float32")
            middle = tuple(size // 2 for size in layer.kernel_size)
            kernel[middle] = 1 / kernel.shape[2]
            layer.set_weights([kernel, *np.zeros_like(layer.get_weights()[1:])])
        elif isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_variance.assign(0 * layer.moving_variance + 1 - layer.epsilon)
    return model


def features_of(values, tensors):
    """Features of one value each, in the sizes of images of `SIZE`."""
    return [
        np.full((1, SIZE[0] // stride, SIZE[1] // stride, tensor.shape[-1]), value, "float32")
        for (stride, value), tensor in zip(values.items(), tensors, strict=True)
    ]


def build(architecture, **arguments):
    return averaging(
        petseg.MODELS[architecture](2, backbone="mobilenet", weights=None, **arguments)
    )


def test_fpn_sums_the_pyramid_from_the_top_and_the_levels_at_stride_4():
    model = build("fpn", pyramid_filters=3, decoder_filters=5)
    inputs = [model.get_layer(f"pyramid{stride}").input for stride in STRIDES[1:]]
    layers = [f"pyramid{stride}_add" for stride in (16, 8, 4)] + ["decoder_sum"]
    decoder = keras.Model(inputs, [model.get_layer(name).output for name in layers])
    found = decoder(features_of({4: 1, 8: 10, 16: 100, 32: 1000}, inputs))
    for output, value in zip(found, (1100, 1110, 1111, 1000 + 1100 + 1110 + 1111), strict=True):
        np.testing.assert_allclose(output, value, rtol=1e-5)
    assert found[-1].shape == (1, 16, 24, 5)


@pytest.mark.parametrize(
    ("decoder_steps", "value", "stride"),
    [(1, 11000, 16), (2, 11100, 8), (3, 11110, 4), (4, 11111, 2)],
)
def test_linknet_adds_the_features_of_each_step(decoder_steps, value, stride):
    model = build("linknet", decoder_steps=decoder_steps)
    skips = [model.get_layer(f"decoder{n + 1}_add").input[1] for n in range(decoder_steps)]
    inputs = [model.get_layer("decoder1_reduce").input, *skips]
    decoder = keras.Model(inputs, model.get_layer("decoder_conv_relu").output)
    values = {32: 10_000, 16: 1000, 8: 100, 4: 10, 2: 1}
    values = dict(list(values.items())[: decoder_steps + 1])
    found = decoder(features_of(values, inputs))
    np.testing.assert_allclose(found, value, rtol=1e-5)
    assert found.shape[1:3] == (SIZE[0] // stride, SIZE[1] // stride)


def test_linknet_reduces_the_channels_by_the_factor():
    model = build("linknet", reduction=8)
    channels = model.get_layer("decoder1_reduce").input.shape[-1]
    assert model.get_layer("decoder1_conv").filters == channels // 8
    skip = model.get_layer("decoder1_add").input[1]
    assert model.get_layer("decoder1_expand").filters == skip.shape[-1]
    assert build("linknet", reduction=10**6).get_layer("decoder_conv").filters == 1


def test_lraspp_weights_coarse_features_by_their_average_and_adds_fine_logits():
    model = build("lraspp", decoder_filters=4)
    fine, coarse = model.get_layer("fine_logits").input, model.get_layer("decoder_conv").input
    assert model.get_layer("pool").input is coarse
    logits = keras.Model([fine, coarse], model.get_layer("logits").output)
    # Half of the positions are 0 and half 8: the average is 4, of which the kernel makes log 3,
    # whose sigmoid is 3/4.
    pool = model.get_layer("pool_conv")
    pool.set_weights([np.full_like(pool.get_weights()[0], np.log(3) / 4 / coarse.shape[-1])])
    features = features_of({8: 10, 16: 0}, [fine, coarse])
    features[1][:, :, 3:] = 8
    found = np.array(logits(features))
    assert found.shape == (1, 8, 12, 2)
    np.testing.assert_allclose(found[:, :, :5], 10, rtol=1e-5)
    np.testing.assert_allclose(found[:, :, 7:], 10 + 8 * 3 / 4, rtol=1e-5)


def test_lraspp_equals_matrix_products():
    keras.utils.set_random_seed(0)
    model = petseg.lraspp(3, backbone="mobilenet", weights=None, decoder_filters=6)
    fine, coarse = model.get_layer("fine_logits").input, model.get_layer("decoder_conv").input
    rng = np.random.default_rng(0)
    f = rng.normal(size=(2, 4, 6, fine.shape[-1])).astype("float32")
    c = rng.normal(size=(2, 4, 6, coarse.shape[-1])).astype("float32")  # no resizing
    found = keras.Model([fine, coarse], model.get_layer("logits").output)([f, c])

    def kernel(name):
        return model.get_layer(name).get_weights()[0][0, 0]

    weight = 1 / (1 + np.exp(-c.mean((1, 2), keepdims=True) @ kernel("pool_conv")))
    norm = model.get_layer("decoder_conv_bn")
    x = np.maximum(c @ kernel("decoder_conv") / np.sqrt(1 + norm.epsilon), 0) * weight
    expected = x @ kernel("coarse_logits") + f @ kernel("fine_logits")
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
