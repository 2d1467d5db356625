"""The whole benchmark: every architecture trained, fine-tuned and compared on Oxford-IIIT Pet.

    python examples/benchmark.py --out runs/benchmark              # the photos: hours on a CPU
    python examples/benchmark.py --data synthetic --out runs/demo  # drawn pets: minutes

Each row is one `petseg train`, a process of its own with a folder of its own. Started again, the
script skips the rows that are done and goes on with the one that was killed. Then it times all
rows in turn, prints the table, and draws what compares them.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow talks a lot

import keras
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

import petseg
from petseg.comparison import GREY, RULE, comparison_table, prediction_sheet
from petseg.mask_grid import INK
from petseg_runtime.overlays import COLOURS

# At 128 a network begins with a backbone trained on ImageNet, beyond with what it learned at
# another size: far less time than all epochs at 224, which U-Net had. `rate` is the peak once
# thawed: a third of it loses less of what was learned at 224. Five of the rows are those of the
# notebook project that this package began with: unet 224, fcn8 128, pspnet 192, segnet 128,
# deeplabv3 128.
ROWS = """
    model           backbone     size  begin     frozen  thawed  rate  optimizer  seed
    unet            mobilenetv2   128  imagenet       3      24  3e-4  adamw         0
    unet            mobilenetv2   224  imagenet       3      24  3e-4  adamw         0
    unet            mobilenetv2   320  224            1       8  1e-4  adamw         0
    fcn8            mobilenet     128  imagenet       3      12  3e-4  adamw         0
    fcn8            mobilenet     224  128            1       8  3e-4  adamw         0
    segnet          mobilenetv2   128  imagenet       3      12  3e-4  adamw         0
    segnet          mobilenetv2   224  128            1       8  3e-4  adamw         0
    deeplabv3       mobilenetv2   128  imagenet       3      12  3e-4  adamw         0
    deeplabv3       mobilenetv2   224  128            1       8  3e-4  adamw         0
    deeplabv3_plus  mobilenetv2   128  imagenet       3      12  3e-4  adamw         0
    deeplabv3_plus  mobilenetv2   224  128            1       8  3e-4  adamw         0
    pspnet          mobilenetv2   128  imagenet       3      12  3e-4  adamw         0
    pspnet          mobilenetv2   224  128            1       8  3e-4  adamw         0
    pspnet          mobilenetv2   192  224            1       8  1e-4  adamw         0
    fcn16           mobilenet     128  imagenet       3      12  3e-4  adamw         0
    fcn32           mobilenet     128  imagenet       3      12  3e-4  adamw         0
"""
SHEET_PHOTOS = 8
SIZE_MARKERS = {"128": "o", "192": "D", "224": "s", "320": "^"}


def rows() -> dict[str, dict[str, str]]:
    """The rows of the table by name, such as `unet-mobilenetv2-224`."""
    names, *lines = (line.split() for line in ROWS.strip().splitlines())
    cells = [dict(zip(names, line, strict=True)) for line in lines]
    return {f"{row['model']}-{row['backbone']}-{row['size']}": row for row in cells}


def beginning(name: str) -> str | None:
    """The row that this one begins with, if any."""
    model, backbone, _ = name.split("-")
    begin = rows()[name]["begin"]
    return None if begin == "imagenet" else f"{model}-{backbone}-{begin}"


def short(name: str) -> str:
    """The name without its backbone, `unet 224`: as much as a table or figure has room for."""
    model, _, size = name.split("-")
    return f"{model} {size}"


def best_of_each(scores: dict[str, petseg.Evaluation]) -> list[str]:
    """The best row of each architecture."""
    best: dict[str, str] = {}
    for name in sorted(scores, key=lambda name: -scores[name].mean_iou):
        best.setdefault(rows()[name]["model"], name)
    return [name for name in scores if name in best.values()]


def command(name: str, args: argparse.Namespace) -> list[str]:
    """The `petseg train` of a row, for the folder of all rows."""
    row, before = rows()[name], beginning(name)
    options = {
        "out": name,
        "backbone": row["backbone"],
        "image-size": row["size"],
        "frozen-epochs": row["frozen"],
        "epochs": row["thawed"],
        "optimizer": row["optimizer"],
        "seed": row["seed"],
        "data": args.data,
    }
    if args.data_dir:
        options["data-dir"] = Path(args.data_dir).resolve()
    if args.data == "synthetic":  # the same, small, and with nothing to download
        options |= {"weights": "none", "image-size": 64, "frozen-epochs": 1, "epochs": 4}
    if before:
        options["weights"] = f"{before}/best.weights.h5"
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    words += ["--learning-rate", "1e-3", row["rate"]]  # of the frozen epochs, of the thawed
    return [sys.executable, "-m", "petseg", "train", row["model"], *words]


def train(names: list[str], args: argparse.Namespace) -> None:
    """Trains the rows that are not done, one after the other."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn()) as progress:
        task = progress.add_task("", total=len(names))
        for name in names:
            folder = args.out / name
            progress.update(task, description=name)
            if not (folder / "result.json").exists():
                folder.mkdir(parents=True, exist_ok=True)
                with (folder / "log.txt").open("a") as log:
                    done = subprocess.run(command(name, args), cwd=args.out, stdout=log, stderr=log)
                if done.returncode:
                    sys.exit(f"{name} stopped: see {folder / 'log.txt'}. Start again to go on.")
            progress.advance(task)


def latencies(
    models: dict[str, keras.Model], sizes: dict[str, tuple[int, int]], rounds: int = 15
) -> dict[str, float]:
    """Milliseconds for the mask of one photo, median; the models take turns."""
    photos = {name: np.full((1, *size, 3), 127, "float32") for name, size in sizes.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds + 1):  # the first compiles
        for name, model in models.items():
            start = time.perf_counter()
            model.predict_on_batch(photos[name])
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(times[1:]) for name, times in seconds.items()}


def axes_of(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.tick_params(labelsize=9, colors=INK, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    return figure, axes


def class_bars(scores: dict[str, petseg.Evaluation]) -> Figure:
    """The IoU of each class, a group of bars a row."""
    figure, axes = axes_of(7, 0.6 + 0.5 * len(scores), "IoU of each class")
    places = np.arange(len(scores))[::-1]
    for index, class_name in enumerate(next(iter(scores.values())).class_names):
        values = [score.class_iou[class_name] for score in scores.values()]
        offset = 0.25 * (1 - index)
        axes.barh(
            places + offset, values, 0.23, color=np.divide(COLOURS[index], 255), label=class_name
        )
    axes.set_yticks(places, [short(name) for name in scores])
    axes.set_xlim(0, 1)
    figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9, labelcolor=INK)
    return figure


def accuracy_against_latency(
    scores: dict[str, petseg.Evaluation], milliseconds: dict[str, float]
) -> Figure:
    """A line a model over the sizes of its rows, a marker a size."""
    figure, axes = axes_of(7, 4.2, "Mean IoU against the time for one photo")
    points = {name: (milliseconds[name], scores[name].mean_iou) for name in scores}
    for index, model in enumerate(dict.fromkeys(rows()[name]["model"] for name in scores)):
        colour = np.divide(COLOURS[index], 255)
        names = [name for name in scores if rows()[name]["model"] == model]
        names.sort(key=lambda name: int(rows()[name]["size"]))
        line = zip(*(points[name] for name in names), strict=True)
        axes.plot(*line, color=colour, linewidth=1.2, label=model)
        for name in names:
            axes.plot(*points[name], SIZE_MARKERS[rows()[name]["size"]], color=colour)
    for size, marker in SIZE_MARKERS.items():
        axes.plot([], [], marker, color=INK, label=size)
    axes.set_xlabel("milliseconds", fontsize=9, color=INK)
    axes.grid(color=RULE)
    axes.margins(0.08, 0.1)
    figure.legend(loc="outside right upper", frameon=False, fontsize=9, labelcolor=INK)
    return figure


def confusion(name: str, score: petseg.Evaluation) -> Figure:
    """Where the pixels of each true class went, in percent of that class."""
    figure, axes = axes_of(4.2, 3.6, name)
    shares = 100 * score.confusion / score.confusion.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Oranges", vmin=0, vmax=100)
    for (true, predicted), share in np.ndenumerate(shares):
        axes.text(
            predicted,
            true,
            f"{share:.1f} %",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if share > 60 else INK,
        )
    places = range(len(score.class_names))
    axes.set_xticks(places, score.class_names)
    axes.set_yticks(places, score.class_names)
    axes.set_xlabel("predicted", fontsize=9, color=INK)
    axes.set_ylabel("true", fontsize=9, color=INK)
    return figure


def masks(
    models: dict[str, keras.Model], sizes: dict[str, tuple[int, int]], pets: petseg.Splits
) -> Figure:
    """The first photos of the test split, their truth, and every model's masks."""
    photos, truth = (np.asarray(part)[:SHEET_PHOTOS] for part in next(iter(pets.test)))
    predicted = {
        short(name): petseg.predict(model, photos, image_size=sizes[name])
        for name, model in models.items()
    }
    return prediction_sheet(list(photos), list(truth), predicted, pets.class_names)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--rows",
        nargs="*",
        help="with those that they begin with",
        default=list(rows()),
        choices=list(rows()),
    )
    parser.add_argument("--data", default="pets", choices=("pets", "synthetic"))
    parser.add_argument("--data-dir", help="where tensorflow_datasets keeps the pets")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    args = parser.parse_args()

    wanted = {*args.rows, *filter(None, map(beginning, args.rows))}
    names = [name for name in rows() if name in wanted]
    train(names, args)
    results = {name: json.loads((args.out / name / "result.json").read_text()) for name in names}
    scores = {
        name: petseg.Evaluation.from_json(json.dumps(result["test"]))
        for name, result in results.items()
    }
    sizes = {name: tuple(result["settings"]["image_size"]) for name, result in results.items()}
    models = {name: keras.models.load_model(args.out / name / "model.keras") for name in names}
    milliseconds = latencies(models, sizes)
    (args.out / "latency.json").write_text(json.dumps(milliseconds, indent=2) + "\n")

    if args.data == "synthetic":
        pets = petseg.synthetic_pets(image_size=(128, 128))
    else:
        pets = petseg.load_pets(image_size=(224, 224), data_dir=args.data_dir)
    best = max(scores, key=lambda name: scores[name].mean_iou)
    of_each = best_of_each(scores)
    figures = {
        "classes": class_bars({name: scores[name] for name in of_each}),
        "latency": accuracy_against_latency(scores, milliseconds),
        "confusion": confusion(short(best), scores[best]),
        "masks": masks({name: models[name] for name in of_each}, sizes, pets),
    }
    for name, figure in figures.items():
        figure.savefig(args.out / f"{name}.png", dpi=100)
    Console().print(comparison_table({short(name): score for name, score in scores.items()}))
    print(f"Weights, figures and pictures are in {args.out}/")


if __name__ == "__main__":
    main()
