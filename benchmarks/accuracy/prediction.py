"""Prediction settings: what image size, tiles and flips change in scores, time and memory.

Masks are compared with the labels at each photo's own size, on the validation split.

    python -m benchmarks.accuracy.prediction --data-dir DIR --out docs/results/prediction.json
"""

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import psutil
from PIL import Image

import petseg
from benchmarks.common import Record, argument_parser, seconds_of
from petseg.data import pet_examples
from petseg.model_records import update_info
from petseg.pretrained import find_pretrained
from petseg_runtime.predictor import SHORTER_SIDE
from petseg_runtime.pretrained import read_card

PREDICTIONS = 10_000
SETTLED = 500  # predictions after which memory must not grow any more
ASPECT = f"aspect ratio kept, shorter side {SHORTER_SIDE}"

Photos = list[tuple[np.ndarray, np.ndarray]]


def prediction_settings(trained: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Lists the settings.

    Args:
        trained: The (height, width) that the model was trained at.

    Returns:
        Arguments of `petseg.predict` by a description. `ASPECT` stands for photos that keep their
        aspect ratio.
    """
    return {
        f"image_size={trained}": {"image_size": trained},
        f"image_size={trained}, tta=True": {"image_size": trained, "tta": True},
        ASPECT: {},
        f"{ASPECT}, with tta": {"tta": True},
        f"tile={trained[0]}": {"tile": trained[0]},
        f"tile={trained[0]}, tta=True": {"tile": trained[0], "tta": True},
    }


def score(model: keras.Model, photos: Photos, options: dict[str, Any]) -> dict[str, float]:
    """Scores and times one setting.

    Args:
        model: The model.
        photos: Photos and their masks.
        options: Arguments of `petseg.predict`.

    Returns:
        The mean IoU over all pixels, and milliseconds for a photo.
    """
    classes = len(petseg.PET_CLASSES)
    metric = petseg.MeanIoU(classes)
    petseg.predict(model, photos[0][0], **options)  # compiles
    masks: list[np.ndarray] = []
    seconds = seconds_of(
        lambda: masks.extend(petseg.predict(model, photo, **options) for photo, _ in photos)
    )
    for mask, (_, truth) in zip(masks, photos, strict=True):
        metric.update_state(truth, np.eye(classes, dtype="float32")[mask])
    return {
        "mean_iou": round(float(metric.result()["mean_iou"]), 4),
        "milliseconds": round(1e3 * seconds / len(photos), 1),
    }


def memory_growth(
    model: keras.Model, photos: Photos, image_size: tuple[int, int]
) -> dict[str, Any]:
    """Measures how much the process grows while it predicts many files.

    Args:
        model: The model.
        photos: Photos and their masks.
        image_size: The (height, width) at which the model sees the photos.

    Returns:
        MiB of the process after some and after all predictions.
    """
    memory: dict[int, float] = {}
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        paths = list(_write_files(photos, Path(folder)))
        files = list(itertools.islice(itertools.cycle(paths), PREDICTIONS))
        for count, _ in enumerate(petseg.predict(model, files, image_size=image_size), start=1):
            if count in (SETTLED, PREDICTIONS):
                memory[count] = process.memory_info().rss / 2**20
    return {
        "predictions": PREDICTIONS,
        "mib_after": {str(count): round(mib) for count, mib in memory.items()},
        "grown_by_mib": round(memory[PREDICTIONS] - memory[SETTLED], 1),
    }


def _write_files(photos: Photos, folder: Path) -> Iterator[Path]:
    for index, (photo, _) in enumerate(photos):
        path = folder / f"{index}.png"
        Image.fromarray(photo).save(path)
        yield path


def main() -> None:
    """Measures the settings that are missing, then the memory."""
    parser = argument_parser(__doc__, data_dir="required", seed=False)
    parser.add_argument("--model", default="unet", help='an architecture with weights="pets"')
    args = parser.parse_args()
    card = read_card(find_pretrained(args.model, None))
    model = petseg.MODELS[args.model](weights="pets")
    height, width = card["image_size"]
    trained = (height, width)
    # A model whose record has no size sees photos at their own aspect ratio.
    update_info(model, image_size=None)
    examples = pet_examples(args.data_dir)["val"].as_numpy_iterator()
    photos = [(example["image"], example["mask"][..., 0]) for example in examples]
    settings = {"model": args.model, "split": "val", "trained_at": trained}
    record = Record(args.out, settings, rows="ways", photos=len(photos))
    options = prediction_settings(trained)
    for call in record.missing(options):
        record.add(call, score(model, photos, options[call]))
    record.write(memory=memory_growth(model, photos, trained))


if __name__ == "__main__":
    main()
