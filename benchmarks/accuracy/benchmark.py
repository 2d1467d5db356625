"""The accuracy benchmark: trains and compares every architecture on Oxford-IIIT Pet.

Each row is one `petseg.experiment` with a folder of its own. Started again, the script skips rows
that are complete and resumes the one that was interrupted. Then it scores all complete rows of the
folder photo by photo (`photo_scores`), times them in turns, prints the table of scores and draws
the figures.

    python -m benchmarks.accuracy.benchmark --out runs/benchmark              # hours on a CPU
    python -m benchmarks.accuracy.benchmark --out runs/demo --data synthetic  # minutes
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from matplotlib.figure import Figure
from rich.console import Console

import petseg
from benchmarks.accuracy.benchmark_figures import draw_figures
from benchmarks.accuracy.photo_scores import score_rows
from benchmarks.accuracy.result_rows import (
    ResultRow,
    best_of_each_architecture,
    result_rows,
    row_labels,
)
from benchmarks.common import argument_parser, seconds_of, take_turns
from petseg import experiment
from petseg.comparison import comparison_table
from petseg.experiment import RunFiles, Settings
from petseg.mask_grid import prediction_grid, spread_examples
from petseg_runtime.atomic_files import whole_file, write_json
from petseg_runtime.pretrained import DEFAULT_BACKBONE

IMAGENET = "imagenet"
PETS = "pets"
AUGMENT = "strong"  # see docs/results/recipe.json
GRID_PHOTOS = 8
LATENCY_ROUNDS = 15
SYNTHETIC: dict[str, Any] = {"image_size": (64, 64), "frozen_epochs": 1, "epochs": 4}


@dataclass(frozen=True)
class Row:
    """One training of the benchmark.

    Attributes:
        architecture: Key of `petseg.MODELS`.
        backbone: Key of `petseg.BACKBONES`.
        size: Height and width of the images.
        start: "imagenet", the size of the row whose weights this one starts from, or "pets": the
            U-Net that `weights="pets"` loads, of which other architectures take the encoder.
        frozen_epochs: Epochs with the encoder frozen.
        epochs: Epochs of fine-tuning.
        rate: Peak learning rate of fine-tuning.
    """

    architecture: str
    backbone: str
    size: int
    start: str | int
    frozen_epochs: int
    epochs: int
    rate: float

    @property
    def name(self) -> str:
        """Name of the row and its folder."""
        return f"{self.architecture}-{self.backbone}-{self.size}"

    @property
    def start_name(self) -> str | None:
        """Name of the row whose weights this one starts from, if any."""
        if isinstance(self.start, str):
            return None
        return f"{self.architecture}-{self.backbone}-{self.start}"


# The rows of the notebook project that preceded this package: architecture, backbone and size.
ORIGINAL = (
    ("unet", "mobilenetv2", 224),
    ("fcn8", "mobilenet", 128),
    ("pspnet", "mobilenetv2", 192),
    ("segnet", "mobilenetv2", 128),
    ("deeplabv3", "mobilenetv2", 128),
)
LARGEST = ("unet", "efficientnetlite2", 320)

# Frozen and thawed epochs, and the peak rate of the latter. A row starts from ImageNet at 128, and
# from the weights of the same model at the size before it at 192, 224 and 320. On the default
# backbone, the architectures other than U-Net start from the encoder of the pretrained U-Net, which
# saves their training at 128, and have `ON_DEFAULT_BACKBONE` instead. The U-Net itself, the default
# model, goes on from its pretrained weights.
STAGES = {128: (3, 12, 3e-4), 192: (1, 6, 3e-4), 224: (1, 6, 3e-4), 320: (1, 9, 2e-4)}
ON_DEFAULT_BACKBONE = (1, 12, 3e-4)
DEFAULT = Row("unet", DEFAULT_BACKBONE, 224, PETS, 0, 24, 3e-4)
BEFORE: dict[int, int | str] = {128: IMAGENET, 192: 128, 224: 128, 320: 224}


def _rows() -> dict[str, Row]:
    """All rows: every architecture on the default backbone, the original ones, the largest."""
    others = [architecture for architecture in petseg.MODELS if architecture != "unet"]
    rows = [DEFAULT]
    rows += [Row(name, DEFAULT_BACKBONE, 224, PETS, *ON_DEFAULT_BACKBONE) for name in others]
    for architecture, backbone, size in (*ORIGINAL, LARGEST):
        chain: list[Row] = []
        start: int | str = size
        while isinstance(start, int):
            chain.append(Row(architecture, backbone, start, BEFORE[start], *STAGES[start]))
            start = BEFORE[start]
        rows += reversed(chain)
    return {row.name: row for row in rows}


ROWS = _rows()


def with_starts(names: list[str]) -> list[Row]:
    """Adds the rows whose weights others start from.

    Args:
        names: Names of rows.

    Returns:
        The rows, each after the one that it starts from.
    """
    wanted: dict[str, Row] = {}
    for name in names:
        chain: list[str] = []
        start: str | None = name
        while start is not None:
            chain.append(start)
            start = ROWS[start].start_name
        wanted.update((name, ROWS[name]) for name in reversed(chain))
    return list(wanted.values())


def pets_unet(folder: Path) -> Path:
    """Saves the pretrained U-Net, from which rows start.

    Args:
        folder: Folder of all rows.

    Returns:
        The `.keras` file. It is written if it is not there.
    """
    path = folder / f"{PETS}-unet-{DEFAULT_BACKBONE}-224" / "model.keras"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            petseg.unet(weights=PETS).save(part)
    return path


def settings(row: Row, folder: Path, data: str, seed: int) -> Settings:
    """Makes the settings of a row's training.

    Args:
        row: The row.
        folder: Folder of all rows.
        data: "pets" or "synthetic".
        seed: Seed of the training.

    Returns:
        The settings.
    """
    weights: str | None = None if data == "synthetic" else IMAGENET
    if row.start_name is not None:
        weights = str(RunFiles(folder / row.start_name).best)
    if row.start == PETS:
        weights = str(pets_unet(folder))
    values: dict[str, Any] = {
        "image_size": (row.size, row.size),
        "frozen_epochs": row.frozen_epochs,
        "epochs": row.epochs,
        **(SYNTHETIC if data == "synthetic" else {}),
    }
    return Settings(
        architecture=row.architecture,
        backbone=row.backbone,
        weights=weights,
        data=data,
        learning_rate=(1e-3, row.rate),
        augment=AUGMENT,
        seed=seed,
        **values,
    )


def latencies(
    models: Mapping[str, keras.Model], image_sizes: Mapping[str, tuple[int, int]]
) -> dict[str, float]:
    """Times the prediction of one photo, the models in turns.

    Args:
        models: The models by name.
        image_sizes: (height, width) for each model.

    Returns:
        Median milliseconds by name.
    """
    runs = {
        name: functools.partial(
            model.predict_on_batch, np.full((1, *image_sizes[name], 3), 127, "float32")
        )
        for name, model in models.items()
    }
    for run in runs.values():
        run()  # compiles
    turns = {name: functools.partial(seconds_of, run) for name, run in runs.items()}
    times = take_turns(turns, LATENCY_ROUNDS)
    return {name: 1e3 * float(np.median(values)) for name, values in times.items()}


def mask_figure(
    models: dict[str, keras.Model], rows: list[ResultRow], pets: petseg.Splits
) -> Figure:
    """Draws photos of the test split with their true masks and the masks of each model.

    Args:
        models: The model of each row.
        rows: The rows to draw.
        pets: The data.

    Returns:
        The figure.
    """
    photos, truth = spread_examples(pets.test, GRID_PHOTOS)
    labels = row_labels(rows)
    predicted = {
        labels[row.name]: petseg.predict(
            models[row.name], np.stack(photos), image_size=row.image_size
        )
        for row in rows
    }
    return prediction_grid(photos, truth, predicted, pets.class_names)


def compare(out: Path, pets: petseg.Splits) -> None:
    """Times, tabulates and draws all complete rows of a folder.

    Args:
        out: Folder of all rows; the figures go there too.
        pets: The data whose test split is drawn.
    """
    rows = result_rows(out)
    labels = row_labels(rows)
    models = {row.name: keras.models.load_model(RunFiles(out / row.name).model) for row in rows}
    milliseconds = latencies(models, {row.name: row.image_size for row in rows})
    write_json(out / "latency.json", milliseconds)
    draw_figures(rows, milliseconds, out)
    with whole_file(out / "masks.jpg") as part:
        figure = mask_figure(models, best_of_each_architecture(rows), pets)
        figure.savefig(part, dpi=80, pil_kwargs={"quality": 88})
    Console().print(comparison_table({labels[row.name]: row.evaluation for row in rows}))
    print(f"Weights and figures are in {out}")


def main() -> None:
    """Trains the rows that are not complete, then scores and compares all."""
    parser = argument_parser(__doc__, data_dir="optional")
    parser.add_argument(
        "--rows", nargs="*", default=list(ROWS), choices=list(ROWS), help="with those they need"
    )
    parser.add_argument("--data", default="pets", choices=("pets", "synthetic"))
    args = parser.parse_args()
    rows = with_starts(args.rows)
    for number, row in enumerate(rows, start=1):
        print(f"{number} of {len(rows)}: {row.name}", flush=True)
        keras.utils.clear_session()
        experiment.run(
            settings(row, args.out, args.data, args.seed),
            args.out / row.name,
            data_dir=args.data_dir,
        )
    if args.data == "synthetic":
        pets = petseg.synthetic_pets(image_size=(128, 128))
    else:
        score_rows(args.out, args.data_dir)
        pets = petseg.load_pets(image_size=(224, 224), data_dir=args.data_dir)
    compare(args.out, pets)


if __name__ == "__main__":
    main()
