"""Writes the tables of README.md and docs/*.md from docs/results: `tables.py [--check]`."""

import argparse
import csv
import json
import re
import statistics
import sys
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "docs" / "results"


def trained() -> str:
    """Every row of the benchmark, the best first: how it was trained, and its figures."""
    heading = "network, backbone, size, begins with, epochs, training, multiply-adds, "
    heading += "before fine-tuning, mean IoU, pet, background, border, pixel accuracy, boundary F1"
    rows = []
    for path, record in benchmark():
        settings, test = record["settings"], record["test"]
        rows.append(
            [
                f"`{settings['model']}`",
                f"`{settings['backbone']}`",
                "x".join(map(str, settings["image_size"])),
                beginning_of(settings["weights"]),
                f"{settings['frozen_epochs']} + {settings['epochs']}",
                f"{training_minutes(path.with_name('history.csv')):.0f} min",
                f"{record['multiply_adds'] / 1e6:.0f} M",
                f"{record['before_fine_tuning']['test']['mean_iou']:.3f}",
                f"**{test['mean_iou']:.3f}**",
                *(f"{test['class_iou'][name]:.3f}" for name in ("pet", "background", "border")),
                f"{test['pixel_accuracy']:.3f}",
                f"{test['boundary_f1']:.3f}",
            ]
        )
    return table(heading, rows, words=5)


def best() -> str:
    """What one asks first of every network, of the best of its rows."""
    records: dict[str, tuple[Path, dict]] = {}
    for path, record in benchmark():
        records.setdefault(record["settings"]["model"], (path, record))
    return first_figures(list(records.values()))


def family(*models: str) -> str:
    """What one asks first of the rows of a family."""
    return first_figures(
        [(path, record) for path, record in benchmark() if record["settings"]["model"] in models]
    )


def first_figures(records: list[tuple[Path, dict]]) -> str:
    milliseconds = read(RESULTS / "comparison" / "latency.json")
    rows = [
        [
            f"`{record['settings']['model']}`",
            f"`{record['settings']['backbone']}`",
            "x".join(map(str, record["settings"]["image_size"])),
            f"{record['parameters'] / 1e6:.1f} M",
            f"{milliseconds[path.parent.name]:.0f} ms",
            f"**{record['test']['mean_iou']:.3f}**",
            f"{record['test']['pixel_accuracy']:.3f}",
        ]
        for path, record in records
    ]
    return table(
        "network, backbone, size, parameters, one photo, mean IoU, pixel accuracy", rows, 3
    )


def benchmark() -> list[tuple[Path, dict]]:
    """The records of the rows and where they are, the best first."""
    records = [(path, read(path)) for path in sorted(RESULTS.glob("*/result.json"))]
    return sorted(records, key=lambda entry: -entry[1]["test"]["mean_iou"])


def beginning_of(weights: str) -> str:
    """ImageNet, or the size of the row whose weights they are: `unet-mobilenetv2-128/best...`."""
    if weights == "imagenet":
        return "ImageNet"
    size = Path(weights).parent.name.rpartition("-")[2]
    return f"{size}x{size}"


def training_minutes(history: Path) -> float:
    """What the epochs take at the median pace of their stage: some were held up by other work."""
    stages: dict[str, list[float]] = {}
    with history.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            stages.setdefault(row["stage"], []).append(float(row["seconds"]))
    return sum(len(seconds) * statistics.median(seconds) for seconds in stages.values()) / 60


def variants() -> str:
    """What the choices inside each architecture give and cost, the default of each first."""
    record = read(RESULTS / "variants.json")
    rows = []
    for call, row in record["rows"].items():
        model, _, arguments = call.removesuffix(")").partition("(")
        rows.append(
            [
                f"`{model}`",
                f"`{arguments}`" if arguments else "default",
                f"{row['parameters'] / 1e6:.1f} M",
                f"{row['mean_iou']:.3f}",
                *(f"{row['class_iou'][name]:.3f}" for name in ("pet", "background", "border")),
                f"{row['frozen_step_speed']:.2f}",
            ]
        )
    order = list(dict.fromkeys(row[0] for row in rows))
    rows.sort(key=lambda row: (order.index(row[0]), row[1] != "default"))
    return table(
        "network, arguments, parameters, mean IoU, pet, background, border, speed", rows, words=2
    )


def speed() -> str:
    """Images a second of petseg and its peers, and the ratio."""
    record = read(RESULTS / "speed.json")
    cases: list[str] = []
    rows = []
    for model, result in record["results"].items():
        for name, row in result["rows"].items():
            cases = cases or [case for case in row if isinstance(row[case], dict)]
            cells = []
            for case in cases:
                cell = f"{row[case]['images_per_second']:.0f}"
                if "petseg_is_faster_by" in row[case]:
                    cell += f" (**{row[case]['petseg_is_faster_by']:.1f}x**)"
                cells.append(cell)
            rows.append([network(model, name), f"{row['parameters'] / 1e6:.1f} M", *cells])
    cases = [
        f"{task} {size.split('x')[0]}" + (" (1)" if batch == "batch 1" else "")
        for task, size, batch in (case.split(", ") for case in cases)
    ]
    return table(", ".join(["network", "parameters", *cases]), rows)


def beginning() -> str:
    """What it takes each process of `speed` to import, to give a first mask, and in memory."""
    rows = [
        [
            network(model, name),
            f"{row['import_seconds']:.1f} s",
            f"{row['first_prediction_seconds']:.1f} s",
            f"{row['peak_mib']:,} MiB",
        ]
        for model, result in read(RESULTS / "speed.json")["results"].items()
        for name, row in result["rows"].items()
    ]
    return table("network, import, first prediction, peak memory", rows)


def network(model: str, name: str) -> str:
    return f"`petseg.{model}`" if name == "petseg" else name


def startup() -> str:
    """What it costs to import petseg, and to ask it for help."""
    rows = [
        [f"`{name}`", f"{found['seconds']:.2f} s", f"{found['of_the_base']:.2f}"]
        for name, found in read(RESULTS / "startup.json")["results"].items()
    ]
    return table("process, time, of the first", rows)


def choices() -> str:
    """What changes the speed of a training step, as a share of the default's."""
    record = read(RESULTS / "step_choices.json")
    rows = [
        [name, *(f"{tasks[task]['ratio']:.2f}" for task in ("frozen", "full", "predict"))]
        for name, tasks in record["results"].items()
    ]
    weights = record["encoder_features_mib_per_photo"]
    photos = read(RESULTS / "dataset" / "dataset.json")["splits"]["train"]["examples"]
    kept = " and ".join(f"{weights[size] * photos / 1024:.0f} GiB at {size}" for size in weights)
    note = f"What a frozen encoder makes of the training photos would take {kept} to keep.\n"
    return table("choice, frozen, full, predict", rows) + "\n" + note


def pipeline() -> str:
    """Images a second, CPU time and memory of each way to read the training photos."""
    names = {
        "petseg": "petseg",
        "tutorial": "`tf.data` tutorial",
        "tutorial, cached": "`tf.data` tutorial, cached",
        "torch": "torch `DataLoader`, 2 workers",
        "fastest training step": "the fastest training step takes",
    }
    rows = []
    for size, results in read(RESULTS / "pipeline.json")["results"].items():
        for kind, name in names.items():
            row = results[kind]
            # The memory of the loader's workers is not that of the process.
            memory = f"{row['memory_mib']:,} MiB" if "memory_mib" in row and kind != "torch" else ""
            waiting = row.get("share_of_time_waiting")
            rows.append(
                [
                    name,
                    size,
                    f"{row['images_per_second']:,}",
                    f"{row['cpu_ms_per_image']:.2f} ms",
                    memory,
                    "" if waiting is None else f"{waiting:.1%}",
                ]
            )
    return table("pipeline, size, images a second, CPU an image, memory, waiting", rows, words=2)


def classes() -> str:
    """What the splits of Oxford-IIIT Pet hold."""
    splits = read(RESULTS / "dataset" / "dataset.json")["splits"]
    rows = [
        [
            f"`{split}`",
            f"{found['examples']:,}",
            *(f"{share:.1%}" for share in found["class_shares"].values()),
            *(" x ".join(map(str, found[size])) for size in ("smallest", "median", "largest")),
        ]
        for split, found in splits.items()
    ]
    return table("split, photos, pet, background, border, smallest, median, largest", rows)


def prediction() -> str:
    """What the ways to show a photo to the U-Net give and cost."""
    ways = read(RESULTS / "prediction.json")["ways"]
    rows = [
        [
            f"`{call}`" if "=" in call else call,
            f"{found['mean_iou']:.3f}",
            f"{found['milliseconds']:.0f} ms",
        ]
        for call, found in ways.items()
    ]
    return table("arguments, mean IoU, a photo", rows)


def runtimes() -> str:
    """Each way to run the U-Net: time, scores and size."""
    record = read(RESULTS / "runtimes.json")
    rows = []
    for way in next(iter(record["speed"].values())):
        cells = []
        for size, speeds in record["speed"].items():
            one, many = speeds[way]["batch 1"], speeds[way]["batch 32"]
            cells += [
                f"{1e3 / one['images_per_second']:.1f} ms (**{one['times_the_base']:.1f}x**)",
                f"{many['images_per_second']:.0f} (**{many['times_the_base']:.1f}x**)",
            ]
            scores = record["scores"][size]
            cells.append(f"{scores[way]:.3f}" if way in scores else "")
        rows.append([way, *cells, f"{record['mib'][way]} MiB" if way in record["mib"] else ""])
    heading = ["way"]
    for size in record["speed"]:
        side = size.split("x")[0]
        heading += [f"one photo at {side}", f"a second at {side}", f"mean IoU at {side}"]
    return table(", ".join([*heading, "file"]), rows)


def exports() -> str:
    """How far any network's logits were from its export's, a row a backbone."""
    found: dict[str, list[dict]] = {}
    for name, row in read(RESULTS / "exports.json")["rows"].items():
        found.setdefault(name.partition("(")[2].removesuffix(")"), []).append(row)
    formats = [name for name in next(iter(found.values()))[0] if name != "greatest_logit"]
    rows = [
        [f"`{backbone}`", *(f"{max(row[name] for row in rows):.0e}" for name in formats)]
        for backbone, rows in found.items()
    ]
    return table(", ".join(["backbone", *formats]), rows)


def recipe() -> str:
    """What each change of the recipe gave on validation."""
    rows = [
        [name, f"{found['frozen']:.3f}", f"{found['thawed']:.3f}"]
        for name, found in read(RESULTS / "recipe.json")["rows"].items()
    ]
    return table("change, mean IoU frozen, mean IoU thawed", rows)


def table(heading: str, rows: list[list[str]], words: int = 1) -> str:
    """A table in Markdown, the first `words` columns to the left and the numbers to the right."""
    names = heading.split(", ")
    rule = [":---" if k < words else "---:" for k in range(len(names))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (names, rule, *rows))


def read(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


MAKERS = {
    "trained": trained,
    "best": best,
    "unet": partial(family, "unet"),
    "fcn": partial(family, "fcn8", "fcn16", "fcn32"),
    "segnet": partial(family, "segnet"),
    "pspnet": partial(family, "pspnet"),
    "deeplab": partial(family, "deeplabv3", "deeplabv3_plus"),
    "variants": variants,
    "speed": speed,
    "beginning": beginning,
    "startup": startup,
    "choices": choices,
    "pipeline": pipeline,
    "classes": classes,
    "prediction": prediction,
    "runtimes": runtimes,
    "exports": exports,
    "recipe": recipe,
}


def with_tables(text: str) -> str:
    """The text with each block between `<!-- table: NAME -->` and `<!-- end -->` made anew."""
    return re.sub(
        r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)",
        lambda match: match[1] + "\n" + MAKERS[match[2]]() + "\n" + match[3],
        text,
        flags=re.DOTALL,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it would")
    args = parser.parse_args()
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        before = page.read_text(encoding="utf-8")
        after = with_tables(before)
        if after == before:
            continue
        if args.check:
            sys.exit(f"{page.name} does not agree with docs/results: run benchmarks/tables.py")
        page.write_text(after, encoding="utf-8")


if __name__ == "__main__":
    main()
