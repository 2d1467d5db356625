import numpy as np
import pytest
from rich.console import Console

from petseg import Evaluation
from petseg.comparison import comparison_markdown, comparison_table, score_table


def evaluation(right, wrong, loss, names=("pet", "background")):
    """Two classes alike: each has `right` pixels right and `wrong` called the other."""
    confusion = np.array([[right, wrong], [wrong, right]])
    return Evaluation(names, confusion, loss=loss, boundary_f1=0.5, examples=10)


@pytest.fixture
def two_models():
    # IoU: 6 of 6 + 2 + 2, and 7 of 7 + 1 + 1.
    return {"fcn32": evaluation(6, 2, 0.5), "unet[v2]": evaluation(7, 1, 0.25)}


def test_markdown_has_a_row_a_model_and_the_best_in_bold(two_models):
    assert comparison_markdown(two_models).splitlines() == [
        "| model | mean IoU | pet IoU | background IoU | boundary F1 | pixel accuracy | loss |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
        "| fcn32 | 0.600 | 0.600 | 0.600 | **0.500** | 0.750 | 0.500 |",
        "| unet[v2] | **0.778** | **0.778** | **0.778** | **0.500** | **0.875** | **0.250** |",
    ]


def test_one_model_alone_is_not_the_best(two_models):
    del two_models["fcn32"]
    assert "**" not in comparison_markdown(two_models)


def test_models_of_other_classes_have_gaps(two_models):
    two_models["binary"] = evaluation(6, 2, 0.5, names=("pet", "rest"))
    rows = [line.split(" | ") for line in comparison_markdown(two_models).splitlines()]
    assert rows[0][2:4] == ["pet IoU", "background IoU"]
    assert rows[4][3] == "-"


def test_the_table_fits_a_terminal(two_models):
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(comparison_table(two_models))
    rows = [line.split() for line in capture.get().splitlines()]
    assert ["fcn32", "0.600", "0.600", "0.600", "0.500", "0.750", "0.500"] in rows
    assert ["unet[v2]", "0.778", "0.778", "0.778", "0.500", "0.875", "0.250"] in rows


@pytest.mark.parametrize("num_classes", [3, 11, 21])
def test_the_scores_of_two_splits_fit_80_columns(num_classes):
    names = tuple(f"class number {index}" for index in range(num_classes))
    # Each class has 3 pixels right; val confuses 1 pixel of the first class with the second.
    test = np.diag([3] * num_classes)
    val = test.copy()
    val[0, 1] = 1
    evaluations = {
        heading: Evaluation(names, confusion, loss=0.25, boundary_f1=0.5, examples=10)
        for heading, confusion in (("validation", val), ("test", test))
    }
    console = Console(width=80, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(score_table(evaluations))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    rows = {" ".join(line.split()[:-2]): line.split()[-2:] for line in lines if line.split()}
    assert rows["score"] == ["validation", "test"]
    assert rows["class number 0 IoU"] == ["0.750", "1.000"]
    assert rows[f"class number {num_classes - 1} IoU"][1] == "1.000"
    assert rows["loss"] == ["0.250", "0.250"]
    assert sum(label.endswith(" IoU") and "class" in label for label in rows) == num_classes


def test_a_row_of_one_score_is_not_bold(two_models):
    for column in score_table(two_models).columns:
        assert all(not getattr(cell, "style", "") for cell in column.cells)


@pytest.mark.parametrize("compare", [comparison_table, comparison_markdown, score_table])
def test_nothing_to_compare_is_refused(compare):
    with pytest.raises(ValueError, match="`evaluations` must hold at least one"):
        compare({})
