"""Scores equal sums by hand, and are shown and saved completely."""

import json
import math
from dataclasses import FrozenInstanceError
from xml.etree import ElementTree as ET

import keras
import numpy as np
import pytest

from petseg import PET_CLASSES, Evaluation, MeanIoU, evaluate, synthetic_pets

COLOURS = 255 * np.eye(3, dtype=np.float32)


def colour_model(logit=1.0, **compiled):
    """A pixel of `COLOURS[k]` has this logit for class k, and 0 for the others."""
    images = keras.Input((None, None, 3))
    model = keras.Model(images, keras.layers.Rescaling(logit / 255)(images))
    if compiled:
        model.compile(**compiled)
    return model


def batch(predicted, truth):
    """One batch on which `colour_model` predicts `predicted`: both are one mask, or several."""
    predicted, truth = np.array(predicted, ndmin=3), np.array(truth, ndmin=3)
    return COLOURS[predicted], truth[..., np.newaxis]


# Class 0: 1 of 2 pixels. Class 1: 1 of 2. Class 2: 1 of 1.
FOUR_PIXELS = batch(predicted=[[0, 1], [1, 2]], truth=[[0, 0], [1, 2]])


@pytest.fixture(scope="module")
def four_pixels():
    return evaluate(colour_model(), [FOUR_PIXELS])


def test_confusion_has_truth_in_rows(four_pixels):
    assert four_pixels.confusion.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 1]]
    assert four_pixels.confusion.dtype == np.int64
    assert four_pixels.examples == 1


def test_scores_are_those_of_the_sum_by_hand(four_pixels):
    assert four_pixels.pixel_accuracy == 3 / 4
    assert four_pixels.class_iou == {"0": 1 / 2, "1": 1 / 2, "2": 1.0}
    assert four_pixels.mean_iou == pytest.approx((1 / 2 + 1 / 2 + 1) / 3)
    assert four_pixels.frequency_weighted_iou == pytest.approx((2 * 1 / 2 + 1 / 2 + 1) / 4)
    assert four_pixels.dice == pytest.approx((2 / 3 + 2 / 3 + 1) / 3)


def test_loss_is_the_mean_cross_entropy_of_a_pixel(four_pixels):
    # Logits 1, 0, 0: three pixels have their class at 1, one at 0.
    log_sum = math.log(math.e + 2)
    assert four_pixels.loss == pytest.approx(log_sum - 3 / 4)


def test_loss_stays_finite_for_great_logits():
    # Ten thousand to nothing: the one wrong pixel costs all of it.
    assert evaluate(colour_model(1e4), [FOUR_PIXELS]).loss == pytest.approx(1e4 / 4)


def test_batches_of_any_number_count_as_one_dataset():
    rng = np.random.default_rng(0)
    predicted, truth = rng.integers(0, 3, (2, 5, 8, 8))
    whole = evaluate(colour_model(), [batch(predicted, truth)])
    parts = [batch(predicted[:3], truth[:3]), batch(predicted[3:], truth[3:])]
    apart = evaluate(colour_model(), parts)
    assert apart.to_json() == whole.to_json()
    assert apart.examples == 5


def test_masks_may_lack_the_last_axis(four_pixels):
    images, masks = FOUR_PIXELS
    assert evaluate(colour_model(), [(images, masks[..., 0])]).to_json() == four_pixels.to_json()


def test_boundary_f1_is_the_mean_of_the_images_that_have_a_boundary():
    halves = np.zeros((8, 8), int)
    halves[:, 4:] = 1
    plain = np.zeros((8, 8), int)
    # Right, without any boundary, and with the only boundary missed: 1, none, 0.
    found = evaluate(colour_model(), [batch([halves, plain, plain], [halves, plain, halves])])
    assert found.boundary_f1 == pytest.approx(1 / 2)


def test_a_class_that_never_occurs_counts_in_no_mean():
    found = evaluate(colour_model(), [batch(predicted=[[0, 1]], truth=[[0, 0]])])
    assert math.isnan(found.class_iou["2"])
    assert found.mean_iou == pytest.approx((1 / 2 + 0) / 2)
    assert found.dice == pytest.approx((2 / 3 + 0) / 2)


def test_names_and_the_ignored_class_are_those_of_the_compiled_metric():
    metric = MeanIoU(3, class_names=PET_CLASSES, ignore_class=255)
    model = colour_model(loss="mse", metrics=["accuracy", metric])
    found = evaluate(model, [batch(predicted=[[0, 1, 1]], truth=[[0, 255, 2]])])
    # Two pixels count: one of class 0 and right, one of class 2 and called 1.
    assert found.confusion.tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert found.class_iou == {"pet": 1, "background": 0, "border": 0}
    assert found.loss == pytest.approx(math.log(math.e + 2) - 1 / 2)


def test_an_ignored_class_has_no_iou():
    model = colour_model(loss="mse", metrics=[MeanIoU(3, ignore_class=1)])
    found = evaluate(model, [batch(predicted=[[0, 0, 2, 1]], truth=[[0, 1, 2, 2]])])
    assert math.isnan(found.class_iou["1"])
    assert found.mean_iou == pytest.approx((1 + 1 / 2) / 2)
    again = Evaluation.from_json(found.to_json())
    assert again.class_iou == pytest.approx(found.class_iou, nan_ok=True)


def test_a_model_that_returns_nan_is_refused():
    with pytest.raises(ValueError, match=r"`model` must return numbers\. Received: NaN"):
        evaluate(colour_model(math.nan), [FOUR_PIXELS])


def test_images_from_0_to_1_are_refused():
    images, masks = FOUR_PIXELS
    with pytest.raises(ValueError, match=r"`dataset` must lie in \[0, 255\].*Multiply it by 255"):
        evaluate(colour_model(), [(images / 300, masks)])


def test_given_names_win(four_pixels):
    found = evaluate(colour_model(), [FOUR_PIXELS], class_names=["cat", "dog", "sofa"])
    assert found.class_names == ("cat", "dog", "sofa")
    assert list(found.class_iou) == ["cat", "dog", "sofa"]
    assert found.mean_iou == four_pixels.mean_iou


def test_agrees_with_keras_on_synthetic_pets():
    keras.utils.set_random_seed(0)
    images = keras.Input((None, None, 3))
    logits = keras.layers.Conv2D(3, 3, padding="same")(keras.layers.Rescaling(1 / 255)(images))
    model = keras.Model(images, logits)
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[MeanIoU(3, PET_CLASSES)],
    )
    pets = synthetic_pets(20, image_size=(48, 64), batch_size=4, augment=False).train

    found = evaluate(model, pets)

    logs = model.evaluate(pets, return_dict=True, verbose=0)
    assert found.mean_iou == pytest.approx(logs["mean_iou"], rel=1e-5)
    assert found.class_iou["border"] == pytest.approx(logs["iou_border"], rel=1e-5)
    assert found.loss == pytest.approx(logs["loss"], rel=1e-5)


def test_json_gives_the_record_back(four_pixels, tmp_path):
    path = tmp_path / "evaluation.json"
    text = four_pixels.to_json(path)
    for source in (text, path, str(path)):
        again = Evaluation.from_json(source)
        assert again.to_json() == text
        assert again.confusion.dtype == np.int64
        assert again.class_names == four_pixels.class_names
    assert json.loads(text)["mean_iou"] == four_pixels.mean_iou


def test_json_knows_scores_that_are_missing():
    found = evaluate(colour_model(), [batch(predicted=[[0, 0]], truth=[[0, 0]])])
    record = json.loads(found.to_json())
    assert record["class_iou"] == {"0": 1.0, "1": None, "2": None}
    assert record["boundary_f1"] is None
    assert math.isnan(Evaluation.from_json(found.to_json()).boundary_f1)


def test_prints_as_a_table(four_pixels):
    lines = str(four_pixels).splitlines()
    assert any(line.split() == ["mean", "IoU", "0.667"] for line in lines)
    assert any(line.split() == ["2", "IoU", "1.000"] for line in lines)
    assert lines[-1].split() == ["1", "example"]


def scores_of(names):
    confusion = np.diag(np.arange(len(names), dtype=np.int64))
    return Evaluation(tuple(names), confusion, loss=0.1234, boundary_f1=math.nan, examples=1234)


def test_many_classes_are_rows():
    names = [f"class {index}" for index in range(150)]
    lines = [line.split() for line in str(scores_of(names)).splitlines()]
    for name in names[1:]:
        assert [*name.split(), "IoU", "1.000"] in lines
    assert ["class", "0", "IoU", "-"] in lines
    assert lines[-1] == ["1,234", "examples"]


def test_notebooks_show_a_table_of_the_same_scores():
    found = scores_of(["<b>cat</b>", "dog & co", "[red]fox[/red]"])
    root = ET.fromstring(found._repr_html_())
    assert root.tag == "table"
    assert root.findtext("caption") == "1,234 examples"
    rows = [(row.findtext("th"), row.findtext("td")) for row in root.iterfind("tbody/tr")]
    assert rows == [
        ("mean IoU", "1.000"),
        ("<b>cat</b> IoU", "-"),
        ("dog & co IoU", "1.000"),
        ("[red]fox[/red] IoU", "1.000"),
        ("weighted IoU", "1.000"),
        ("Dice", "1.000"),
        ("boundary F1", "-"),
        ("pixel accuracy", "1.000"),
        ("calibration error", "-"),
        ("loss", "0.123"),
    ]
    assert "[red]fox[/red] IoU" in str(found)


def test_is_frozen(four_pixels):
    with pytest.raises(FrozenInstanceError):
        four_pixels.loss = 0.0


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ([[1, 2, 3]], r"0 to 2.*Received: 3\. Subtract 1 from trimap labels 1 to 3"),
        ([[0, -1, 255]], r"Received: -1, 255"),
        ([[0, 0.5, 1]], "fractions.*nearest neighbour"),
        ([[0, 1]], r"masks \(1, 1, 2\) for logits \(1, 1, 3, 3\)"),
    ],
)
def test_masks_that_do_not_fit_are_refused(truth, message):
    with pytest.raises(ValueError, match=message):
        evaluate(colour_model(), [batch([[0, 1, 2]], truth)])


@pytest.mark.parametrize("names", [["cat", "dog"], ["cat", "cat", "dog"], "cat"])
def test_names_that_do_not_fit_are_refused(names):
    with pytest.raises(ValueError, match="`class_names` must hold 3 different names"):
        evaluate(colour_model(), [FOUR_PIXELS], class_names=names)


def test_a_dataset_without_pixels_is_refused():
    with pytest.raises(ValueError, match=r"`dataset` .* no batch"):
        evaluate(colour_model(), [])
    model = colour_model(loss="mse", metrics=[MeanIoU(3, ignore_class=1)])
    with pytest.raises(ValueError, match=r"`dataset` .* only ignored pixels"):
        evaluate(model, [batch([[0, 1]], [[1, 1]])])


def test_single_examples_are_refused():
    pets = synthetic_pets(20, image_size=(48, 64), batch_size=4, augment=False).train.unbatch()
    with pytest.raises(ValueError, match=r"`dataset` must yield pairs"):
        evaluate(colour_model(), pets)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"`model` must be a keras\.Model"):
        evaluate(len, [FOUR_PIXELS])


@pytest.mark.parametrize("text", ["{}", "{", '{"class_names": 3}'])
def test_what_is_no_record_is_refused(text):
    with pytest.raises(ValueError, match=r"`source` must be JSON text from `Evaluation.to_json`"):
        Evaluation.from_json(text)
