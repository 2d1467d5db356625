"""Puts the network of a finished `petseg train` into the package, for `weights="pets"`.

The figures on its card are those of the weights as they ship, half of their precision gone.

    python benchmarks/ship_weights.py runs/unet --data-dir DIR
"""

import argparse
import json
from pathlib import Path

import keras

import petseg
from petseg.pretrained import half_precision, ship


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    result = json.loads((args.run / "result.json").read_text(encoding="utf-8"))
    settings = result["settings"]
    model = keras.models.load_model(args.run / "model.keras")
    card = {
        "model": settings["model"],
        "backbone": settings["backbone"],
        "class_names": result["test"]["class_names"],
        "image_size": settings["image_size"],
        "data": "Oxford-IIIT Pet (Parkhi et al., CVPR 2012), CC BY-SA 4.0",
        "licence": "Apache-2.0",
        "how_trained": settings,
        "environment": result["environment"],
    }
    model.set_weights(half_precision(model.get_weights()))
    pets = petseg.load_pets(
        image_size=settings["image_size"], data_dir=args.data_dir, seed=settings["seed"]
    )
    card |= {
        split: json.loads(petseg.evaluate(model, data).to_json())
        for split, data in (("validation", pets.val), ("test", pets.test))
    }
    ship(model, card)
    print(f"mean IoU {card['test']['mean_iou']:.4f}, in training {result['test']['mean_iou']:.4f}")


if __name__ == "__main__":
    main()
