"""Draws the picture of the documentation's home page: `home_picture.py`, into docs/figures.

Photos of docs/try/samples, and below each the mask of the pretrained U-Net laid over it.
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import petseg
from petseg.files import whole_file
from petseg.shipped import read_card

DOCS = Path(__file__).parents[1] / "docs"
PHOTOS = ("english_setter_58", "Persian_269", "Abyssinian_44")
SIDE, GAP = 256, 8


def main() -> None:
    model = petseg.unet(weights="pets")
    size = tuple(read_card("unet")["image_size"])
    width, height = (count * (SIDE + GAP) - GAP for count in (len(PHOTOS), 2))
    picture = Image.new("RGBA", (width, height))  # transparent between the photos
    for column, name in enumerate(PHOTOS):
        with Image.open(DOCS / "try" / "samples" / f"{name}.jpg") as file:
            photo = ImageOps.fit(file.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)
        pixels = np.asarray(photo)
        overlay = petseg.overlay(pixels, petseg.predict(model, pixels, image_size=size))
        for row, tile in enumerate((photo, Image.fromarray(overlay))):
            picture.paste(tile, (column * (SIDE + GAP), row * (SIDE + GAP)))
    with whole_file(DOCS / "figures" / "home.webp") as part:
        picture.save(part, "webp", quality=85)


if __name__ == "__main__":
    main()
