"""The loss equals a sum over the pixels that count."""

import keras
import numpy as np
import pytest

import petseg

pytestmark = pytest.mark.backend

# Two pixels, two classes: probabilities 3/4, 1/4 and 1/2, 1/2; truth 0 and 1.
LOGITS = np.log([[[[0.75, 0.25], [0.5, 0.5]]]]).astype("float32")
TRUTH = np.array([[[[0], [1]]]])


def test_hand_made_sums():
    cross_entropy = -(np.log(0.75) + np.log(0.5)) / 2
    # Class 0: overlap 3/4, sizes 1 and 5/4. Class 1: overlap 1/2, sizes 1 and 3/4. One is added to
    # numerator and denominator.
    dice = ((2 * 0.75 + 1) / (1 + 1.25 + 1) + (2 * 0.5 + 1) / (1 + 0.75 + 1)) / 2
    loss = petseg.CrossEntropyDice()(TRUTH, LOGITS)
    assert float(loss) == pytest.approx(cross_entropy + 1 - dice, rel=1e-5)


def test_class_weights_make_a_weighted_mean():
    dice_part = float(petseg.CrossEntropyDice()(TRUTH, LOGITS)) + np.log(0.75 * 0.5) / 2
    expected = -(1 * np.log(0.75) + 3 * np.log(0.5)) / 4 + dice_part
    loss = petseg.CrossEntropyDice(class_weights=(1, 3))(TRUTH, LOGITS)
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def reference(truth, logits, class_weights=None, ignore_class=None):
    """The loss as a sum over the pixels that count, in float64."""
    num_classes = logits.shape[-1]
    counted = truth.ravel() != ignore_class
    classes, rows = truth.ravel()[counted], logits.reshape(-1, num_classes)[counted]
    exponentials = np.exp(rows.astype("float64") - rows.max(axis=-1, keepdims=True))
    probabilities = exponentials / exponentials.sum(axis=-1, keepdims=True)
    weights = np.ones(num_classes) if class_weights is None else np.array(class_weights, "float64")
    of_true_class = probabilities[np.arange(len(classes)), classes]
    cross_entropy = -np.average(np.log(of_true_class), weights=weights[classes])
    coefficients = []
    for k in range(num_classes):
        if k != ignore_class:
            true, of_k = classes == k, probabilities[:, k]
            coefficients.append((2 * of_k[true].sum() + 1) / (true.sum() + of_k.sum() + 1))
    return cross_entropy + 1 - np.mean(coefficients)


def random_batch(shape=(2, 16, 12), num_classes=4, void=()):
    rng = np.random.default_rng(0)
    truth = rng.choice([*range(num_classes), *void], shape)
    return truth, rng.normal(0, 2, (*shape, num_classes)).astype("float32")


@pytest.mark.parametrize("last_axis", [False, True])
@pytest.mark.parametrize("class_weights", [None, (0.5, 2, 0, 1e-9)])
@pytest.mark.parametrize("ignore_class", [None, 0, 1, 3, 4, 255, -1])
def test_equals_the_sum_over_the_pixels_that_count(ignore_class, class_weights, last_axis):
    void = () if ignore_class in (None, 0, 1, 3) else (ignore_class,)
    truth, logits = random_batch(void=void)
    loss = petseg.CrossEntropyDice(class_weights, ignore_class)
    masks = truth[..., np.newaxis] if last_axis else truth
    expected = reference(truth, logits, class_weights, ignore_class)
    assert float(loss(masks, logits)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("ignore_class", [1, 255])
def test_logits_of_ignored_pixels_change_nothing(ignore_class):
    truth, logits = random_batch(void=(255,) if ignore_class == 255 else ())
    other = np.where((truth == ignore_class)[..., np.newaxis], -logits, logits)
    loss = petseg.CrossEntropyDice(ignore_class=ignore_class)
    assert not np.array_equal(other, logits)
    assert float(loss(truth, other)) == pytest.approx(float(loss(truth, logits)), rel=1e-6)


def test_ignored_class_by_hand():
    # Of three classes, 1 is ignored. Only the first pixel counts.
    logits = np.log([[[[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]]]).astype("float32")
    dice = ((2 * 0.5 + 1) / (1 + 0.5 + 1) + (0 + 1) / (0 + 0.2 + 1)) / 2
    loss = petseg.CrossEntropyDice(ignore_class=1)(np.array([[[0, 1]]]), logits)
    assert float(loss) == pytest.approx(-np.log(0.5) + 1 - dice, rel=1e-5)


@pytest.mark.parametrize("class_weights", [None, (0, 1)])
def test_without_a_pixel_that_counts_the_loss_is_zero(class_weights):
    loss = petseg.CrossEntropyDice(class_weights, ignore_class=0)
    assert float(loss(np.zeros((1, 1, 2)), LOGITS)) == 0.0


@pytest.mark.parametrize("dtype", [None, "float16", "bfloat16", "mixed_float16"])
def test_half_precision_logits_do_not_overflow(dtype):
    truth, logits = random_batch((4, 256, 256), 3)
    logits = keras.ops.cast(logits, "float16")
    expected = reference(truth, keras.ops.convert_to_numpy(logits))
    loss = petseg.CrossEntropyDice(dtype=dtype)
    assert float(loss(truth, logits)) == pytest.approx(expected, rel=1e-4)
    per_pixel = loss.call(keras.ops.convert_to_tensor(truth), logits)
    assert float(keras.ops.mean(per_pixel)) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("output_dtype", ["float16", "float32"])
@pytest.mark.parametrize("ignore_class", [1, 255])
def test_compiled_loss_under_mixed_precision(ignore_class, output_dtype):
    truth, logits = random_batch((4, 256, 256), 3, void=(255,) if ignore_class == 255 else ())
    logits = logits.astype("float16").astype("float32")
    keras.config.set_dtype_policy("mixed_float16")
    try:
        images = keras.Input((None, None, 3))
        model = keras.Model(images, keras.layers.Identity(dtype=output_dtype)(images))
        model.compile(loss=petseg.CrossEntropyDice(ignore_class=ignore_class))
        found = model.evaluate(logits, truth, batch_size=4, verbose=0)
    finally:
        keras.config.set_dtype_policy("float32")
    assert found == pytest.approx(reference(truth, logits, ignore_class=ignore_class), rel=1e-4)


def test_gradients_vanish_at_ignored_pixels():
    assert_gradients_vanish_at(2, petseg.CrossEntropyDice(ignore_class=2))


def assert_gradients_vanish_at(ignore_class, loss):
    truth, logits = random_batch((1, 4, 4))
    images = keras.Input((4, 4, 4))
    bias = keras.layers.Dense(64, kernel_initializer="zeros")
    flat = bias(keras.layers.GlobalAveragePooling2D()(images))
    model = keras.Model(images, keras.layers.Reshape((4, 4, 4))(flat))
    model.compile(keras.optimizers.SGD(1.0), loss=loss)
    model.fit(logits, truth, verbose=0)
    moved = bias.get_weights()[1].reshape(4, 4, 4) != 0
    assert np.isfinite(bias.get_weights()[1]).all()
    np.testing.assert_array_equal(moved.all(axis=-1), truth[0] != ignore_class)
    np.testing.assert_array_equal(moved.any(axis=-1), truth[0] != ignore_class)


def test_masks_with_and_without_a_last_axis_are_the_same():
    loss = petseg.CrossEntropyDice()
    assert float(loss(TRUTH, LOGITS)) == float(loss(TRUTH[..., 0], LOGITS))


@pytest.mark.parametrize("shape", [(1, 2, 1), (2, 1, 2), (1, 1, 1), (1, 1, 2, 2)])
def test_masks_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match=r"`y_true` must be masks .* for logits of shape"):
        petseg.CrossEntropyDice()(np.zeros(shape, int), LOGITS)


def test_one_channel_of_logits_is_refused():
    with pytest.raises(ValueError, match=r"`y_pred` must be logits .* two or more classes"):
        petseg.CrossEntropyDice()(TRUTH, LOGITS[..., :1])


def test_perfect_logits_cost_nothing():
    truth = np.array([[[0, 1], [1, 0]]])
    logits = 50.0 * np.eye(2, dtype="float32")[truth]
    assert float(petseg.CrossEntropyDice()(truth, logits)) == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("label", [2, -1, 255, 0.5])
def test_a_label_that_is_no_class_makes_it_nan(label):
    truth = np.array([[[0, label]]])
    assert np.isnan(float(petseg.CrossEntropyDice()(truth, LOGITS)))


def test_config_round_trip():
    loss = petseg.CrossEntropyDice(class_weights=(1, 2), ignore_class=255)
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    assert again.get_config() == loss.get_config()


@pytest.mark.parametrize(
    "weights", [(), (-1, 1), (0, 0), (1, np.nan), (1, np.inf), (True, 1), ("1", 1), 2.0]
)
def test_bad_class_weights_are_refused(weights):
    with pytest.raises(ValueError, match="`class_weights` must hold a number of 0 or more"):
        petseg.CrossEntropyDice(class_weights=weights)


def test_numpy_arguments_are_accepted():
    loss = petseg.CrossEntropyDice(np.array([1, 3], "float32"), np.int64(255))
    assert loss.get_config() == petseg.CrossEntropyDice((1, 3), 255).get_config()
    assert float(loss(TRUTH, LOGITS)) == float(petseg.CrossEntropyDice((1, 3))(TRUTH, LOGITS))


@pytest.mark.parametrize("ignore_class", [True, 1.0, "255"])
def test_bad_ignored_class_is_refused(ignore_class):
    with pytest.raises(ValueError, match="`ignore_class` must be an integer or None"):
        petseg.CrossEntropyDice(ignore_class=ignore_class)


def test_class_weights_of_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match="`class_weights` must hold 2 numbers"):
        petseg.CrossEntropyDice(class_weights=(1, 2, 3))(TRUTH, LOGITS)


def focal(**options):
    return keras.losses.CategoricalFocalCrossentropy(**options)


def tversky(missed=0.7, wrong=0.3):
    return keras.losses.Tversky(alpha=missed, beta=wrong, axis=(0, 1, 2))


def counted_rows(truth, logits, ignore_class):
    """The one-hot classes and the probabilities of the pixels that count."""
    counted = truth.ravel() != ignore_class
    rows = logits.reshape(-1, logits.shape[-1])[counted].astype("float64")
    exponentials = np.exp(rows - rows.max(axis=-1, keepdims=True))
    one_hot = np.eye(logits.shape[-1])[truth.ravel()[counted]]
    return one_hot, exponentials / exponentials.sum(axis=-1, keepdims=True)


@pytest.mark.parametrize("ignore_class", [None, 0, 2, 255])
def test_focal_loss_is_the_mean_over_the_pixels_that_count(ignore_class):
    truth, logits = random_batch(void=(255,) if ignore_class == 255 else ())
    one_hot, found = counted_rows(truth, logits, ignore_class)
    of_true = (one_hot * found).sum(axis=-1)
    alpha = np.array([1.0, 2.0, 0.5, 3.0])
    expected = np.mean((one_hot @ alpha) * (1 - of_true) ** 2 * -np.log(of_true))
    loss = petseg.OneHotLoss(focal(alpha=alpha.tolist()), ignore_class)
    np.testing.assert_allclose(float(loss(truth, logits)), expected, rtol=1e-5)


@pytest.mark.parametrize("ignore_class", [None, 0, 2, 255])
def test_tversky_loss_sums_over_the_pixels_that_count(ignore_class):
    truth, logits = random_batch(void=(255,) if ignore_class == 255 else ())
    one_hot, found = counted_rows(truth, logits, ignore_class)
    hits = (one_hot * found).sum(axis=0)
    missed, wrong = (one_hot * (1 - found)).sum(axis=0), (found * (1 - one_hot)).sum(axis=0)
    expected = 1 - np.mean(hits / (hits + 0.7 * missed + 0.3 * wrong + 1e-7))
    loss = petseg.OneHotLoss(tversky(), ignore_class)
    np.testing.assert_allclose(float(loss(truth, logits)), expected, rtol=1e-5)


@pytest.mark.parametrize("of_keras", [focal(), tversky(), keras.losses.Dice()])
def test_ignored_pixels_have_no_gradient_in_losses_of_keras(of_keras):
    assert_gradients_vanish_at(2, petseg.OneHotLoss(of_keras, ignore_class=2))


@pytest.mark.parametrize("of_keras", [focal(), tversky()])
def test_losses_of_keras_without_a_pixel_that_counts_are_finite(of_keras):
    truth, logits = random_batch()
    value = float(petseg.OneHotLoss(of_keras, 255)(np.full_like(truth, 255), logits))
    assert np.isfinite(value)


@pytest.mark.parametrize("of_keras", [focal(), tversky()])
def test_a_label_that_is_no_class_makes_losses_of_keras_nan(of_keras):
    truth, logits = random_batch(void=(255,))
    assert np.isnan(float(petseg.OneHotLoss(of_keras)(truth, logits)))


def test_a_loss_of_keras_is_kept_in_the_configuration():
    loss = petseg.OneHotLoss(focal(gamma=3.0), 255, name="focal")
    again = keras.losses.deserialize(keras.losses.serialize(loss))
    truth, logits = random_batch(void=(255,))
    assert (again.name, again.ignore_class) == ("focal", 255)
    assert float(again(truth, logits)) == float(loss(truth, logits))


@pytest.mark.parametrize(
    ("of_keras", "message"),
    [
        ("focal", "a loss of Keras for one-hot masks.*Received: 'focal'"),
        (petseg.CrossEntropyDice(), "a loss of Keras for one-hot masks"),
        (focal(from_logits=True), "`from_logits=False`.*CategoricalFocalCrossentropy"),
    ],
)
def test_losses_that_take_something_else_are_refused(of_keras, message):
    with pytest.raises(ValueError, match=f"`loss` must .*{message}"):
        petseg.OneHotLoss(of_keras)
