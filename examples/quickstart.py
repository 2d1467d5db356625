"""Fine-tune two models on synthetic pets, from ImageNet weights: two minutes, no download.

    python examples/quickstart.py

Prints their scores; writes learning curves and a grid of masks into quickstart/. Then a pretrained
model cuts the cat out of a photo.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Hide TensorFlow's log.

import keras
from PIL import Image
from rich.console import Console

import petseg
from petseg.comparison import comparison_table
from petseg.mask_grid import prediction_grid, spread_examples

IMAGE_SIZE = (128, 128)
PHOTO = Path(__file__).parent / "chelsea.png"  # by Stefan van der Walt, CC0
BACKBONE = "efficientnetlite0"  # its ImageNet weights come with petseg


def main() -> None:
    parser = argparse.ArgumentParser(description="Train two models on synthetic pets.")
    parser.add_argument("--pets", type=int, default=200, help="number of synthetic pets")
    parser.add_argument("--epochs", type=int, default=8, help="epochs with the encoder thawed")
    parser.add_argument("--out", type=Path, default=Path("quickstart"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)

    keras.utils.set_random_seed(0)
    pets = petseg.synthetic_pets(args.pets, image_size=IMAGE_SIZE, batch_size=8)
    images, truth = spread_examples(pets.test, 6)
    scores, masks = {}, {}
    for architecture in ("unet", "fcn8"):
        print(f"\nTraining {architecture}")
        model = petseg.MODELS[architecture](backbone=BACKBONE, class_names=pets.class_names)
        # Three epochs with the encoder frozen come first.
        history = petseg.finetune(model, pets.train, pets.val, epochs=args.epochs)
        petseg.plot_history(history).savefig(args.out / f"{architecture}_curves.png", dpi=150)
        scores[architecture] = petseg.evaluate(model, pets.test)
        masks[architecture] = [petseg.predict(model, image) for image in images]

    grid = prediction_grid(images, truth, masks, pets.class_names)
    grid.savefig(args.out / "masks.png", dpi=150)
    Console().print(comparison_table(scores))
    cut_out(args.out)
    print(f"Learning curves, masks and the cut-out of {PHOTO.name} are in {args.out}")


def cut_out(folder: Path) -> None:
    """Segments a real photo with the pretrained U-Net that comes with petseg."""
    model = petseg.Runtime.pretrained()  # ONNX Runtime; `petseg.unet(weights="pets")` in Keras
    photo = keras.utils.img_to_array(keras.utils.load_img(PHOTO)).astype("uint8")
    mask = model.predict(photo)
    overlay = petseg.overlay(photo, mask, class_names=model.class_names, legend=True)
    cutout = petseg.cutout(photo, mask, class_names=model.class_names)
    Image.fromarray(overlay).save(folder / f"{PHOTO.stem}_overlay.png")
    Image.fromarray(cutout).save(folder / f"{PHOTO.stem}_cutout.png")


if __name__ == "__main__":
    main()
