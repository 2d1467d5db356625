"""Two networks learn to cut out drawn pets, from random weights: nothing to download, two minutes.

    python examples/quickstart.py

Writes the learning curves and a sheet of masks to quickstart/.
"""

import argparse
from pathlib import Path

import keras
import numpy as np
from rich.console import Console

import petseg
from petseg.report import comparison_table, prediction_sheet

NETWORKS = {"U-Net": petseg.unet, "FCN-8s": petseg.fcn8}


def main() -> None:
    parser = argparse.ArgumentParser(description="Train two networks on drawn pets.")
    parser.add_argument("--pets", type=int, default=240, help="how many to draw")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--out", type=Path, default=Path("quickstart"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(0)
    pets = petseg.synthetic_pets(args.pets, image_size=(96, 96), batch_size=8)
    images, truth = next(iter(pets.test))
    scores, masks = {}, {}
    for name, build in NETWORKS.items():
        print(f"\n{name}")
        model = build(backbone="mobilenet", weights=None, class_names=pets.class_names)
        # With ImageNet weights the defaults serve: first the decoder alone, then all of it. Random
        # weights are worth no freezing.
        history = petseg.finetune(
            model,
            pets.train,
            pets.val,
            frozen_epochs=0,
            epochs=args.epochs,
            learning_rate=1e-2 / 3,
            train_batch_norm=True,
        )
        petseg.plot_history(history).savefig(args.out / f"{name}_curves.png", dpi=150)
        scores[name] = petseg.evaluate(model, pets.test)
        masks[name] = petseg.predict(model, np.asarray(images), image_size=(96, 96))

    sheet = prediction_sheet(images.numpy(), truth.numpy(), masks, pets.class_names)
    sheet.savefig(args.out / "masks.png", dpi=150)
    Console().print(comparison_table(scores))
    print(f"Curves and masks are in {args.out}/")


if __name__ == "__main__":
    main()
