"""Draws the picture of the documentation's home page into docs/figures.

    python -m benchmarks.docs.home_picture

Photos of docs/try/samples, and below each the mask of the pretrained U-Net laid over it.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import petseg
from benchmarks.common import bare_parser
from petseg_runtime.atomic_files import whole_file

DOCS = Path(__file__).parents[2] / "docs"
PHOTOS = ("english_setter_58", "Persian_269", "Abyssinian_44")
SIDE, GAP = 256, 8


def main() -> None:
    """Draws the picture."""
    bare_parser(__doc__).parse_args()
    model = petseg.unet(weights="pets")
    names = petseg.model_info(model).class_names
    width, height = (count * (SIDE + GAP) - GAP for count in (len(PHOTOS), 2))
    picture = Image.new("RGBA", (width, height))  # transparent between the photos
    for column, name in enumerate(PHOTOS):
        with Image.open(DOCS / "try" / "samples" / f"{name}.jpg") as file:
            photo = ImageOps.fit(file.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
        pixels = np.asarray(photo)
        overlay = petseg.overlay(pixels, petseg.predict(model, pixels), class_names=names)
        for row, tile in enumerate((photo, Image.fromarray(overlay))):
            picture.paste(tile, (column * (SIDE + GAP), row * (SIDE + GAP)))
    with whole_file(DOCS / "figures" / "home.webp") as part:
        picture.save(part, "webp", quality=85)


if __name__ == "__main__":
    main()
