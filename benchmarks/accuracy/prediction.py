"""Prediction settings: what scales, tiles and flips change in scores, time and memory.

Masks are compared with the labels at each photo's own size, on the validation photos and on the
photos of small and several animals that are composed from them (`ordinary_photos`).

    python -m benchmarks.accuracy.prediction --data-dir DIR --out docs/results/prediction.json
"""

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

import petseg
from benchmarks.accuracy.ordinary_photos import scenes
from benchmarks.accuracy.photo_scores import confusion, mean_ious
from benchmarks.common import Record, argument_parser
from petseg.data import pet_examples
from petseg_runtime.pretrained import full_name

PREDICTIONS = 10_000
SETTLED = 500  # predictions after which memory must not grow any more

Photos = list[tuple[np.ndarray, np.ndarray]]


def prediction_settings(trained: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Lists the settings.

    Args:
        trained: The (height, width) that the model was trained at.

    Returns:
        Arguments of `petseg.predict`, by how they are written.
    """
    larger = round(1.5 * trained[0]), round(1.5 * trained[1])
    settings: list[dict[str, Any]] = [
        {"scales": (1,)},
        {},
        *({"scales": scales} for scales in ((1, 1.5), (1, 2), (0.75, 1.5), (1, 1.5, 2))),
        {"scales": (1,), "tta": True},
        {"scales": (1, 1.5), "tta": True},
        {"scales": (1,), "image_size": larger},
        {"tile": trained[0]},
    ]
    return {
        ", ".join(f"{name}={value}" for name, value in options.items()) or "the default": options
        for options in settings
    }


def score(
    model: petseg.Runtime, sets: dict[str, Photos], options: dict[str, Any]
) -> dict[str, float]:
    """Scores and times one setting.

    Args:
        model: The model.
        sets: Photos and their masks, by the name of their mean IoU.
        options: Arguments of `petseg.predict`.

    Returns:
        The mean IoU over all pixels of each set, and milliseconds for a photo of the first set.
    """
    found: dict[str, float] = {}
    for name, photos in sets.items():
        start = time.perf_counter()
        masks = [model.predict(photo, **options) for photo, _ in photos]
        seconds = time.perf_counter() - start
        pairs = zip(masks, photos, strict=True)
        total = sum(confusion(truth, mask, len(petseg.PET_CLASSES)) for mask, (_, truth) in pairs)
        found[name] = round(float(mean_ious(np.asarray(total))), 4)
        found.setdefault("milliseconds", round(1e3 * seconds / len(photos), 1))
    return found


def memory_growth(model: petseg.Runtime, photos: Photos) -> dict[str, Any]:
    """Measures how much the process grows while it predicts many files.

    Args:
        model: The model.
        photos: Photos and their masks.

    Returns:
        MiB of the process after some and after all predictions.
    """
    memory: dict[int, float] = {}
    process = psutil.Process()
    with tempfile.TemporaryDirectory() as folder:
        paths = list(_write_files(photos, Path(folder)))
        files = list(itertools.islice(itertools.cycle(paths), PREDICTIONS))
        for count, _ in enumerate(model.predict(files), start=1):
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
    parser.add_argument("--model", default="unet", help="a pretrained model")
    args = parser.parse_args()
    name = full_name(args.model)
    model = petseg.Runtime.pretrained(name)
    trained = model.info.image_size
    assert trained is not None
    examples = pet_examples(args.data_dir)["val"].as_numpy_iterator()
    photos = [(example["image"], example["mask"][..., 0]) for example in examples]
    composed = [(scene.image, scene.mask) for scene in scenes(args.data_dir)]
    settings = {"model": name, "split": "val", "trained_at": trained}
    record = Record(args.out, settings, rows="ways", photos=len(photos))
    options = prediction_settings(trained)
    sets = {"mean_iou": photos, "ordinary": composed}
    model.predict(photos[0][0])  # the first prediction is slower
    for call in record.missing(options):
        record.add(call, score(model, sets, options[call]))
    record.write(memory=memory_growth(model, photos))


if __name__ == "__main__":
    main()
