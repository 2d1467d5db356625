"""Synthetic pets: drawn images and masks, for tests and for trying things out."""

import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw, ImageFilter

from petseg.data.drawing import FURS, INK, mottle, shade, sketch_pet
from petseg.data.records import Records, read_example
from petseg_runtime import validation

PET, BACKGROUND, BORDER = range(3)

# Images are drawn this many times larger and then reduced, for smooth outlines.
OVERSAMPLING = 2


def synthetic_examples(num_examples: int, seed: int) -> dict[str, tf.data.Dataset]:
    """Draws synthetic pets, each when it is read.

    Example i of a seed is always the same, whatever the number of examples.

    Args:
        num_examples: Number of examples in all splits together, at least 3: one for each split.
        seed: Seed of the drawings, 0 or more.

    Returns:
        For each of "train" (70%), "val" (15%) and "test" (15%) a dataset of dicts: `image` (uint8,
        `(H, W, 3)`), `mask` (uint8, `(H, W, 1)`, indices into `petseg.PET_CLASSES`) and
        `file_name`. Sides are 96 to 160 pixels.

    Raises:
        ValueError: If an argument is out of its range.
    """
    records = synthetic_records(num_examples, seed)
    return {split: of_split.examples() for split, of_split in records.items()}


def synthetic_records(num_examples: int, seed: int) -> dict[str, Records]:
    """Finds the examples of `synthetic_examples`, whose entries are numbers.

    Args:
        num_examples: As for `synthetic_examples`.
        seed: As for `synthetic_examples`.

    Returns:
        The records of each split.

    Raises:
        ValueError: If an argument is out of its range.
    """
    num_examples = validation.integer("num_examples", num_examples, minimum=3)
    seed = validation.integer("seed", seed, minimum=0)
    num_held_out = max(1, round(0.15 * num_examples))
    val_start, test_start = num_examples - 2 * num_held_out, num_examples - num_held_out
    return {
        "train": _drawn(0, val_start, seed),
        "val": _drawn(val_start, test_start, seed),
        "test": _drawn(test_start, num_examples, seed),
    }


def _drawn(start: int, stop: int, seed: int) -> Records:
    def draw(index: tf.Tensor) -> dict[str, tf.Tensor]:
        name = tf.strings.format("pet_{}.jpg", index)
        return read_example(lambda index: draw_pet((seed, int(index))), [index], name)

    numbers = tf.data.Dataset.range(start, stop)
    return Records(numbers, draw, lambda: ["synthetic", start, stop, seed])


def draw_pet(seed: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Draws one cat or dog on a textured background.

    Args:
        seed: One or several integers of 0 or more. The same seed always draws the same pet.

    Returns:
        `(image, mask)`: uint8 RGB `(H, W, 3)` and uint8 classes `(H, W, 1)`, with H and W from 96
        to 160. The classes are 0 pet, 1 background and 2 border, a ring a few pixels wide along
        the outline.
    """
    rng = np.random.default_rng(seed)
    height, width = (int(side) for side in rng.integers(96, 161, size=2))
    size = (width * OVERSAMPLING, height * OVERSAMPLING)
    scene, pet = draw_scene(rng, size), sketch_pet(rng, size)
    outline = pet.getchannel("A")
    shadow = outline.filter(ImageFilter.GaussianBlur(6)).point(lambda alpha: alpha // 3)
    scene.paste(INK, (0, 0, *size), shadow)
    scene.paste(pet, mask=outline)
    pixels = np.asarray(scene.resize((width, height), Image.Resampling.BOX))
    pixels = pixels + rng.normal(0, 3, (height, width, 1))
    image = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    return image, _trimap(outline.resize((width, height), Image.Resampling.BOX))


def _trimap(coverage: Image.Image) -> np.ndarray:
    silhouette = coverage.point(lambda alpha: 255 if alpha > 127 else 0)
    grown = np.asarray(silhouette.filter(ImageFilter.MaxFilter(5))) > 0
    shrunk = np.asarray(silhouette.filter(ImageFilter.MinFilter(3))) > 0
    trimap = np.where(shrunk, PET, np.where(grown, BORDER, BACKGROUND))
    return trimap.astype(np.uint8)[..., None]


def draw_scene(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draws a background: a mottled wall and floor, cushions and boxes in the colours of fur.

    Args:
        rng: The generator that decides everything about it.
        size: (width, height) in pixels.

    Returns:
        An RGB image.
    """
    width, height = size
    colours = rng.integers(80, 230, (2, 3))
    wall, floor = 0.6 * colours + 0.4 * colours.mean(axis=1, keepdims=True)  # muted
    on_wall = (np.arange(height) < height * rng.uniform(0.45, 0.8))[:, None]
    light = 26 * mottle(rng, size, cells=4) + 14 * mottle(rng, size, cells=40)
    if rng.random() < 0.5:  # striped wallpaper
        light += on_wall * 10 * np.sign(np.sin(np.arange(width) * 2 * np.pi / rng.uniform(20, 50)))
    pixels = np.where(on_wall[..., None], wall, floor) + light[..., None]
    scene = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(scene)
    for _ in range(rng.integers(1, 5)):
        x, y = rng.uniform(0, width), rng.uniform(0.1, 1) * height
        rx, ry = rng.uniform(0.04, 0.15, 2) * min(size)
        fill = shade(FURS[rng.integers(len(FURS))], rng.uniform(0.7, 1.2))
        box = (x - rx, y - ry, x + rx, y + ry)
        if rng.random() < 0.5:
            draw.ellipse(box, fill, shade(fill, 0.85), 3)
        else:
            draw.rounded_rectangle(box, 6, fill, shade(fill, 0.85), 3)
    return scene.filter(ImageFilter.GaussianBlur(1.4))
