import numpy as np
import pytest
from rich.console import Console

from petseg import Evaluation
from petseg.comparison import comparison_markdown, comparison_table


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


@pytest.mark.parametrize("compare", [comparison_table, comparison_markdown])
def test_nothing_to_compare_is_refused(compare):
    with pytest.raises(ValueError, match="`evaluations` must hold at least one"):
        compare({})
