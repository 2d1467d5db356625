"""Drawn street scenes with common and rare classes, for measurements of class imbalance.

Rare classes resemble common ones: a truck is a larger car with a box, a cyclist is a person on two
wheels, and walls and pavements have discs and poles like those of signs.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from petseg.data.drawing import mottle, shade

SIZE = (96, 128)
CLASSES = (
    *("sky", "building", "road", "pavement", "car"),
    *("truck", "person", "cyclist", "sign"),
)
SKY, BUILDING, ROAD, PAVEMENT, CAR, TRUCK, PERSON, CYCLIST, SIGN = range(len(CLASSES))
# How many objects a scene has at most, and the probability of each.
OBJECTS = {CAR: (3, 0.7), TRUCK: (1, 0.12), PERSON: (2, 0.2), CYCLIST: (1, 0.12), SIGN: (1, 0.2)}
RARE = ("truck", "person", "cyclist", "sign")

SCALE = 2  # images are drawn this many times larger, for smooth outlines
PAINT = ((176, 44, 40), (60, 84, 150), (214, 214, 208), (52, 54, 60), (226, 176, 60))
CLOTHES = ((150, 52, 60), (58, 96, 84), (70, 74, 112), (190, 150, 90), (44, 44, 52))
DISCS = ((206, 40, 44), (44, 84, 178), (236, 196, 52))
SKIN, METAL, RUBBER, GLASS = (214, 168, 140), (128, 130, 134), (32, 32, 34), (120, 150, 168)

Colour = tuple[int, ...]
Box = tuple[float, float, float, float]


class _Scene:
    """An image and its mask, drawn with the same shapes."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.height, self.width = (SCALE * side for side in SIZE)
        self.image = Image.new("RGB", (self.width, self.height))
        self.mask = Image.new("L", self.image.size)

    def pick(self, colours: Sequence[Colour]) -> Colour:
        return shade(colours[int(self.rng.integers(len(colours)))], self.rng.uniform(0.75, 1.2))

    def box(self, box: Box, fill: Colour, label: int) -> None:
        self._draw(lambda draw, ink: draw.rectangle(box, ink), fill, label)

    def disc(self, x: float, y: float, radius: float, fill: Colour, label: int) -> None:
        box = (x - radius, y - radius, x + radius, y + radius)
        self._draw(lambda draw, ink: draw.ellipse(box, ink), fill, label)

    def polygon(self, points: list[tuple[float, float]], fill: Colour, label: int) -> None:
        self._draw(lambda draw, ink: draw.polygon(points, ink), fill, label)

    def _draw(
        self,
        shape: Callable[[ImageDraw.ImageDraw, Colour | int], None],
        fill: Colour,
        label: int,
    ) -> None:
        shape(ImageDraw.Draw(self.image), fill)
        shape(ImageDraw.Draw(self.mask), label)


def draw_street(seed: int | tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Draws one scene.

    Args:
        seed: One or several integers of 0 or more. The same seed always draws the same scene.

    Returns:
        `(image, mask)`: uint8 RGB `(H, W, 3)` and uint8 indices `(H, W)` into `CLASSES`.
    """
    rng = np.random.default_rng(seed)
    scene = _Scene(rng)
    horizon = scene.height * rng.uniform(0.3, 0.45)
    middle = scene.width * rng.uniform(0.35, 0.65)
    _background(scene, horizon, middle)
    # Those that are near are drawn last.
    found = [
        (rng.uniform(0.15, 1), label)
        for label, (most, chance) in OBJECTS.items()
        for _ in range(most)
        if rng.random() < chance
    ]
    for near, label in sorted(found):
        y = horizon + near * (0.95 * scene.height - horizon)
        half_road = 12 + near * 0.42 * scene.width
        side = rng.choice([-1, 1])
        on_road = side * rng.uniform(0.25, 0.7)
        beside = side * rng.uniform(1.1, 1.4)
        x = middle + half_road * (on_road if label in (CAR, TRUCK, CYCLIST) else beside)
        _OBJECTS[label](scene, x, y, 8 + 32 * near)
    image = scene.image.filter(ImageFilter.GaussianBlur(1)).reduce(SCALE)
    pixels = np.asarray(image) * rng.uniform(0.6, 1.15) + rng.normal(0, 7, (*SIZE, 1))
    mask = np.asarray(scene.mask)[::SCALE, ::SCALE]
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8), mask


def write_streets(folder: Path, counts: dict[str, int], seed: int = 0) -> None:
    """Writes scenes as `petseg.load_folder` reads them.

    Args:
        folder: A new folder.
        counts: Number of scenes of each split.
        seed: Seed of the drawings.
    """
    for number, (split, count) in enumerate(counts.items()):
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(count):
            image, mask = draw_street((seed, number, index))
            Image.fromarray(image).save(folder / split / "images" / f"{index}.png")
            Image.fromarray(mask).save(folder / split / "masks" / f"{index}.png")


def _background(scene: _Scene, horizon: float, middle: float) -> None:
    rng, width, height = scene.rng, scene.width, scene.height
    grey = int(rng.integers(90, 140))
    scene.box((0, 0, width, height), scene.pick([(170, 196, 226), (190, 190, 194)]), SKY)
    x = 0.0
    while x < width:
        step, top = rng.uniform(30, 80), horizon - rng.uniform(15, 75)
        wall = scene.pick([(150, 120, 104), (168, 160, 148), (120, 126, 136), (186, 150, 110)])
        scene.box((x, top, x + step, horizon + 8), wall, BUILDING)
        for left in np.arange(x + 6, x + step - 8, 14):
            for upper in np.arange(top + 6, horizon - 8, 16):
                scene.box((left, upper, left + 6, upper + 8), shade(wall, 0.55), BUILDING)
        if rng.random() < 0.35:  # a poster like the disc of a sign
            place = x + rng.uniform(0.2, 0.8) * step, rng.uniform(top, horizon)
            scene.disc(*place, rng.uniform(4, 9), scene.pick(DISCS), BUILDING)
        x += step
    scene.box((0, horizon, width, height), (grey + 30, grey + 26, grey + 18), PAVEMENT)
    far, close = 12, 12 + 0.42 * width
    points = [
        (middle - far, horizon),
        (middle + far, horizon),
        (middle + close, height),
        (middle - close, height),
    ]
    scene.polygon(points, (grey - 20, grey - 20, grey - 16), ROAD)
    for near in (0.2, 0.45, 0.8):
        y = horizon + near * (height - horizon)
        scene.box((middle - 3 * near, y, middle + 3 * near, y + 14 * near), (220, 220, 214), ROAD)
    for _ in range(rng.integers(0, 3)):  # posts and bins
        near, side = rng.uniform(0.3, 1), rng.choice([-1, 1])
        x = middle + side * (14 + near * 0.5 * width)
        y, size = horizon + near * 0.9 * (height - horizon), 6 + 20 * near
        if rng.random() < 0.5:
            scene.box((x, y - 1.6 * size, x + 2, y), METAL, PAVEMENT)
        else:
            scene.box((x, y - 0.7 * size, x + 0.5 * size, y), scene.pick(CLOTHES), PAVEMENT)
    texture = 1 + 0.07 * mottle(rng, scene.image.size, cells=40)[..., None]
    pixels = np.clip(np.asarray(scene.image) * texture, 0, 255).astype(np.uint8)
    scene.image.paste(Image.fromarray(pixels))


def _wheels(scene: _Scene, xs: Sequence[float], y: float, radius: float, label: int) -> None:
    for x in xs:
        scene.disc(x, y - radius, radius, RUBBER, label)


def _car(scene: _Scene, x: float, y: float, size: float) -> None:
    paint = scene.pick(PAINT)
    cabin = (x - 0.6 * size, y - 1.1 * size, x + 0.6 * size, y - 0.5 * size)
    scene.box(cabin, paint, CAR)
    scene.box((cabin[0] + 2, cabin[1] + 2, cabin[2] - 2, cabin[3]), GLASS, CAR)
    scene.box((x - size, y - 0.65 * size, x + size, y - 0.15 * size), paint, CAR)
    _wheels(scene, (x - 0.6 * size, x + 0.6 * size), y, 0.25 * size, CAR)


def _truck(scene: _Scene, x: float, y: float, size: float) -> None:
    paint = scene.pick(PAINT)
    scene.box((x - 0.5 * size, y - 1.7 * size, x + size, y - 0.2 * size), paint, TRUCK)
    scene.box((x - size, y - 1.1 * size, x - 0.5 * size, y - 0.2 * size), paint, TRUCK)
    scene.box((x - size, y - 1.0 * size, x - 0.7 * size, y - 0.6 * size), GLASS, TRUCK)
    _wheels(scene, (x - 0.7 * size, x + 0.3 * size, x + 0.75 * size), y, 0.25 * size, TRUCK)


def _figure(scene: _Scene, x: float, y: float, size: float, label: int) -> None:
    scene.box((x - 0.22 * size, y - 1.1 * size, x + 0.22 * size, y), scene.pick(CLOTHES), label)
    scene.disc(x, y - 1.3 * size, 0.22 * size, SKIN, label)


def _person(scene: _Scene, x: float, y: float, size: float) -> None:
    _figure(scene, x, y, size, PERSON)


def _cyclist(scene: _Scene, x: float, y: float, size: float) -> None:
    _wheels(scene, (x - 0.45 * size, x + 0.45 * size), y, 0.36 * size, CYCLIST)
    _figure(scene, x, y - 0.35 * size, 0.9 * size, CYCLIST)


def _sign(scene: _Scene, x: float, y: float, size: float) -> None:
    scene.box((x - 1, y - 1.7 * size, x + 1, y), METAL, SIGN)
    scene.disc(x, y - 1.7 * size, 0.32 * size, scene.pick(DISCS), SIGN)


_OBJECTS = {CAR: _car, TRUCK: _truck, PERSON: _person, CYCLIST: _cyclist, SIGN: _sign}
