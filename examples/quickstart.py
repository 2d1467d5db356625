"""Two networks learn to cut out drawn pets, from random weights: two minutes, no download.

    python examples/quickstart.py

Prints their scores; writes learning curves and a sheet of masks into quickstart/.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow talks a lot

import keras
from rich.console import Console

import petseg
from petseg.comparison import comparison_table, prediction_sheet

IMAGE_SIZE = (96, 96)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train two networks on drawn pets.")
    parser.add_argument("--pets", type=int, default=200, help="how many to draw")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--backbone", default="efficientnetv2b0")
    parser.add_argument("--out", type=Path, default=Path("quickstart"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(0)
    pets = petseg.synthetic_pets(args.pets, image_size=IMAGE_SIZE, batch_size=8)
    images, truth = (batch.numpy() for batch in next(iter(pets.test)))
    scores, masks = {}, {}
    for network in (petseg.unet, petseg.fcn8):
        name = network.__name__
        print(f"\nTraining {name}")
        model = network(backbone=args.backbone, weights=None, class_names=pets.class_names)
        # Random weights are not worth freezing. From those of ImageNet, the default,
        # `petseg.finetune(model, pets.train, pets.val)` is all it takes.
        history = petseg.finetune(
            model,
            pets.train,
            pets.val,
            frozen_epochs=0,
            epochs=args.epochs,
            learning_rate=(2e-3, 2e-3),
            train_batch_norm=True,
        )
        petseg.plot_history(history).savefig(args.out / f"{name}_curves.png", dpi=150)
        scores[name] = petseg.evaluate(model, pets.test)
        masks[name] = petseg.predict(model, images, image_size=IMAGE_SIZE)

    prediction_sheet(images, truth, masks, pets.class_names).savefig(
        args.out / "masks.png", dpi=150
    )
    Console().print(comparison_table(scores))
    print(f"Learning curves and masks are in {args.out}/")


if __name__ == "__main__":
    main()
