"""Edges of cut-outs: the error of hard, feathered and matted alpha, and the time of each.

Measured on synthetic pets with hair, drawn with their true alpha. Each is cut out by its true
trimap, and by its true silhouette, which has no class for the border.

    python -m benchmarks.accuracy.cutout_edges --out docs/results/cutout_edges.json
"""

import functools
import statistics
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from benchmarks.common import Record, argument_parser, seconds_of
from petseg import PET_CLASSES
from petseg.data.drawing import sketch_pet
from petseg.data.synthetic import BACKGROUND, BORDER, PET, draw_scene
from petseg_runtime import cutout
from petseg_runtime.alpha import EDGES

COUNT = 40
SIZE = (480, 400)  # width and height of an image
OVERSAMPLING = 2
HAIRS = 1500
HAIR_LENGTH = (4, 18)  # in pixels of the drawing
BAND = 13  # pixels of a square that holds some of the pet and some of the background


@dataclass(frozen=True, eq=False)
class FurryPet:
    """A synthetic pet with hair.

    Attributes:
        image: uint8 RGB `(H, W, 3)`.
        alpha: How much of each pixel is pet, uint8 `(H, W)`.
        trimap: Classes `(H, W)`: pet, background and border.
        silhouette: Classes `(H, W)`: pet and background.
    """

    image: np.ndarray
    alpha: np.ndarray
    trimap: np.ndarray
    silhouette: np.ndarray


def furry_pet(seed: int) -> FurryPet:
    """Draws a pet with hair along its outline on a textured background.

    Args:
        seed: The same seed always draws the same pet.

    Returns:
        The pet.
    """
    rng = np.random.default_rng(seed)
    size = (SIZE[0] * OVERSAMPLING, SIZE[1] * OVERSAMPLING)
    scene, pet = draw_scene(rng, size), sketch_pet(rng, size)
    _add_hair(rng, pet)
    scene.paste(pet, mask=pet.getchannel("A"))
    image = scene.resize(SIZE, Image.Resampling.BOX)
    alpha = pet.getchannel("A").resize(SIZE, Image.Resampling.BOX)
    pixels = np.asarray(image) + rng.normal(0, 2, (SIZE[1], SIZE[0], 1))
    near = np.asarray(alpha.filter(ImageFilter.MaxFilter(BAND))) > 0
    inner = np.asarray(alpha.filter(ImageFilter.MinFilter(BAND))) == 255
    return FurryPet(
        np.clip(np.rint(pixels), 0, 255).astype(np.uint8),
        np.asarray(alpha),
        np.where(inner, PET, np.where(near, BORDER, BACKGROUND)),
        np.where(np.asarray(alpha) > 127, PET, BACKGROUND),
    )


def _add_hair(rng: np.random.Generator, pet: Image.Image) -> None:
    """Draws hairs outwards from the outline, in the colours of the coat that they start from."""
    outline = pet.getchannel("A")
    edge = ImageChops.subtract(outline, outline.filter(ImageFilter.MinFilter(3)))
    rows, columns = np.nonzero(np.asarray(edge) > 127)
    # The blurred outline falls towards the background: its slope says where outwards is.
    slope = np.asarray(outline.filter(ImageFilter.GaussianBlur(5)), np.float32)
    down, right = np.gradient(slope, axis=0), np.gradient(slope, axis=1)
    coat = np.asarray(pet.filter(ImageFilter.GaussianBlur(1)))
    draw = ImageDraw.Draw(pet)
    for index in rng.choice(len(rows), HAIRS):
        row, column = int(rows[index]), int(columns[index])
        angle = np.arctan2(-down[row, column], -right[row, column]) + rng.normal(0, 0.6)
        length = rng.uniform(*HAIR_LENGTH)
        tip = (column + length * np.cos(angle), row + length * np.sin(angle))
        red, green, blue = (int(value) for value in coat[row, column, :3])
        draw.line([(column, row), tip], (red, green, blue, 255), 1)


def measure(pets: list[FurryPet], edges: str) -> dict[str, float]:
    """Measures one way to cut out pets.

    Args:
        pets: The pets.
        edges: Argument of `petseg.cutout`.

    Returns:
        The mean absolute error of alpha in the border, from 0 to 1, by what the pets are cut out
        by, and the median milliseconds for one pet.
    """

    def cut(pet: FurryPet, mask: np.ndarray) -> np.ndarray:
        return cutout(pet.image, mask, class_names=PET_CLASSES, edges=edges)

    def error(pet: FurryPet, mask: np.ndarray) -> float:
        difference = cut(pet, mask)[..., 3].astype(np.float64) - pet.alpha
        return float(np.abs(difference[pet.trimap == BORDER]).mean()) / 255

    cut(pets[0], pets[0].trimap)  # compiles
    seconds = [seconds_of(functools.partial(cut, pet, pet.trimap)) for pet in pets]
    return {
        "trimap": round(statistics.mean(error(pet, pet.trimap) for pet in pets), 4),
        "silhouette": round(statistics.mean(error(pet, pet.silhouette) for pet in pets), 4),
        "milliseconds": round(1e3 * statistics.median(seconds), 1),
    }


def main() -> None:
    """Measures the ways that are missing."""
    args = argument_parser(__doc__).parse_args()
    pets = [furry_pet(args.seed + index) for index in range(COUNT)]
    record = Record(args.out, {"pets": COUNT, "size": SIZE, "seed": args.seed})
    for edges in record.missing(EDGES):
        record.add(edges, measure(pets, edges))


if __name__ == "__main__":
    main()
