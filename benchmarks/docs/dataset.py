"""Statistics of Oxford-IIIT Pet, samples, and the photos where model and labels disagree most.

    python -m benchmarks.docs.dataset --data-dir DIR --out docs/results/dataset

`photos.jpg` is a row of photos of the test split, cropped to squares, and `masks.png` their masks,
whose pixel values are the classes. Tests use them where the dataset is not available.

The disagreements are of the best pretrained model on the validation split, on which it was not
trained. Some of these photos show a wrong prediction, some a wrong label.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image, ImageOps

import petseg
from benchmarks.common import argument_parser
from petseg.data import describe, pet_examples
from petseg.environment import environment
from petseg.mask_grid import prediction_grid
from petseg_runtime.atomic_files import whole_file, write_json
from petseg_runtime.palette import class_colours
from petseg_runtime.pretrained import pretrained_models, read_card

WORST = 8
BORDER = petseg.PET_CLASSES.index("border")
SAMPLES = (4, 10, 33, 42, 59)  # of the test split
SAMPLE_SIDE = 192


def worst_photos(data_dir: Path | None) -> tuple[dict[str, Any], Figure]:
    """Finds the validation photos where the best pretrained model and the labels disagree most.

    Args:
        data_dir: Folder of tensorflow_datasets.

    Returns:
        The shares of pixels that differ, and a figure of the photos and masks.
    """
    best = max(pretrained_models(), key=lambda name: read_card(name)["validation"]["mean_iou"])
    card = read_card(best)
    size = tuple(card["image_size"])
    pets = petseg.load_pets(image_size=size, data_dir=data_dir)
    model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
    found: list[tuple[float, np.ndarray, np.ndarray, np.ndarray]] = []
    for images, masks in pets.val:
        predicted = petseg.predict(model, images.numpy(), image_size=size)
        truth = masks.numpy()[..., 0]
        # Borders differ by some pixels in every photo, which says nothing of wrong labels.
        wrong = ((truth != predicted) & (truth != BORDER) & (predicted != BORDER)).mean(axis=(1, 2))
        found.extend(zip(wrong.tolist(), images.numpy(), truth, predicted, strict=True))
    found.sort(key=lambda item: -item[0])
    shares, photos, truths, predictions = zip(*found[:WORST], strict=True)
    figure = prediction_grid(photos, truths, {best: predictions}, pets.class_names)
    return {
        "model": best,
        "share_of_pixels": [round(share, 3) for share in shares],
        "median_of_all": round(float(np.median([item[0] for item in found])), 4),
    }, figure


def samples(data_dir: Path | None) -> tuple[Image.Image, Image.Image]:
    """Puts sample photos side by side.

    Args:
        data_dir: Folder of tensorflow_datasets.

    Returns:
        A row of photos, and a row of their masks.
    """
    photos = Image.new("RGB", (len(SAMPLES) * SAMPLE_SIDE, SAMPLE_SIDE))
    masks = Image.new("P", photos.size)
    masks.putpalette(np.ravel(class_colours(petseg.PET_CLASSES)).tolist())
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
    """Writes statistics, samples and disagreements."""
    args = argument_parser(__doc__, data_dir="optional", seed=False).parse_args()
    summaries = describe(pet_examples(args.data_dir), petseg.PET_CLASSES)
    worst, figure = worst_photos(args.data_dir)
    args.out.mkdir(parents=True, exist_ok=True)
    with whole_file(args.out / "worst.jpg") as part:
        figure.savefig(part, dpi=80, format="jpg", pil_kwargs={"quality": 85})
    photos, masks = samples(args.data_dir)
    with whole_file(args.out / "photos.jpg") as part:
        photos.save(part, "jpeg", quality=90)
    with whole_file(args.out / "masks.png") as part:
        masks.save(part, "png", optimize=True)
    write_json(
        args.out / "dataset.json",
        {
            "settings": {"worst": WORST, "samples": SAMPLES},
            "environment": environment(),
            "splits": {split: dataclasses.asdict(found) for split, found in summaries.items()},
            "worst": worst,
        },
    )


if __name__ == "__main__":
    main()
