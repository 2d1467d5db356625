"""Writes the tables of README.md and docs/*.md from the records in docs/results.

    python -m benchmarks.docs.tables [--check]

A block between `<!-- table: NAME -->` and `<!-- end -->` gets the table of that name. The first
column of a table identifies its row; the mean IoU, where there is one, is the second.
"""

import json
import re
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.accuracy.result_rows import ResultRow, result_rows
from benchmarks.common import RESULTS, ROOT, bare_parser
from petseg_runtime.pretrained import DEFAULT_ARCHITECTURE, full_name

CLASSES = ("pet", "background", "border")
CLASS_HEADINGS = tuple(f"{name} IoU" for name in CLASSES)


def benchmark_table() -> str:
    """Makes the table of the scores of all rows of the accuracy benchmark.

    Returns:
        The table in Markdown.
    """
    heading = (
        *("architecture, image size and backbone", "mean IoU", "95% interval"),
        *("mean IoU on composed photos", *CLASS_HEADINGS, "IoU with the border as pet"),
        *("pixel accuracy", "boundary F1"),
    )
    rows = [
        [
            _full_label(row),
            f"**{row.test['mean_iou']:.3f}**",
            _interval_cell(row.photo_scores["test"]),
            f"{row.photo_scores['ordinary']['mean_iou']:.3f}",
            *_class_cells(row.test["class_iou"]),
            f"{row.photo_scores['test']['binary_iou']:.3f}",
            f"{row.test['pixel_accuracy']:.3f}",
            f"{row.test['boundary_f1']:.3f}",
        ]
        for row in result_rows(RESULTS)
    ]
    return _table(heading, rows)


def training_table() -> str:
    """Makes the table of how each row of the accuracy benchmark was trained.

    Returns:
        The table in Markdown.
    """
    heading = (
        *("architecture, image size and backbone", "mean IoU", "before fine-tuning"),
        *("initial weights", "epochs frozen + fine-tuning", "training time", "multiply-adds"),
    )
    rows = [
        [
            _full_label(row),
            f"{row.test['mean_iou']:.3f}",
            "" if row.frozen_mean_iou is None else f"{row.frozen_mean_iou:.3f}",
            row.start,
            f"{row.epochs[0]} + {row.epochs[1]}",
            f"{row.training_minutes:.0f} min",
            f"{row.multiply_adds / 1e6:.0f} M",
        ]
        for row in result_rows(RESULTS)
    ]
    return _table(heading, rows)


def _full_label(row: ResultRow) -> str:
    return f"`{row.architecture}` {row.size}, `{row.backbone}`"


def _interval_cell(scores: dict[str, Any]) -> str:
    low, high = scores["interval"]
    return f"{low:.3f} to {high:.3f}"


def pretrained_table() -> str:
    """Makes the table of the pretrained models, the default one first, and of another annotator.

    Returns:
        The table in Markdown.
    """
    found = _read(RESULTS / "pretrained.json")["rows"]
    default = full_name(DEFAULT_ARCHITECTURE)
    ranked = sorted(found, key=lambda name: (name != default, -found[name]["test"]["mean_iou"]))
    heading = (
        *("model", "mean IoU", "95% interval", "pixel accuracy", "IoU with the border as pet"),
        *("mean IoU on composed photos", "IoU of pets on composed photos", "image size"),
    )
    rows = []
    for name in ranked:
        row = found[name]
        rows.append(
            [
                f"`{name}`",
                *_test_cells(row["test"]),
                f"{row['ordinary']['mean_iou']:.3f}",
                f"{row['ordinary']['binary_iou']:.3f}",
                "x".join(map(str, row["image_size"])),
            ]
        )
    annotator = _read(RESULTS / "label_agreement.json")
    size = "x".join(map(str, annotator["settings"]["size"]))
    rows.append(["another annotator", *_test_cells(annotator), "", "", size])
    return _table(heading, rows)


def _test_cells(scores: dict[str, Any]) -> list[str]:
    return [
        f"**{scores['mean_iou']:.3f}**",
        _interval_cell(scores),
        f"{scores['pixel_accuracy']:.3f}",
        f"{scores['binary_iou']:.3f}",
    ]


def architecture_table(*architectures: str) -> str:
    """Makes the table with all rows of a family of architectures.

    Args:
        *architectures: Keys of `petseg.MODELS`.

    Returns:
        The table in Markdown.
    """
    milliseconds = _read(RESULTS / "comparison" / "latency.json")
    heading = (
        *("architecture, image size and backbone", "mean IoU", "pixel accuracy"),
        *("parameters", "time per photo"),
    )
    return _table(
        heading,
        [
            [
                _full_label(row),
                f"**{row.test['mean_iou']:.3f}**",
                f"{row.test['pixel_accuracy']:.3f}",
                f"{row.parameters / 1e6:.1f} M",
                f"{milliseconds[row.name]:.0f} ms",
            ]
            for row in result_rows(RESULTS)
            if row.architecture in architectures
        ],
    )


def ablations_table() -> str:
    """Makes the table of architecture variants, the default of each architecture first.

    Returns:
        The table in Markdown.
    """
    found = _read(RESULTS / "ablations.json")["rows"]
    architectures = list(dict.fromkeys(call.partition("(")[0] for call in found))
    calls = sorted(
        found, key=lambda call: (architectures.index(call.partition("(")[0]), "()" not in call)
    )
    rows = [
        [
            f"`{call}`" + (" (default)" if call.endswith("()") else ""),
            f"{found[call]['mean_iou']:.3f}",
            *_class_cells(found[call]["class_iou"]),
            f"{found[call]['parameters'] / 1e6:.1f} M",
            f"{found[call]['frozen_step_speed']:.2f}",
        ]
        for call in calls
    ]
    return _table(
        ("model", "mean IoU", *CLASS_HEADINGS, "parameters", "relative training speed"), rows
    )


def recipe_table() -> str:
    """Makes the table of changes to the training recipe, scored on the validation split.

    Returns:
        The table in Markdown.
    """
    rows = [
        [name, f"{found['thawed']:.3f}", f"{found['ordinary']:.3f}", f"{found['frozen']:.3f}"]
        for name, found in _read(RESULTS / "recipe.json")["rows"].items()
    ]
    return _table(("change", "mean IoU", "mean IoU on composed photos", "before fine-tuning"), rows)


def default_backbone_table() -> str:
    """Makes the table of backbones after the same short training, scored on the validation split.

    Returns:
        The table in Markdown.
    """
    record = _read(RESULTS / "default_backbone.json")
    heading = (
        "model",
        "mean IoU",
        "mean IoU on composed photos",
        "time of an epoch",
        "time per photo",
    )
    rows = [
        [
            f"`{name}`",
            f"{found['thawed']:.3f}",
            f"{found['ordinary']:.3f}",
            f"{found['seconds_per_epoch']:.0f} s",
            f"{record['milliseconds'][name]:.1f} ms",
        ]
        for name, found in record["rows"].items()
    ]
    return _table(heading, rows)


def few_labels_table() -> str:
    """Makes the table of training with few labelled photos, by initial weights.

    Returns:
        The table in Markdown.
    """
    found = _read(RESULTS / "few_labels.json")["rows"]
    scores: dict[str, list[tuple[float, float]]] = {}
    for name, row in found.items():
        other = name.replace("pets", "imagenet")
        if other != name and other in found:  # The same seed from both weights.
            pair = row["mean_iou"], found[other]["mean_iou"]
            scores.setdefault(name.partition(",")[0], []).append(pair)
    rows = []
    for photos, pairs in scores.items():
        pets, imagenet = zip(*pairs, strict=True)
        gain = statistics.mean(pets) - statistics.mean(imagenet)
        rows.append([photos, _mean(pets), _mean(imagenet), f"{gain:+.3f}", str(len(pets))])
    return _table(
        ("training data", "mean IoU from pets weights", "from ImageNet", "gain", "seeds"), rows
    )


def imbalance_table() -> str:
    """Makes the table of losses, class weights and oversampling on scenes with rare classes.

    Returns:
        The table in Markdown, the best on the rare classes first.
    """

    def rare_mean(seeds: list[dict[str, Any]]) -> float:
        return statistics.mean(row["rare_mean_iou"] for row in seeds)

    record = _read(RESULTS / "imbalance.json")
    found: dict[str, list[dict[str, Any]]] = {}
    for name, row in record["rows"].items():
        found.setdefault(name.partition(";")[0], []).append(row)
    rare = record["settings"]["rare"]
    rows = [
        [
            change,
            _mean([row["mean_iou"] for row in seeds]),
            _mean([row["rare_mean_iou"] for row in seeds]),
            *(f"{statistics.mean(row['class_iou'][name] for row in seeds):.3f}" for name in rare),
            str(len(seeds)),
        ]
        for change, seeds in sorted(found.items(), key=lambda item: -rare_mean(item[1]))
    ]
    return _table(("loss and data", "mean IoU", "rare classes", *rare, "seeds"), rows)


def _mean(values: Sequence[float]) -> str:
    """Shows the mean, and where there are several values the least and the greatest."""
    spread = f" ({min(values):.3f} to {max(values):.3f})" if len(values) > 1 else ""
    return f"{statistics.mean(values):.3f}{spread}"


def prediction_table() -> str:
    """Makes the table of prediction settings of U-Net: scores and time.

    Returns:
        The table in Markdown.
    """
    rows = [
        [
            f"`{call}`" if "=" in call else call,
            f"{found['mean_iou']:.3f}",
            f"{found['ordinary']:.3f}",
            f"{found['milliseconds']:.0f} ms",
        ]
        for call, found in _read(RESULTS / "prediction.json")["ways"].items()
    ]
    return _table(("arguments", "mean IoU", "on composed photos", "time per photo"), rows)


def closer_look_table() -> str:
    """Makes the table of what the closer look of `scales="auto"` changes.

    Returns:
        The table in Markdown.
    """
    rows = []
    for name, row in _read(RESULTS / "closer_look.json")["rows"].items():
        cells = [f"`{name}`"]
        for split in ("ordinary", "validation"):
            once, chosen = row[split]["0.0"], row[split][str(row["chosen"])]
            cells += [
                f"{once['mean_iou']:.3f}",
                f"**{chosen['mean_iou']:.3f}**",
                f"{chosen['seen_twice']:.0%}",
            ]
        rows.append(cells)
    heading = (
        *("model", "composed photos: scale 1", "auto", "seen twice"),
        *("validation photos: scale 1", "auto", "seen twice"),
    )
    return _table(heading, rows)


def flicker_table() -> str:
    """Makes the table of the flicker of a video's masks.

    Returns:
        The table in Markdown.
    """
    record = _read(RESULTS / "flicker.json")
    rows = [
        [
            "each frame alone" if not float(kept) else f"the mean so far counts {float(kept):.0%}",
            f"{found['mean_iou']:.3f}",
            f"{found['flicker']:.2%}",
        ]
        for kept, found in record["kept"].items()
    ]
    return _table(["probabilities", "mean IoU", "flicker"], rows)


def cutout_edges_table() -> str:
    """Makes the table of the edges of cut-outs: errors of alpha, and time.

    Returns:
        The table in Markdown.
    """
    rows = [
        [
            f"`{edges}`",
            f"{found['trimap']:.3f}",
            f"{found['silhouette']:.3f}",
            f"{found['milliseconds']:.0f} ms",
        ]
        for edges, found in _read(RESULTS / "cutout_edges.json")["rows"].items()
    ]
    return _table(("edges", "mask with a border", "mask without", "time"), rows)


def peers_speed_table() -> str:
    """Makes the table of images per second of petseg and its peers, with the ratios.

    Returns:
        The table in Markdown.
    """
    cases: list[str] = []
    rows = []
    for architecture, name, row in _peer_rows():
        cases = cases or [case for case in row if isinstance(row[case], dict)]
        cells = []
        for case in cases:
            cell = f"{row[case]['images_per_second']:.0f}"
            if "petseg_is_faster_by" in row[case]:
                cell += f" (**{row[case]['petseg_is_faster_by']:.1f}x**)"
            cells.append(cell)
        label = _peer_label(architecture, name)
        rows.append([label, f"{row['parameters'] / 1e6:.1f} M", *cells])
    return _table(("model", "parameters", *map(_case_heading, cases)), rows)


def peer_startup_table() -> str:
    """Makes the table of import time, time to the first prediction and memory beside peers.

    Returns:
        The table in Markdown.
    """
    rows = [
        [
            _peer_label(architecture, name),
            f"{row['import_seconds']:.1f} s",
            f"{row['first_prediction_seconds']:.1f} s",
            f"{row['peak_mib']:,} MiB",
        ]
        for architecture, name, row in _peer_rows()
    ]
    return _table(("model", "import", "start to first prediction", "peak memory"), rows)


def _peer_rows() -> list[tuple[str, str, dict[str, Any]]]:
    """The architecture, the name of what was measured, and its row."""
    results = _read(RESULTS / "speed.json")["results"]
    return [
        (architecture, name, row)
        for architecture, result in results.items()
        for name, row in result["rows"].items()
    ]


def _peer_label(architecture: str, name: str) -> str:
    return f"`petseg.{architecture}`" if name == "petseg" else name


def _case_heading(case: str) -> str:
    """Shortens "predict, 224x224, batch 1" to "predict 224, batch 1"."""
    task, size, batch = case.split(", ")
    return f"{task} {size.partition('x')[0]}" + (f", {batch}" if batch == "batch 1" else "")


def startup_table() -> str:
    """Makes the table of the time to import petseg and to show the help of its command.

    Returns:
        The table in Markdown.
    """
    rows = [
        [f"`{name}`", f"{found['seconds']:.2f} s", f"{found['of_the_base']:.2f}"]
        for name, found in _read(RESULTS / "startup.json")["results"].items()
    ]
    return _table(("process", "time", "relative to the first row"), rows)


def predict_command_table() -> str:
    """Makes the table of the command `petseg predict`.

    Returns:
        The table in Markdown.
    """
    rows = [
        [
            name,
            f"{found['seconds']:.1f} s" if "seconds" in found else "",
            f"{found['photos_per_second']:.0f}" if "photos_per_second" in found else "",
            f"{found['of_the_runtime']:.2f}" if "of_the_runtime" in found else "",
            f"{found['megabytes']:.0f} MB" if "megabytes" in found else "",
        ]
        for name, found in _read(RESULTS / "predict_command.json")["results"].items()
    ]
    headings = ("task", "time", "photos per second", "relative to the runtime", "peak memory")
    return _table(headings, rows)


def step_choices_table() -> str:
    """Makes the table of settings of a training step, relative to the default's speed.

    Returns:
        The table in Markdown, and a note on the memory that cached encoder features would take.
    """
    record = _read(RESULTS / "step_choices.json")
    tasks = ("frozen", "full", "predict")
    rows = [
        [name, *(f"{found[task]['ratio']:.2f}" for task in tasks)]
        for name, found in record["results"].items()
    ]
    mib = record["encoder_features_mib_per_photo"]
    photos = _read(RESULTS / "dataset" / "dataset.json")["splits"]["train"]["examples"]
    sizes = " and ".join(f"{mib[size] * photos / 1024:.0f} GiB at {size} x {size}" for size in mib)
    note = f"To cache the features of a frozen encoder for all training photos would take {sizes}."
    return f"{_table(('change', *tasks), rows)}\n{note}\n"


def pipeline_table() -> str:
    """Makes the table of data pipelines: speed, CPU time and memory.

    Returns:
        The table in Markdown.
    """
    labels = {
        "petseg": "petseg",
        "petseg, strong": "petseg, strong augmentation",
        "tutorial": "`tf.data` tutorial",
        "tutorial, cached": "`tf.data` tutorial, cached",
        "torch": "torch `DataLoader`, 2 workers",
        "fastest training step": "consumed by the fastest training step",
    }
    rows = []
    for size, results in _read(RESULTS / "pipeline.json")["results"].items():
        for kind, label in labels.items():
            row = results[kind]
            # The memory of the DataLoader's workers is not that of the process.
            memory = f"{row['memory_mib']:,} MiB" if "memory_mib" in row and kind != "torch" else ""
            waiting = row.get("share_of_time_waiting")
            rows.append(
                [
                    f"{label}, {size}",
                    f"{row['images_per_second']:,}",
                    f"{row['cpu_ms_per_image']:.2f} ms",
                    memory,
                    "" if waiting is None else f"{waiting:.1%}",
                ]
            )
    heading = ("pipeline", "images per second", "CPU time per image", "memory", "time waiting")
    return _table(heading, rows)


def data_memory_table() -> str:
    """Makes the table of the memory of the data pipeline without a cache.

    Returns:
        The table in Markdown.
    """
    rows = [
        [name, f"{row['mib_above']:,} MiB", f"{row['mib_of_a_cache']:,} MiB"]
        for name, row in _read(RESULTS / "data_memory.json")["rows"].items()
    ]
    return _table(("training images", "memory", "a cache would hold"), rows)


def dataset_table() -> str:
    """Makes the table of the splits of Oxford-IIIT Pet.

    Returns:
        The table in Markdown.
    """
    rows = [
        [
            f"`{split}`",
            f"{found['examples']:,}",
            *(f"{share:.1%}" for share in found["class_shares"].values()),
            *(" x ".join(map(str, found[size])) for size in ("smallest", "median", "largest")),
        ]
        for split, found in _read(RESULTS / "dataset" / "dataset.json")["splits"].items()
    ]
    shares = tuple(f"{name} pixels" for name in CLASSES)
    sizes = ("smallest photo", "median photo", "largest photo")
    return _table(("split", "photos", *shares, *sizes), rows)


def runtimes_table() -> str:
    """Makes the table of runtimes for a trained U-Net: scores, time and file size.

    Returns:
        The table in Markdown.
    """
    record = _read(RESULTS / "runtimes.json")
    sides = [size.partition("x")[0] for size in record["speed"]]
    rows = []
    for way in next(iter(record["speed"].values())):
        scores, times = [], []
        for size, speeds in record["speed"].items():
            mean_iou = record["scores"][size].get(way)
            scores.append("" if mean_iou is None else f"{mean_iou:.3f}")
            one, many = speeds[way]["batch 1"], speeds[way]["batch 32"]
            times += [
                f"{1e3 / one['images_per_second']:.1f} ms (**{one['times_the_base']:.1f}x**)",
                f"{many['images_per_second']:.0f} (**{many['times_the_base']:.1f}x**)",
            ]
        file = f"{record['mib'][way]} MiB" if way in record["mib"] else ""
        rows.append([way, *scores, *times, file])
    heading = ["runtime", *(f"mean IoU at {side}" for side in sides)]
    for side in sides:
        heading += [f"time per photo at {side}", f"photos per second at {side}"]
    return _table([*heading, "file size"], rows)


def exports_table() -> str:
    """Makes the table of the greatest difference between a model's logits and its export's.

    Returns:
        The table in Markdown, one row a backbone.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for name, row in _read(RESULTS / "exports.json")["rows"].items():
        found.setdefault(name.partition("(")[2].removesuffix(")"), []).append(row)
    formats = [name for name in next(iter(found.values()))[0] if name != "greatest_logit"]
    rows = [
        [f"`{backbone}`", *(f"{max(row[name] for row in rows):.0e}" for name in formats)]
        for backbone, rows in found.items()
    ]
    return _table(("backbone", *formats), rows)


def backbones_table() -> str:
    """Makes the table of the networks of `keras.applications` and what works with them.

    Returns:
        The table in Markdown, and the names of the networks that cannot be used.
    """
    words = {True: "yes", False: "no", None: "not checked"}
    rows, unusable = [], []
    for name, row in sorted(_read(RESULTS / "backbones.json")["rows"].items()):
        if "error" in row:
            unusable.append(f"`{name}`")
            continue
        checks = (row["training"], row["saving"], row["onnx"], row["output_stride_8"])
        rows.append(
            [
                f"`{name}`",
                f"{row['parameters'] / 1e6:.1f} M",
                str(row["smallest_image"]),
                *(words[check] for check in checks),
            ]
        )
    heading = ("network", "parameters", "smallest image", "training", "saving", "ONNX")
    note = f"Cannot be used at every image size: {', '.join(unusable)}."
    return f"{_table((*heading, 'output stride 8'), rows)}\n{note}\n"


def ray_table() -> str:
    """Makes the table of the rate and the memory of Ray beside the runtime alone.

    Returns:
        The table in Markdown, and what became of the photos when a worker was killed.
    """
    record = _read(RESULTS / "ray.json")
    found = dict(record["results"])
    killed = found.pop("a worker is killed")
    rows = [
        [
            name,
            f"{row['photos_per_second']:.0f}",
            f"{row['of_the_runtime']:.2f}",
            f"{row['seconds']:.0f} s",
            f"{row['megabytes_of_a_process']:.0f} MB",
        ]
        for name, row in found.items()
    ]
    heading = ("engine", "photos per second", "ratio", "whole job", "memory of a process")
    width, height = record["settings"]["size"]
    note = (
        f"{killed['photos']:,} photos of {height} x {width} pixels, two cores of "
        f"{record['environment']['cpu']}. With one worker killed on the way, "
        f"{killed['photos_with_one_row']:,} of {killed['photos']:,} photos have one row in the "
        f"index, {killed['masks']:,} have a mask, and {killed['errors']} have an error."
    )
    return f"{_table(heading, rows)}\n{note}\n"


def saturation_table() -> str:
    """Makes the table of what saturates first when cores are added.

    Returns:
        The table in Markdown, one row a design.
    """
    found = _read(RESULTS / "scale.json")["rows"]
    rows = [
        [name, f"{row['photos_per_second']:,}", f"{row['cores']:,}", row["saturated"]]
        for name, row in found.items()
        if "saturated" in row
    ]
    return _table(("design", "photos per second", "cores", "saturated first"), rows)


def jobs_table() -> str:
    """Makes the table of what jobs of many photos need.

    Returns:
        The table in Markdown, one row a job.
    """
    found = _read(RESULTS / "scale.json")["rows"]
    rows = [
        [
            name,
            f"{row['photos_per_second']:,}",
            f"{row['cores']:,}",
            f"{row['machines']:,}",
            f"${row['dollars']:,.2f}",
            f"{row['gigabytes_of_masks']:,.1f} GB",
            f"${row['dollars_of_masks_a_month']:,.2f}",
        ]
        for name, row in found.items()
        if "machines" in row
    ]
    heading = (
        "job",
        "photos per second",
        "cores",
        "machines",
        "computing",
        "masks",
        "masks, a month",
    )
    return _table(heading, rows)


def robustness_table() -> str:
    """Makes the table of the long run of tests/robustness: what was done, and what failed.

    Returns:
        The table in Markdown, and the versions and the hardware.
    """
    record = _read(RESULTS / "robustness.json")
    rows = [
        [name, f"{found['done']:,}", str(found["failures"])]
        for name, found in record["parts"].items()
    ]
    totals = {
        "all damaged files": record["damaged_files"],
        "all kills": record["kills"],
        "all full disks": record["full_disks"],
    }
    rows += [[f"**{name}**", f"**{count:,}**", ""] for name, count in totals.items()]
    found = record["environment"]
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    note = (
        f"Seed {record['seed']}, {record['seconds'] / 60:.0f} minutes on {found['cores']} cores of "
        f"{found['cpu']}; {versions}."
    )
    if not record["complete"]:
        note += " The run was stopped before its end: the rows list what was done until then."
    if record.get("run_again"):
        note += f" Run again after a fix: {', '.join(record['run_again'])}."
    return f"{_table(('test', 'cases', 'failures'), rows)}\n{note}\n"


def _class_cells(class_iou: dict[str, float]) -> list[str]:
    return [f"{class_iou[name]:.3f}" for name in CLASSES]


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown: the first column to the left, the others to the right."""
    rule = [":---", *["---:"] * (len(heading) - 1)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (heading, rule, *rows))


def _read(path: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


TABLES: dict[str, Callable[[], str]] = {
    "trained": benchmark_table,
    "training": training_table,
    "unet": partial(architecture_table, "unet"),
    "fcn": partial(architecture_table, "fcn8", "fcn16", "fcn32"),
    "segnet": partial(architecture_table, "segnet"),
    "pspnet": partial(architecture_table, "pspnet"),
    "deeplab": partial(architecture_table, "deeplabv3", "deeplabv3_plus"),
    "fpn": partial(architecture_table, "fpn"),
    "linknet": partial(architecture_table, "linknet"),
    "lraspp": partial(architecture_table, "lraspp"),
    "ablations": ablations_table,
    "few_labels": few_labels_table,
    "imbalance": imbalance_table,
    "recipe": recipe_table,
    "default_backbone": default_backbone_table,
    "prediction": prediction_table,
    "pretrained": pretrained_table,
    "closer_look": closer_look_table,
    "flicker": flicker_table,
    "cutout_edges": cutout_edges_table,
    "speed": peers_speed_table,
    "peer_startup": peer_startup_table,
    "startup": startup_table,
    "predict_command": predict_command_table,
    "step_choices": step_choices_table,
    "pipeline": pipeline_table,
    "data_memory": data_memory_table,
    "classes": dataset_table,
    "runtimes": runtimes_table,
    "exports": exports_table,
    "backbones": backbones_table,
    "ray": ray_table,
    "saturation": saturation_table,
    "jobs": jobs_table,
    "robustness": robustness_table,
}


def with_tables(text: str, page: str) -> str:
    """Replaces the tables of a page.

    Args:
        text: The page in Markdown.
        page: Its name, for errors.

    Returns:
        The page with current tables.

    Raises:
        ValueError: If the page asks for a table that does not exist.
    """

    def block(match: re.Match[str]) -> str:
        begin, name, end = match.groups()
        if name not in TABLES:
            raise ValueError(
                f"Tables must be one of {', '.join(TABLES)}. Received: {name!r} in {page}."
            )
        return f"{begin}\n{TABLES[name]()}\n{end}"

    pattern = r"(<!-- table: (\w+) -->\n).*?(<!-- end -->)"
    return re.sub(pattern, block, text, flags=re.DOTALL)


def main() -> None:
    """Writes or checks the tables of every page."""
    parser = bare_parser(__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if it would")
    check = parser.parse_args().check
    outdated = []
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        before = page.read_text(encoding="utf-8")
        after = with_tables(before, page.name)
        if after == before:
            continue
        outdated.append(str(page.relative_to(ROOT)))
        if not check:
            page.write_text(after, encoding="utf-8")
    if check and outdated:
        sys.exit(
            f"These pages do not agree with docs/results: {', '.join(outdated)}. "
            "Run python -m benchmarks.docs.tables"
        )


if __name__ == "__main__":
    main()
