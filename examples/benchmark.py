"""Train one model of each architecture with the same recipe and compare them.

    python examples/benchmark.py                     # Oxford-IIIT Pet: hours on a CPU
    python examples/benchmark.py --data synthetic    # synthetic pets: minutes, no download

Each row is an experiment with a folder of its own. Started again, the script skips the rows that
are complete and continues the one that was interrupted. The benchmark of the documentation, with
more image sizes and figures, is benchmarks/accuracy/benchmark.py.
"""

import argparse
import dataclasses
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Hide TensorFlow's log.

import keras
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import petseg
from petseg import experiment
from petseg.comparison import comparison_table
from petseg.experiment import Result, RunFiles, Settings
from petseg.mask_grid import prediction_grid, spread_examples

# The first five have the architecture, backbone and image size of the notebook project that came
# before this package.
ROWS = (
    Settings("unet", backbone="mobilenetv2", image_size=(224, 224), epochs=24),
    Settings("fcn8", backbone="mobilenet", epochs=12),
    Settings("pspnet", backbone="mobilenetv2", image_size=(192, 192), epochs=12),
    Settings("segnet", backbone="mobilenetv2", epochs=12),
    Settings("deeplabv3", backbone="mobilenetv2", epochs=12),
    Settings("deeplabv3_plus", epochs=12),
    Settings("fcn16", epochs=12),
    Settings("fcn32", epochs=12),
    Settings("fpn", epochs=12),
    Settings("linknet", epochs=12),
    Settings("lraspp", epochs=12),
)
# Small enough for minutes, and with nothing to download: these ImageNet weights come with petseg.
SYNTHETIC: dict[str, Any] = {
    "data": "synthetic",
    "backbone": "efficientnetlite0",
    "image_size": (64, 64),
    "frozen_epochs": 1,
    "epochs": 4,
}
PHOTOS, ROUNDS = 8, 15


def latencies(models: dict[str, keras.Model], results: dict[str, Result]) -> dict[str, float]:
    """Measures the median milliseconds for the mask of one photo. The models take turns."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS + 1):  # The first round compiles.
        for name, model in models.items():
            photo = np.full((1, *results[name].settings.image_size, 3), 127, "float32")
            start = time.perf_counter()
            model.predict_on_batch(photo)
            seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(times[1:]) for name, times in seconds.items()}


def mask_grid(models: dict[str, keras.Model], splits: petseg.Splits) -> Figure:
    """Draws photos of the test split, their true masks, and those of each model."""
    photos, truth = spread_examples(splits.test, PHOTOS)
    masks = {
        name: [petseg.predict(model, photo) for photo in photos] for name, model in models.items()
    }
    return prediction_grid(photos, truth, masks, splits.class_names)


def main() -> None:
    names = [row.architecture for row in ROWS]
    parser = argparse.ArgumentParser(description="Train and compare the architectures.")
    parser.add_argument("--rows", nargs="*", default=names, choices=names)
    parser.add_argument("--data", default="pets", choices=("pets", "synthetic"))
    parser.add_argument("--data-dir", type=Path, help="where tensorflow_datasets keeps the pets")
    parser.add_argument("--out", type=Path, default=Path("runs/benchmark"))
    args = parser.parse_args()

    changes = SYNTHETIC if args.data == "synthetic" else {}
    rows = [dataclasses.replace(row, **changes) for row in ROWS if row.architecture in args.rows]
    results: dict[str, Result] = {}
    for number, row in enumerate(rows, start=1):
        print(f"{number} of {len(rows)}: {row.architecture}", flush=True)
        keras.utils.clear_session()  # Frees the model before.
        results[row.architecture] = experiment.run(
            row, args.out / row.architecture, data_dir=args.data_dir, verbose=2
        )

    files = {name: RunFiles(args.out / name) for name in results}
    models = {name: keras.models.load_model(files[name].model) for name in results}
    milliseconds = latencies(models, results)
    (args.out / "latency.json").write_text(json.dumps(milliseconds, indent=2) + "\n")
    splits = rows[0].source(args.data_dir).splits(image_size=rows[0].image_size)
    mask_grid(models, splits).savefig(args.out / "masks.png", dpi=100)
    Console().print(comparison_table({name: result.test for name, result in results.items()}))
    print(f"Models, scores and masks are in {args.out}")


if __name__ == "__main__":
    main()
