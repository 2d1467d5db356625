"""Scores the pretrained models on whole photos, and on photos of small and several animals.

On the test split: mean IoU with a 95% interval by bootstrap over photos, accuracy, the IoU with the
border counted as pet, and the same without the photos that have a near-duplicate in the training
split. On the composed photos of `ordinary_photos`: the same. The models run in ONNX Runtime.

    python -m benchmarks.accuracy.pretrained_scores --data-dir DIR \
        --out docs/results/pretrained.json
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

import petseg
from benchmarks.accuracy.ordinary_photos import SEED, batches, scenes
from benchmarks.accuracy.photo_scores import photo_confusions, scores
from benchmarks.accuracy.scene_composer import Scene
from benchmarks.common import RESULTS, Record, argument_parser
from petseg.data import pet_examples
from petseg_runtime.pretrained import pretrained_models, read_card


def score(name: str, data_dir: Path, composed: list[Scene]) -> dict[str, Any]:
    """Scores one model.

    Args:
        name: A name of `pretrained_models`.
        data_dir: Folder of `tensorflow_datasets`.
        composed: The composed photos.

    Returns:
        JSON types.
    """
    model = petseg.Runtime.pretrained(name)
    height, width = read_card(name)["image_size"]
    pets = petseg.load_pets(image_size=(height, width), data_dir=data_dir)
    test = photo_confusions(model, pets.test)
    names = [e["file_name"].decode() for e in pet_examples(data_dir)["test"].as_numpy_iterator()]
    pairs = json.loads((RESULTS / "label_agreement.json").read_text(encoding="utf-8"))["pairs"]
    seen = {pair["test"] for pair in pairs if pair["crosses"]}
    kept = np.array([name not in seen for name in names])
    return {
        "image_size": (height, width),
        "validation": scores(photo_confusions(model, pets.val)),
        "test": scores(test),
        "test_without_duplicates": scores(test[kept]),
        "ordinary": scores(photo_confusions(model, batches(composed, (height, width)))),
    }


def main() -> None:
    """Scores the models that are missing."""
    args = argument_parser(__doc__, data_dir="required", seed=False).parse_args()
    record = Record(args.out, {"seed_of_composed_photos": SEED})
    composed = scenes(args.data_dir)
    for name in record.missing(reversed(pretrained_models())):
        record.add(name, score(name, args.data_dir, composed))


if __name__ == "__main__":
    main()
