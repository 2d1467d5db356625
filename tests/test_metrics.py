"""Mean IoU equals NumPy's on whole datasets, however many pixels they have."""

import math

import keras
import numpy as np
import pytest
from keras import ops

import petseg
from petseg.metrics import CARRY, argmax_class

pytestmark = pytest.mark.backend


def logits_of(classes, num_classes):
    """Logits whose greatest is that of `classes`."""
    return np.eye(num_classes, dtype="float32")[np.asarray(classes)]


def results(metric):
    return {name: float(value) for name, value in metric.result().items()}


def test_hand_made_sums():
    metric = petseg.MeanIoU(2, ("cat", "dog"))
    metric.update_state([[0, 0, 0, 1]], logits_of([[0, 0, 1, 1]], 2))
    # cat: 2 of 3 (two right, one missed). dog: 1 of 2 (one right, one too many).
    assert results(metric) == pytest.approx(
        {
            "mean_iou": (2 / 3 + 1 / 2) / 2,
            "iou_cat": 2 / 3,
            "iou_dog": 1 / 2,
            "pixel_accuracy": 3 / 4,
        }
    )


def test_counts_over_batches_and_takes_no_mean_of_batches():
    metric = petseg.MeanIoU(2)
    metric.update_state([[0, 0, 0, 0]], logits_of([[0, 0, 0, 0]], 2))
    metric.update_state([[0, 1]], logits_of([[1, 1]], 2))
    # Class 0: 4 of 5. Class 1: 1 of 2. The mean of the two batches' scores differs.
    assert results(metric)["mean_iou"] == pytest.approx((4 / 5 + 1 / 2) / 2)


@pytest.mark.parametrize("num_classes", [2, 3, 11])
def test_equals_numpy_on_random_masks(num_classes):
    rng = np.random.default_rng(num_classes)
    metric = petseg.MeanIoU(num_classes)
    confusion = np.zeros((num_classes, num_classes), "int64")
    for shape in ((3, 17, 9), (2, 5, 31)):
        truth = rng.integers(0, num_classes, shape)
        logits = rng.normal(size=(*shape, num_classes)).astype("float32")
        metric.update_state(truth[..., None], logits)
        np.add.at(confusion, (truth.ravel(), logits.argmax(-1).ravel()), 1)
    np.testing.assert_array_equal(metric.confusion, confusion)
    assert metric.confusion.dtype == np.int64
    hits = confusion.diagonal()
    iou = hits / (confusion.sum(0) + confusion.sum(1) - hits)
    expected = {"mean_iou": iou.mean(), "pixel_accuracy": hits.sum() / confusion.sum()}
    expected |= {f"iou_{k}": value for k, value in enumerate(iou)}
    assert results(metric) == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64")  # Keras's own, on JAX
def test_equals_keras_where_keras_is_right():
    rng = np.random.default_rng(3)
    truth = rng.integers(0, 3, (2, 8, 8), dtype="int32")
    logits = rng.normal(size=(2, 8, 8, 3)).astype("float32")
    ours, theirs = petseg.MeanIoU(3), keras.metrics.MeanIoU(3, sparse_y_pred=False)
    ours.update_state(truth, logits)
    theirs.update_state(truth, logits)
    assert results(ours)["mean_iou"] == pytest.approx(float(theirs.result()))


def test_a_class_that_never_occurs_does_not_count():
    metric = petseg.MeanIoU(3)
    metric.update_state([[0, 0, 1, 1]], logits_of([[0, 0, 1, 0]], 3))
    scores = results(metric)
    assert scores["mean_iou"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert np.isnan(scores["iou_2"])


def test_without_a_pixel_there_is_no_result():
    metric = petseg.MeanIoU(2)
    metric.update_state([[0, 1]], logits_of([[0, 1]], 2))
    metric.reset_state()
    assert np.isnan(list(results(metric).values())).all()


def test_ignored_class_and_weight_zero_do_not_count():
    metric = petseg.MeanIoU(2, ignore_class=255)
    metric.update_state([[0, 1, 255]], logits_of([[0, 1, 0]], 2))
    assert results(metric)["mean_iou"] == 1.0
    metric.update_state([[0, 1]], logits_of([[0, 0]], 2), sample_weight=[[0.5, 0.0]])
    assert results(metric)["mean_iou"] == 1.0


@pytest.mark.parametrize("labels", [[[0, 3]], [[0, -1]], [[0, 255]], [[0.0, 1.5]]])
def test_a_label_that_is_no_class_raises(labels):
    metric = petseg.MeanIoU(3)
    with pytest.raises(ValueError, match="`y_true` must hold class indices 0 to 2"):
        metric.update_state(labels, logits_of([[0, 0]], 3))


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="runs uncompiled, where the error comes at once"
)
def test_a_label_that_is_no_class_makes_compiled_results_nan():
    # Labels 1, 2, 3, as the trimaps have them: Keras's own metric would drop the threes.
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.Identity()(inputs))
    model.compile(loss=petseg.CrossEntropyDice(), metrics=[petseg.MeanIoU(3)])
    images = np.zeros((1, 4, 4, 3), "float32")
    for labels, is_nan in ((1, False), (3, True), (2, False)):
        logs = model.evaluate(images, np.full((1, 4, 4, 1), labels), verbose=0, return_dict=True)
        assert np.isnan(logs["mean_iou"]) == is_nan
        assert np.isnan(logs["loss"]) == is_nan


@pytest.mark.parametrize("wrong", [math.nan, math.inf])
def test_logits_that_are_no_numbers_make_results_nan(wrong):
    metric = petseg.MeanIoU(3)
    logits = np.array(logits_of([[0, 1]], 3))
    metric.update_state([[0, 1]], logits)
    assert results(metric)["mean_iou"] == 1.0
    logits[..., 1, 2] = wrong  # infinite is greater than any number
    metric.update_state([[0, 1]], logits)
    found = results(metric)
    assert np.isnan(found["mean_iou"]) == np.isnan(found["pixel_accuracy"]) == np.isnan(wrong)


def test_an_ignored_class_has_no_iou():
    metric = petseg.MeanIoU(3, ignore_class=1)
    metric.update_state([[0, 1, 2, 2]], logits_of([[0, 0, 2, 1]], 3))
    found = results(metric)
    # One pixel of class 2 is missed; that class 1 was found there is no part of the mean.
    assert np.isnan(found["iou_1"])
    assert found["mean_iou"] == pytest.approx((1 + 1 / 2) / 2)
    assert found["pixel_accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("before", [CARRY - 2, CARRY, 2**31 - 5])
def test_counts_beyond_int32_are_exact(before):
    metric = petseg.MeanIoU(2)
    metric.total_cm.assign(np.array([[before, 0], [0, 7]]))
    batch = np.zeros((2, 40, 40), "int32")
    for _ in range(3):
        metric.update_state(batch, logits_of(batch, 2))
    assert metric.confusion.tolist() == [[before + 3 * batch.size, 0], [0, 7]]


def test_counts_carry_more_than_once():
    metric = petseg.MeanIoU(2)
    truth, predicted = np.array([[0, 0, 0, 1]]), np.array([[0, 0, 1, 1]])
    for step in range(1, 10):
        # As if each update had seen 2^29 more pixels.
        metric.total_cm.assign_add(np.array([[CARRY // 2, 0], [0, 0]]))
        metric.update_state(truth, logits_of(predicted, 2))
        assert metric.confusion.tolist() == [[step * (CARRY // 2 + 2), step], [0, step]]
    right = 9 * (CARRY // 2 + 2)
    assert right > 2**32
    assert results(metric)["iou_0"] == pytest.approx(right / (right + 9), rel=1e-6)
    assert results(metric)["iou_1"] == pytest.approx(0.5)
    assert results(metric)["pixel_accuracy"] == pytest.approx((right + 9) / (right + 18))
    metric.reset_state()
    assert not metric.confusion.any()


def test_state_goes_into_another_metric():
    metric, other = petseg.MeanIoU(2), petseg.MeanIoU(2)
    metric.total_cm.assign(np.array([[2**31 - 5, 3], [2, 1]]))
    metric.update_state([[0, 1]], logits_of([[0, 0]], 2))
    for ours, theirs in zip(other.variables, metric.variables, strict=True):
        ours.assign(theirs)
    assert other.confusion.tolist() == [[2**31 - 4, 3], [3, 1]]
    assert results(other) == results(metric)


def test_counts_are_those_of_the_compiled_function():
    images = keras.Input((4, 4, 3))
    model = keras.Model(images, keras.layers.Identity()(images))
    metric = petseg.MeanIoU(3)
    model.compile(loss=petseg.CrossEntropyDice(), metrics=[metric])
    rng = np.random.default_rng(0)
    truth, logits = rng.integers(0, 3, (6, 4, 4)), rng.normal(size=(6, 4, 4, 3))
    logs = model.evaluate(logits, truth, batch_size=2, verbose=0, return_dict=True)
    eager = petseg.MeanIoU(3)
    eager.update_state(truth, logits)
    np.testing.assert_array_equal(metric.confusion, eager.confusion)
    assert logs["mean_iou"] == pytest.approx(results(eager)["mean_iou"])


@pytest.mark.parametrize("dtype", [None, "int", "int32", "int64"])
def test_metrics_saved_on_another_backend_load(dtype):
    config = {**petseg.MeanIoU(2).get_config(), "dtype": dtype}
    metric = petseg.MeanIoU.from_config(config)  # Warnings are errors.
    metric.update_state([[0, 1]], logits_of([[0, 0]], 2))
    assert metric.confusion.tolist() == [[1, 0], [1, 0]]


def test_ties_go_to_the_first_class():
    for num_classes in (3, 9):
        logits = np.zeros((1, 2, num_classes), "float32")
        logits[0, 1, 1:3] = 1.0
        assert ops.convert_to_numpy(argmax_class(ops.convert_to_tensor(logits))).tolist() == [
            [0, 1]
        ]


def test_config_round_trip():
    metric = petseg.MeanIoU(2, ("a", "b"), ignore_class=9, name="iou")
    again = petseg.MeanIoU.from_config(metric.get_config())
    assert again.get_config() == metric.get_config()


def test_numpy_arguments_are_accepted():
    metric = petseg.MeanIoU(np.int64(2), ["a", "b"], np.uint8(255))
    assert metric.get_config() == petseg.MeanIoU(2, ("a", "b"), 255).get_config()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 1}, "`num_classes` must be an integer of 2 or more. Received: 1"),
        ({"num_classes": True}, "`num_classes` .* Received: True"),
        ({"num_classes": 3.0}, "`num_classes` .* Received: 3.0"),
        ({"class_names": ("a", "a", "b")}, "`class_names` must hold 3 different names"),
        ({"class_names": "abc"}, "`class_names` must hold 3 different names"),
        ({"ignore_class": False}, "`ignore_class` must be an integer or None. Received: False"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        petseg.MeanIoU(**arguments)


def test_logits_of_another_number_of_classes_are_refused():
    with pytest.raises(ValueError, match="`y_pred` must be logits"):
        petseg.MeanIoU(3).update_state([[0]], logits_of([[0]], 2))


@pytest.mark.parametrize("shape", [(1, 8, 4), (2, 4, 8), (1, 1, 1), (1, 4, 8, 3)])
def test_masks_of_another_shape_are_refused(shape):
    logits = np.zeros((1, 4, 8, 3), "float32")
    with pytest.raises(ValueError, match=r"`y_true` must be masks .* for logits of shape"):
        petseg.MeanIoU(3).update_state(np.zeros(shape, int), logits)
