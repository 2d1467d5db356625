import csv

import keras
import pytest
from matplotlib.figure import Figure

from petseg import plot_history

HISTORY = {
    "loss": [0.9, 0.6, 0.5, 0.4],
    "val_loss": [0.8, 0.6, 0.5, 0.5],
    "pixel_accuracy": [0.7, 0.8, 0.85, 0.9],
    "val_pixel_accuracy": [0.75, 0.8, 0.85, 0.88],
    "mean_iou": [0.5, 0.6, 0.7, 0.8],
    "val_mean_iou": [0.55, 0.6, 0.7, 0.75],
    "iou_pet": [0.6, 0.7, 0.8, 0.85],
    "stage": ["frozen", "frozen", "thawed", "thawed"],
}


def curves(figure):
    """The values of each curve, by title of its panel and label."""
    return {
        (axes.get_title(loc="left"), line.get_label()): list(line.get_ydata())
        for axes in figure.axes
        for line in axes.lines
        if not line.get_label().startswith("_")
    }


def test_the_curves_are_those_of_the_history():
    assert curves(plot_history(HISTORY)) == {
        ("Loss", "training"): HISTORY["loss"],
        ("Loss", "validation"): HISTORY["val_loss"],
        ("Pixel accuracy", "training"): HISTORY["pixel_accuracy"],
        ("Pixel accuracy", "validation"): HISTORY["val_pixel_accuracy"],
        ("Mean IoU", "training"): HISTORY["mean_iou"],
        ("Mean IoU", "validation"): HISTORY["val_mean_iou"],
    }


def test_epochs_count_from_one():
    line = plot_history(HISTORY).axes[0].lines[0]
    assert list(line.get_xdata()) == [1, 2, 3, 4]


def test_the_start_of_fine_tuning_is_marked_between_the_stages():
    for axes in plot_history(HISTORY).axes:
        assert [text.get_text() for text in axes.texts] == ["fine-tuning"]
        assert axes.lines[-1].get_xdata() == [2.5, 2.5]


@pytest.mark.parametrize("stages", [["frozen"] * 4, ["thawed"] * 4, None])
def test_one_stage_alone_has_no_mark(stages):
    history = HISTORY | {"stage": stages}
    if stages is None:
        del history["stage"]
    assert not any(axes.texts for axes in plot_history(history).axes)


def test_curves_that_are_missing_are_left_out():
    assert list(curves(plot_history({"loss": [1.0]}))) == [("Loss", "training")]


def test_a_keras_history_is_taken():
    history = keras.callbacks.History()
    history.history = HISTORY
    assert curves(plot_history(history)) == curves(plot_history(HISTORY))


def test_a_csv_file_is_taken(tmp_path):
    path = tmp_path / "history.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", *HISTORY])
        writer.writerows(zip(range(4), *HISTORY.values(), strict=True))
    for source in (path, str(path)):
        figure = plot_history(source)
        assert curves(figure) == curves(plot_history(HISTORY))
        assert figure.axes[0].texts


def test_the_figure_can_be_saved_without_a_display(tmp_path):
    figure = plot_history(HISTORY)
    assert isinstance(figure, Figure)
    figure.savefig(tmp_path / "history.png")
    figure.savefig(tmp_path / "history.svg")
    assert (tmp_path / "history.png").stat().st_size > 10_000


@pytest.mark.parametrize("history", [{}, {"accuracy": [0.5]}, {"loss": []}])
def test_a_history_without_curves_is_refused(history):
    with pytest.raises(ValueError, match="`history` must hold at least one epoch of loss"):
        plot_history(history)


def test_what_is_no_history_is_refused(tmp_path):
    with pytest.raises(TypeError, match="`history` must be a History"):
        plot_history([0.9, 0.6])
    with pytest.raises(FileNotFoundError, match=r"gone\.csv"):
        plot_history(tmp_path / "gone.csv")
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(ValueError, match=r"empty\.csv.*no epoch"):
        plot_history(empty)
