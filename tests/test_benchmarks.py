"""The benchmark scripts: records that can be resumed, tables, figures and how scripts are run."""

import importlib
import json
import re
import shutil
import sys
from pathlib import Path

import pytest
from PIL import Image

import petseg
from benchmarks.accuracy import benchmark, benchmark_figures, collect
from benchmarks.accuracy.result_rows import (
    ResultRow,
    best_of_each_architecture,
    result_rows,
    row_labels,
)
from benchmarks.common import (
    RESULTS,
    ROOT,
    Record,
    Worker,
    argument_parser,
    median_ratio,
    take_turns,
)
from benchmarks.docs import tables

SCRIPTS = sorted(
    path
    for path in (ROOT / "benchmarks").glob("*/*.py")
    if '__name__ == "__main__"' in path.read_text(encoding="utf-8")
)

ECHO = """
import json, sys
print(json.dumps({"ready": True}), flush=True)
for line in sys.stdin:
    print(json.dumps({"twice": 2 * json.loads(line)["number"]}), flush=True)
"""


def test_a_record_keeps_its_results_and_their_settings(tmp_path):
    path = tmp_path / "new" / "record.json"
    record = Record(path, {"size": (1, 2), "seed": 0}, unit="ms")
    assert list(record.missing(["a", "b"])) == ["a", "b"]
    record.add("a", {"value": 1})
    again = Record(path, {"size": (1, 2), "seed": 0}, unit="ms")
    assert list(again.missing(["a", "b"])) == ["b"]
    again.write(note="done")
    written = json.loads(path.read_text())
    assert written["rows"] == {"a": {"value": 1}}
    assert written["settings"] == {"size": [1, 2], "seed": 0}
    assert (written["unit"], written["note"]) == ("ms", "done")
    assert {"versions", "cpu", "cores", "accelerators"} <= written["environment"].keys()


def test_a_record_with_other_settings_is_not_mixed_with(tmp_path):
    path = tmp_path / "record.json"
    Record(path, {"seed": 0}).add("a", 1)
    with pytest.raises(SystemExit, match="seed was 0, is 1"):
        Record(path, {"seed": 1})
    assert Record(path, {"seed": 1}, resume=False).rows == {}


@pytest.mark.parametrize(
    ("name", "key"), [("ablations", "rows"), ("recipe", "rows"), ("prediction", "ways")]
)
def test_published_records_can_be_added_to(name, key):
    module = importlib.import_module(f"benchmarks.accuracy.{name}")
    rows = json.loads((RESULTS / f"{name}.json").read_text())[key]
    if name == "ablations":
        wanted = set(module.variants(list(module.VARIANTS)))
    elif name == "recipe":
        wanted = set(module.CHANGES)
    else:
        wanted = set(module.prediction_settings((224, 224)))
    assert rows.keys() <= wanted


def test_turns_are_taken_round_after_round():
    order = []
    measurements = {
        name: lambda name=name: float(order.append(name) or len(order)) for name in ("a", "b")
    }
    assert take_turns(measurements, 3) == {"a": [1, 3, 5], "b": [2, 4, 6]}
    assert median_ratio([2, 6, 20], [1, 2, 4]) == 3


def test_a_worker_answers_until_it_is_stopped():
    worker = Worker(sys.executable, "-c", ECHO)
    assert worker.about == {"ready": True}
    assert worker.ask(number=21) == {"twice": 42}
    worker.stop()
    assert worker.process.returncode == 0
    with pytest.raises(SystemExit, match="ended without an answer"):
        Worker(sys.executable, "-c", "")


def test_arguments_are_those_asked_for():
    parser = argument_parser("One.\n\nMore.", data_dir="required", peers=True, rounds=4)
    assert parser.description == "One."
    args = parser.parse_args("--out a.json --data-dir d --peers p".split())
    assert (args.out, args.data_dir, args.seed, args.rounds) == (Path("a.json"), Path("d"), 0, 4)
    with pytest.raises(SystemExit):
        parser.parse_args(["--out", "a.json"])


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_each_script_says_how_it_is_run(path):
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    text = path.read_text(encoding="utf-8")
    assert f"python -m {name}" in text.split('"""')[1]
    assert "parse_args(" in text  # so that it answers --help


def test_commands_in_the_pages_name_scripts_that_exist():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r"python3? benchmarks/\S+", text), page.name
        for module in re.findall(r"python3? -m (benchmarks[\w.]+)", text):
            assert (ROOT / f"{module.replace('.', '/')}.py").is_file(), f"{page.name}: {module}"
        for script in re.findall(r"(benchmarks/[\w/]+\.(?:py|sh))", text):
            assert (ROOT / script).is_file(), f"{page.name}: {script}"


SCORED = {
    *(
        "trained",
        "training",
        "pretrained",
        "unet",
        "fcn",
        "segnet",
        "pspnet",
        "deeplab",
        "fpn",
        "linknet",
        "lraspp",
    ),
    *("ablations", "recipe", "default_backbone", "prediction", "runtimes", "few_labels"),
    *("imbalance", "flicker"),
}


def test_the_scored_tables_exist():
    assert tables.TABLES.keys() > SCORED


@pytest.mark.parametrize("name", tables.TABLES)
def test_the_score_is_the_second_column_of_a_table(name):
    heading, rule, *rows = tables.TABLES[name]().split("\n\n")[0].splitlines()
    columns = heading.strip("| ").split(" | ")
    assert rule.count("|") == len(columns) + 1
    assert rows
    assert {row.count("|") for row in rows} == {len(columns) + 1}
    scores = [index for index, column in enumerate(columns) if column.startswith("mean IoU")]
    assert scores[:1] == ([1] if name in SCORED else [])
    labels = [row.split(" | ")[0] for row in rows]
    assert len(set(labels)) == len(labels)  # the first column identifies the row


def test_tables_replace_their_blocks_and_nothing_else():
    page = "before\n<!-- table: startup -->\n\nold\n<!-- end -->\nafter\n"
    written = tables.with_tables(page, "page.md")
    assert written.startswith("before\n<!-- table: startup -->\n\n| process |")
    assert written.endswith("|\n\n<!-- end -->\nafter\n")
    assert "old" not in written
    assert tables.with_tables(written, "page.md") == written
    with pytest.raises(ValueError, match=r"Received: 'beginning' in page\.md"):
        tables.with_tables(page.replace("startup", "beginning"), "page.md")


def test_a_row_is_read_with_its_scores():
    row = ResultRow.load(RESULTS / "unet-efficientnetlite2-320")
    assert (row.label, row.size, row.start) == ("unet 320", "320x320", "224x224")
    assert row.evaluation.mean_iou == pytest.approx(row.test["mean_iou"])
    assert row.photo_scores["test"]["mean_iou"] == pytest.approx(row.test["mean_iou"], abs=2e-4)


@pytest.mark.parametrize(
    ("architecture", "start"),
    [("fpn", "encoder of the pretrained `unet`"), ("unet", "pretrained `unet`")],
)
def test_a_row_names_the_model_that_it_starts_from(tmp_path, architecture, start):
    name = f"{architecture}-efficientnetlite0-224"
    settings = benchmark.settings(benchmark.ROWS[name], tmp_path, "pets", 0)
    add_row(tmp_path, name, "unet-mobilenetv2-224")
    file = tmp_path / name / "result.json"
    record = json.loads(file.read_text()) | {"settings": settings.to_dict()}
    if settings.frozen_epochs == 0:
        del record["before_fine_tuning"]
    file.write_text(json.dumps(record))

    row = ResultRow.load(file.parent)

    assert row.start == start
    assert (row.frozen_mean_iou is None) == (architecture == "unet")
    assert petseg.model_info(settings.weights).weights == "pets"


def test_a_published_row_names_no_folder_of_a_machine(tmp_path):
    folder = tmp_path / "runs"
    add_row(folder, NEW, "unet-mobilenetv2-224")
    file = folder / NEW / "result.json"
    record = json.loads(file.read_text())
    record["settings"]["weights"] = f"{folder}/unet-vgg16-128/best.weights.h5"
    file.write_text(json.dumps(record))
    (folder / "latency.json").write_text(json.dumps({NEW: 5.0}))
    (folder / "masks.jpg").write_bytes(b"all rows")
    collect.collect(folder, tmp_path / "results")
    published = json.loads((tmp_path / "results" / NEW / "result.json").read_text())
    record["settings"]["weights"] = "unet-vgg16-128/best.weights.h5"
    assert published == record
    for path in RESULTS.glob("*/result.json"):
        weights = json.loads(path.read_text())["settings"]["weights"]
        assert not Path(weights).is_absolute(), path


def test_training_time_is_that_of_epochs_at_the_median_pace(tmp_path):
    name = "unet-efficientnetlite2-320"
    (tmp_path / "result.json").write_bytes((RESULTS / name / "result.json").read_bytes())
    seconds = [("frozen", 60), ("thawed", 120), ("thawed", 120), ("thawed", 999)]
    lines = ["stage,seconds", *(f"{stage},{value}" for stage, value in seconds)]
    (tmp_path / "history.csv").write_text("\n".join(lines) + "\n")
    assert ResultRow.load(tmp_path).training_minutes == 1 + 3 * 2


def test_rows_are_sorted_and_the_best_of_each_architecture_is_selected():
    rows = result_rows()
    scores = [row.test["mean_iou"] for row in rows]
    assert scores == sorted(scores, reverse=True)
    best = best_of_each_architecture(rows)
    assert len({row.architecture for row in best}) == len(best)
    assert best[0] == rows[0]


def test_figures_label_their_axes_and_can_be_read_on_a_phone(tmp_path):
    rows = result_rows()
    milliseconds = {row.name: 10.0 + index for index, row in enumerate(rows)}
    figures = [
        benchmark_figures.class_bars({row.label: row.evaluation for row in rows[:3]}),
        benchmark_figures.accuracy_against_latency(rows, milliseconds),
        benchmark_figures.confusion_matrix(rows[0].evaluation, "Confusion matrix"),
    ]
    for figure in figures:
        (axes,) = figure.axes
        assert axes.get_xlabel()
        assert axes.get_ylabel()
        assert axes.get_title(loc="left")
        pixels_per_point = 360 / figure.get_size_inches()[0] / 72  # on a phone 360 pixels wide
        texts = [axes.xaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels(), *axes.texts]
        texts += [text for legend in figure.legends for text in legend.get_texts()]
        assert min(text.get_fontsize() for text in texts) * pixels_per_point > 10
    benchmark_figures.draw_figures(rows, milliseconds, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "classes.jpg",
        "confusion.jpg",
        "latency.jpg",
    }


NEW = "unet-vgg16-224"  # differs from a published row only in its backbone


def add_row(folder, name, published):
    """Writes the files of a complete row: those of a published row with another backbone."""
    (folder / name).mkdir(parents=True)
    record = json.loads((RESULTS / published / "result.json").read_text())
    record["settings"]["backbone"] = name.split("-")[1]
    (folder / name / "result.json").write_text(json.dumps(record))
    for file in ("history.csv", "photo_scores.json"):
        shutil.copy(RESULTS / published / file, folder / name)
    for figure in ("curves.png", "masks.png"):
        Image.new("RGB", (1400, 10)).save(folder / name / figure)


@pytest.fixture
def published(tmp_path, monkeypatch):
    """A copy of the published results, which the tables are made from."""
    results = tmp_path / "results"
    shutil.copytree(RESULTS, results)
    monkeypatch.setattr(tables, "RESULTS", results)
    return results


def test_few_labels_are_compared_where_both_trainings_of_a_seed_are_there(published):
    scores = {
        "50 photos, pets, seed 0": 0.8,
        "50 photos, imagenet, seed 0": 0.7,
        "50 photos, imagenet, seed 1": 0.1,
        "50 photos, pets, seed 2": 0.6,
        "50 photos, imagenet, seed 2": 0.6,
        "200 photos, pets, seed 0": 0.9,
    }
    rows = {name: {"mean_iou": score} for name, score in scores.items()}
    (published / "few_labels.json").write_text(json.dumps({"rows": rows}))
    (row,) = tables.few_labels_table().splitlines()[2:]
    assert row == ("| 50 photos | 0.700 (0.600 to 0.800) | 0.650 (0.600 to 0.700) | +0.050 | 2 |")


def test_a_new_row_is_added_to_the_published_rows(tmp_path, published):
    folder = tmp_path / "runs"
    add_row(folder, NEW, "unet-mobilenetv2-224")
    (folder / "latency.json").write_text(json.dumps({NEW: 99.0}))
    (folder / "masks.jpg").write_bytes(b"only the new row")
    scores = json.loads((RESULTS / "pretrained.json").read_text())["rows"]["unet-mobilenetv2"]
    scores["ordinary"]["mean_iou"] = 0.1234
    (folder / NEW / "photo_scores.json").write_text(json.dumps(scores))
    before = json.loads((published / "comparison" / "latency.json").read_text())
    masks = (published / "comparison" / "masks.jpg").read_bytes()

    collect.collect(folder, published)

    after = json.loads((published / "comparison" / "latency.json").read_text())
    assert after == {**before, NEW: 99.0}
    assert (published / "comparison" / "masks.jpg").read_bytes() == masks
    assert {path.name for path in (published / NEW).iterdir()} == {
        *("result.json", "history.csv", "curves.jpg", "masks.jpg", "photo_scores.json"),
    }
    assert "| 0.123 |" in tables.TABLES["trained"]()
    with Image.open(published / NEW / "masks.jpg") as figure:
        assert figure.width == collect.MAX_WIDTH
    for name in ("trained", "unet"):
        labels = [line.split(" | ")[0] for line in tables.TABLES[name]().splitlines()[2:]]
        assert "| `unet` 224x224, `vgg16`" in labels
        assert "| `unet` 224x224, `mobilenetv2`" in labels
        assert len(set(labels)) == len(labels)
    assert "\n| `pspnet` 192x192, `mobilenetv2` |" in tables.TABLES["pspnet"]()
    for name in set(tables.TABLES) - {"trained", "unet"}:
        tables.TABLES[name]()


def test_rows_that_differ_in_the_backbone_have_labels_of_their_own(tmp_path):
    add_row(tmp_path, NEW, "unet-mobilenetv2-224")
    rows = [*result_rows(), *result_rows(tmp_path)]
    labels = row_labels(rows)
    assert labels[NEW] == "unet vgg16 224"
    assert labels["unet-mobilenetv2-224"] == "unet mobilenetv2 224"
    assert labels["pspnet-mobilenetv2-192"] == "pspnet 192"
    assert len(set(labels.values())) == len(rows)
    figure = benchmark_figures.accuracy_against_latency(rows, {row.name: 1.0 for row in rows})
    lines = [text.get_text() for text in figure.legends[0].get_texts()]
    assert {"unet mobilenetv2", "unet vgg16", "fpn"} < set(lines)
    assert len(set(lines)) == len(lines)


def test_the_picture_of_masks_is_copied_when_it_shows_all_rows(tmp_path):
    folder, results = tmp_path / "runs", tmp_path / "results"
    names = ("unet-mobilenetv2-224", "fcn8-mobilenet-128")
    for name in names:
        add_row(folder, name, name)
    (folder / "latency.json").write_text(json.dumps(dict.fromkeys(names, 5.0)))
    (folder / "masks.jpg").write_bytes(b"all rows")
    collect.collect(folder, results)
    assert (results / "comparison" / "masks.jpg").read_bytes() == b"all rows"
    assert {path.name for path in (results / "comparison").iterdir()} == {
        *("latency.json", "latency.jpg", "classes.jpg", "confusion.jpg", "masks.jpg"),
    }


def test_a_row_that_was_not_timed_is_refused(tmp_path):
    add_row(tmp_path / "runs", NEW, "unet-mobilenetv2-224")
    with pytest.raises(SystemExit, match=f"Received: none of {NEW}"):
        collect.collect(tmp_path / "runs", tmp_path / "results")
    assert not (tmp_path / "results").exists()
