"""The custom layers equal sums by hand and plain NumPy, eagerly and compiled."""

import keras
import numpy as np
import pytest

from petseg.models.layers import GridAveragePooling2D, MaxUnpooling2D, ResizeLike

pytestmark = pytest.mark.backend


def eagerly_and_compiled(layer, *arrays):
    """Returns what `layer` computes, which must be the same inside `predict` with unknown sizes."""
    inputs = [keras.Input((None, None, array.shape[-1])) for array in arrays]
    model = keras.Model(inputs, layer(*inputs))
    eager = np.array(layer(*map(keras.ops.convert_to_tensor, arrays)))
    compiled = model.predict(list(arrays), verbose=0)
    np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-6)
    return eager


def test_unpooling_puts_values_where_the_maxima_were():
    before_pool = np.array([[1, 5, 0, 0], [2, 3, 0, 0]], "float32").reshape(1, 2, 4, 1)
    x = np.array([[7, 8]], "float32").reshape(1, 1, 2, 1)
    unpooled = eagerly_and_compiled(MaxUnpooling2D(), x, before_pool)
    # Of four equal values the first is the maximum.
    assert unpooled.reshape(2, 4).tolist() == [[0, 7, 8, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("round_up", [False, True])
def test_unpooling_undoes_max_pooling(round_up):
    rng = np.random.default_rng(0)
    before_pool = rng.normal(size=(2, 7, 9, 3)).astype("float32")
    padding = "same" if round_up else "valid"
    pooled = np.array(keras.layers.MaxPooling2D(2, padding=padding)(before_pool))
    unpooled = eagerly_and_compiled(MaxUnpooling2D(), pooled, before_pool)
    assert unpooled.shape == before_pool.shape
    assert np.count_nonzero(unpooled) == pooled.size
    # Every value is where it came from.
    placed = unpooled != 0
    np.testing.assert_array_equal(unpooled[placed], before_pool[placed])


def test_grid_pooling_by_hand():
    x = np.arange(5, dtype="float32").reshape(1, 1, 5, 1)
    # Two cells over five positions: 0 to 2 and 2 to 4.
    pooled = eagerly_and_compiled(GridAveragePooling2D(2), x)
    assert pooled[0, 0, :, 0].tolist() == pytest.approx([1.0, 3.0])


@pytest.mark.parametrize("bins", [1, 2, 3, 6])
@pytest.mark.parametrize("size", [(2, 3), (7, 12), (6, 6)])
def test_grid_pooling_equals_that_of_keras(bins, size):
    x = np.random.default_rng(0).normal(size=(2, *size, 4)).astype("float32")
    expected = keras.ops.adaptive_average_pool(keras.ops.convert_to_tensor(x), (bins, bins))
    pooled = eagerly_and_compiled(GridAveragePooling2D(bins), x)
    np.testing.assert_allclose(pooled, np.array(expected), rtol=1e-4, atol=1e-5)


def test_resizing_is_bilinear_between_pixel_centres():
    x = np.array([0.0, 1.0], "float32").reshape(1, 1, 2, 1)
    resized = eagerly_and_compiled(ResizeLike(), x, np.zeros((1, 1, 4, 3), "float32"))
    assert resized.ravel().tolist() == pytest.approx([0.0, 0.25, 0.75, 1.0])


@pytest.mark.parametrize("layer", [ResizeLike(), MaxUnpooling2D(), GridAveragePooling2D(3)])
def test_config_round_trip(layer):
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert again.get_config() == layer.get_config()
