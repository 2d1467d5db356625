"""Oxford-IIIT Pet in figures, and the photos where a network and the labels disagree most.

    python benchmarks/dataset.py --data-dir DIR --out docs/results/dataset

`photos.jpg` is a row of photos of the test split, cut to squares, and `masks.png` their labels: its
palette's entries 0 to 2 are the classes. What ships is tried on them where the set is not at hand.

The network is the best that comes with petseg; the photos are of the validation part, on which it
was not trained. Some of them show a bad mask, some a bad label.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import petseg
from petseg.data import describe, pet_examples
from petseg.environment import environment
from petseg.atomic_files import whole_file, write_json
from petseg.comparison import prediction_sheet
from petseg.pretrained import read_card, pretrained_models
from petseg_runtime.overlays import COLOURS

WORST = 8
SAMPLES = (4, 10, 33, 42, 59)  # of the test split
SAMPLE_SIDE = 192


def worst_photos(data_dir: Path) -> tuple[dict, object]:
    """The share of pixels that differ in the worst validation photos, and a sheet of them."""
    best = max(pretrained_models(), key=lambda name: read_card(name)["validation"]["mean_iou"])
    size = tuple(read_card(best)["image_size"])
    pets = petseg.load_pets(image_size=size, data_dir=data_dir)
    model = petseg.MODELS[best](backbone=read_card(best)["backbone"], weights="pets")
    found = []
    for images, masks in pets.val:
        predicted = petseg.predict(model, images.numpy(), image_size=size)
        truth = masks.numpy()[..., 0]
        # The border is some pixels wide in every label, and tells nothing of bad ones.
        wrong = ((truth != predicted) & (truth != 2) & (predicted != 2)).mean(axis=(1, 2))
        found.extend(zip(wrong.tolist(), images.numpy(), truth, predicted, strict=True))
    found.sort(key=lambda item: -item[0])
    shares, images, truth, predicted = zip(*found[:WORST], strict=True)
    sheet = prediction_sheet(list(images), list(truth), {best: list(predicted)}, pets.class_names)
    return {
        "model": best,
        "share_of_pixels": [round(share, 3) for share in shares],
        "median_of_all": round(float(np.median([item[0] for item in found])), 4),
    }, sheet


def samples(data_dir: Path) -> tuple[Image.Image, Image.Image]:
    """A row of photos, and one of their masks."""
    photos = Image.new("RGB", (len(SAMPLES) * SAMPLE_SIDE, SAMPLE_SIDE))
    masks = Image.new("P", photos.size)
    masks.putpalette(np.ravel(COLOURS[:3]).tolist())
    examples = list(pet_examples(data_dir)["test"].take(max(SAMPLES) + 1))
    size = (SAMPLE_SIDE, SAMPLE_SIDE)
    for place, index in enumerate(SAMPLES):
        image, mask = examples[index]["image"].numpy(), examples[index]["mask"].numpy()
        corner = (place * SAMPLE_SIDE, 0)
        photos.paste(ImageOps.fit(Image.fromarray(image), size, Image.Resampling.BICUBIC), corner)
        labels = ImageOps.fit(Image.fromarray(mask[..., 0]), size, Image.Resampling.NEAREST)
        masks.paste(labels.point(list(range(256)), "P"), corner)
    return photos, masks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    summaries = describe(pet_examples(args.data_dir), petseg.PET_CLASSES)
    worst, sheet = worst_photos(args.data_dir)
    args.out.mkdir(parents=True, exist_ok=True)
    with whole_file(args.out / "worst.jpg") as part:
        sheet.savefig(part, dpi=80, format="jpg", pil_kwargs={"quality": 85})
    photos, masks = samples(args.data_dir)
    with whole_file(args.out / "photos.jpg") as part:
        photos.save(part, "jpeg", quality=90)
    with whole_file(args.out / "masks.png") as part:
        masks.save(part, "png", optimize=True)
    write_json(
        args.out / "dataset.json",
        {
            "splits": {split: dataclasses.asdict(found) for split, found in summaries.items()},
            "worst": worst,
            "environment": environment(),
        },
    )


if __name__ == "__main__":
    main()
