"""Train a model on your own images and masks, evaluate it, and predict the mask of one image.

    python examples/finetune_own_data.py FOLDER --classes cat,sofa,floor

FOLDER holds images/ and masks/, matched by name. The pixels of a mask are indices into the classes;
255 marks pixels without a class. Without FOLDER, the script draws synthetic pets into demo/ first.
"""

import argparse
import os
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # Hide TensorFlow's log.

import keras
from PIL import Image

import petseg
from petseg.data import draw_pet, verify_folder
from petseg_runtime.image_io import find_images, read_image

DEMO, DEMO_CLASSES, DEMO_EXAMPLES = Path("demo"), "pet,background,border", 60


def main() -> None:
    parser = argparse.ArgumentParser(description="Train a U-Net on your own images and masks.")
    parser.add_argument("folder", type=Path, nargs="?", help="folder with images/ and masks/")
    parser.add_argument("--classes", help="class names, in the order of the labels")
    parser.add_argument("--backbone", default="efficientnetlite0")
    parser.add_argument("--weights", default="imagenet", help="imagenet, pets, none or a path")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--frozen-epochs", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("runs/own_data"))
    args = parser.parse_args()
    if args.folder is None:
        draw_demo(DEMO)
    elif args.classes is None:
        parser.error("FOLDER needs --classes")
    folder, class_names = args.folder or DEMO, (args.classes or DEMO_CLASSES).split(",")

    problems = verify_folder(folder, class_names=class_names)
    if problems:
        raise SystemExit("\n".join(map(str, problems)))

    keras.utils.set_random_seed(0)
    size = (args.image_size, args.image_size)
    splits = petseg.load_folder(folder, class_names=class_names, image_size=size, batch_size=8)
    model = petseg.unet(
        len(class_names),
        backbone=args.backbone,
        weights=None if args.weights == "none" else args.weights,
        class_names=splits.class_names,
        ignore_class=splits.ignore_class,
    )
    # Stopped and started again, training continues after the last finished epoch.
    history = petseg.finetune(
        model,
        splits.train,
        splits.val,
        frozen_epochs=args.frozen_epochs,
        epochs=args.epochs,
        run_dir=args.out,
    )
    petseg.plot_history(history).savefig(args.out / "curves.png", dpi=150)
    model.save(args.out / "model.keras")
    print(petseg.evaluate(model, splits.test))

    photo = read_image(find_images(folder)[0])
    mask = petseg.predict(model, photo)
    overlay = petseg.overlay(photo, mask, class_names=splits.class_names, legend=True)
    Image.fromarray(overlay).save(args.out / "overlay.png")
    print(f"Model, curves and an overlay are in {args.out}")


def draw_demo(folder: Path) -> None:
    """Draws synthetic pets into a folder, laid out as your own data should be."""
    for kind in ("images", "masks"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for index in range(DEMO_EXAMPLES):
        image, mask = draw_pet(index)
        Image.fromarray(image).save(folder / "images" / f"pet_{index:02}.jpg", quality=95)
        Image.fromarray(mask[..., 0]).save(folder / "masks" / f"pet_{index:02}.png")


if __name__ == "__main__":
    main()
