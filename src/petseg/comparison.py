"""Tables that compare models by their scores."""

import math
from collections.abc import Mapping

from rich import box
from rich.table import Table
from rich.text import Text

from petseg.scores import Evaluation, format_score

# They rise and fall with the IoUs, and the table has to fit a terminal.
NOT_COMPARED = ("weighted IoU", "Dice", "calibration error")


def score_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """Builds a table for the terminal with a row for each score and class.

    It fits a terminal of 80 columns with any number of classes.

    Args:
        evaluations: The scores of a few splits, by the heading to show, such as "validation".

    Returns:
        The table, with a column for each evaluation.

    Raises:
        ValueError: If there is no evaluation.
    """
    scores, labels = _labelled(evaluations)
    table = Table("score", box=box.SIMPLE_HEAD)
    for heading in scores:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    for label in labels:
        cells = (format_score(found.get(label, math.nan)) for found in scores.values())
        table.add_row(Text(label), *cells)
    return table


def comparison_table(evaluations: Mapping[str, Evaluation]) -> Table:
    """Builds a table for the terminal that compares models, one in a row.

    Args:
        evaluations: The scores of each model, by the name to show.

    Returns:
        The table, with the best of each score in bold.

    Raises:
        ValueError: If there is no evaluation.
    """
    labels, rows = _comparison(evaluations)
    table = Table("model", box=box.SIMPLE_HEAD, collapse_padding=True, pad_edge=False)
    for label in labels:
        # Broken here, since rich breaks the names of models first when space is short.
        table.add_column(Text("\n".join(label.rsplit(" ", 1))), justify="right")
    for model, cells in rows.items():
        table.add_row(Text(model), *(Text(text, "bold" if best else "") for text, best in cells))
    return table


def comparison_markdown(evaluations: Mapping[str, Evaluation]) -> str:
    """Builds the table of `comparison_table` in Markdown.

    Args:
        evaluations: The scores of each model, by the name to show.

    Returns:
        The text of the table, with the best of each score in bold.

    Raises:
        ValueError: If there is no evaluation.
    """
    labels, rows = _comparison(evaluations)
    lines = [["model", *labels], ["---", *["---:"] * len(labels)]]
    for model, cells in rows.items():
        lines.append([model, *(f"**{text}**" if best else text for text, best in cells)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _comparison(
    evaluations: Mapping[str, Evaluation],
) -> tuple[list[str], dict[str, list[tuple[str, bool]]]]:
    """The headings, and by model the text under each and whether it is the best of several."""
    scores, every_label = _labelled(evaluations)
    labels = [label for label in every_label if label not in NOT_COMPARED]
    rows: dict[str, list[tuple[str, bool]]] = {model: [] for model in scores}
    for label in labels:
        # As precise as they are shown, so that equal texts are equally bold.
        column = {model: round(found.get(label, math.nan), 3) for model, found in scores.items()}
        known = [score for score in column.values() if not math.isnan(score)]
        best = (min if label == "loss" else max)(known, default=None)
        for model, score in column.items():
            rows[model].append((format_score(score), score == best and len(column) > 1))
    return labels, rows


def _labelled(
    evaluations: Mapping[str, Evaluation],
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The scores of each evaluation by label, and the labels that occur in any of them."""
    if not evaluations:
        raise ValueError("`evaluations` must hold at least one evaluation. Received: none.")
    scores = {name: evaluation.labelled_scores for name, evaluation in evaluations.items()}
    return scores, list(dict.fromkeys(label for found in scores.values() for label in found))
