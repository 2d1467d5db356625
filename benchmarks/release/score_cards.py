"""Scores the pretrained models again, and writes the scores into their cards.

Needed after the photos of the set, or how they are read, have changed. The weights stay the same.

    python -m benchmarks.release.score_cards --data-dir DIR [NAME ...]
"""

import json
from pathlib import Path

import keras

import petseg
from benchmarks.common import bare_parser
from petseg_runtime.atomic_files import write_json
from petseg_runtime.pretrained import FOLDER, pretrained_models, read_card


def main() -> None:
    """Scores the models on the validation split and on the test split."""
    parser = bare_parser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="default: all")
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    for name in args.names or pretrained_models():
        keras.utils.clear_session()
        card = read_card(name)
        model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
        pets = petseg.load_pets(image_size=card["image_size"], data_dir=args.data_dir)
        scores = {
            split: json.loads(petseg.evaluate(model, data).to_json())
            for split, data in (("validation", pets.val), ("test", pets.test))
        }
        write_json(FOLDER / f"{name}.json", {**card, **scores})
        print(f"{name}: {card['test']['mean_iou']:.4f} -> {scores['test']['mean_iou']:.4f}")


if __name__ == "__main__":
    main()
