"""The parts of a synthetic pet: body, head, face and coat of a cat or a dog."""

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, ...]
Point = tuple[float, float]

FURS = (
    (226, 146, 72),  # ginger
    (134, 138, 150),  # grey
    (74, 68, 74),  # black
    (240, 228, 206),  # cream
    (142, 98, 66),  # brown
    (212, 176, 122),  # golden
)
EYES = ((126, 186, 92), (236, 192, 70), (112, 172, 220), (134, 92, 58))
PINK, INK, WHITE = (228, 142, 148), (38, 30, 34), (252, 250, 246)


class _Pen:
    """Draws in units of the pet's size, relative to an origin."""

    def __init__(self, layer: Image.Image, x: float, y: float, unit: float) -> None:
        self._layer, self._x, self._y, self._unit = layer, x, y, unit
        self._draw = ImageDraw.Draw(layer)

    def at(self, x: float, y: float) -> "_Pen":
        return _Pen(self._layer, *self._pixels([(x, y)])[0], self._unit)

    def ellipse(self, x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        corners = self._pixels([(x - rx, y - ry), (x + rx, y + ry)])
        self._draw.ellipse([*corners[0], *corners[1]], fill)

    def polygon(self, points: list[Point], fill: Colour) -> None:
        self._draw.polygon(self._pixels(points), fill)

    def line(self, points: list[Point], fill: Colour) -> None:
        self._draw.line(self._pixels(points), fill, 2, "curve")

    def stroke(self, points: list[Point], width: float, fill: Colour) -> None:
        """A thick line with round ends along the Bezier curve of `points`."""
        for t in np.linspace(0, 1, 48):
            self.ellipse(*_bezier(points, t), width / 2, width / 2, fill)

    def _pixels(self, points: list[Point]) -> list[Point]:
        return [(self._x + x * self._unit, self._y + y * self._unit) for x, y in points]


def sketch_pet(rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """Draws a cat or a dog without a background.

    Args:
        rng: The generator that decides everything about the pet.
        size: (width, height) of the image in pixels.

    Returns:
        An RGBA image, transparent outside the pet.
    """
    fur = shade(FURS[rng.integers(len(FURS))], rng.uniform(0.9, 1.08))
    is_cat, sits = rng.random() < 0.5, rng.random() < 0.6
    unit = min(size) * rng.uniform(0.7, 1.0)
    x, y = (rng.uniform(0.38, 0.62) * size[0], rng.uniform(0.46, 0.56) * size[1])
    layer = Image.new("RGBA", size)
    pen = _Pen(layer, x, y, unit)
    head = (_sitting if sits else _standing)(pen, rng, fur, is_cat)
    pen = pen.at(*head)
    (_cat_ears if is_cat else _dog_ears)(pen, fur)
    pen.ellipse(0, 0, 0.185, 0.165, fur)
    layer.paste(_coat(rng, layer), mask=layer.getchannel("A"))
    (_cat_face if is_cat else _dog_face)(pen, fur, EYES[rng.integers(len(EYES))])
    if rng.random() < 0.5:
        layer = layer.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return layer.rotate(rng.uniform(-9, 9), Image.Resampling.BILINEAR)


def _sitting(pen: _Pen, rng: np.random.Generator, fur: Colour, is_cat: bool) -> Point:
    """Draws the body from the front. Returns the position of the head."""
    lift = rng.uniform(-0.1, 0.15)
    tail = [(0.12, 0.34), (0.44, 0.36), (0.36, 0.0), (0.34, -0.12 - lift)]
    pen.stroke(tail, 0.07 if is_cat else 0.055, shade(fur, 0.92))
    pen.ellipse(0, 0.17, 0.2, 0.24, fur)
    for side in (-1, 1):
        pen.ellipse(side * 0.15, 0.32, 0.11, 0.09, shade(fur, 0.95))
    pen.ellipse(0, 0.18, 0.11, 0.17, shade(fur, 1.18))
    for side in (-1, 1):
        pen.stroke([(side * 0.065, 0.14), (side * 0.07, 0.37)], 0.09, fur)
        pen.ellipse(side * 0.075, 0.39, 0.065, 0.04, shade(fur, 1.2))
    return 0.0, -0.17


def _standing(pen: _Pen, rng: np.random.Generator, fur: Colour, is_cat: bool) -> Point:
    """Draws the body from the side. Returns the position of the head."""
    lift = rng.uniform(-0.05, 0.2)
    tail = [(0.25, 0.06), (0.44, 0.1), (0.4, -0.18 - lift)]
    pen.stroke(tail, 0.06 if is_cat else 0.05, shade(fur, 0.92))
    for x, tone in ((-0.14, 0.8), (0.26, 0.8), (-0.22, 1.0), (0.18, 1.0)):
        step = rng.uniform(-0.03, 0.03)
        pen.stroke([(x, 0.15), (x + step, 0.36)], 0.085, shade(fur, tone))
        pen.ellipse(x + step - 0.012, 0.38, 0.06, 0.035, shade(fur, tone * 1.15))
    pen.ellipse(0.02, 0.09, 0.32, 0.16, fur)
    pen.ellipse(0.0, 0.17, 0.22, 0.07, shade(fur, 1.15))
    return -0.27, -0.1


def _cat_ears(pen: _Pen, fur: Colour) -> None:
    for side in (-1, 1):
        pen.polygon([(side * 0.18, -0.02), (side * 0.17, -0.25), (side * 0.03, -0.13)], fur)
        pen.polygon([(side * 0.155, -0.07), (side * 0.152, -0.2), (side * 0.07, -0.12)], PINK)


def _dog_ears(pen: _Pen, fur: Colour) -> None:
    for side in (-1, 1):
        pen.ellipse(side * 0.18, 0.03, 0.06, 0.15, shade(fur, 0.72))


def _cat_face(pen: _Pen, fur: Colour, iris: Colour) -> None:
    pen.ellipse(0, 0.085, 0.085, 0.055, shade(fur, 1.25))
    _eyes(pen, iris, pupil=(0.012, 0.036))
    pen.polygon([(-0.022, 0.045), (0.022, 0.045), (0, 0.07)], PINK)
    _mouth(pen, 0.07)
    for side in (-1, 1):
        for slope in (-0.02, 0.015):
            pen.line([(side * 0.06, 0.08), (side * 0.175, 0.075 + slope)], shade(fur, 0.6))


def _dog_face(pen: _Pen, fur: Colour, iris: Colour) -> None:
    pen.ellipse(0, 0.085, 0.095, 0.08, shade(fur, 1.25))
    _eyes(pen, iris, pupil=(0.024, 0.028))
    pen.ellipse(0, 0.125, 0.03, 0.04, PINK)
    pen.ellipse(0, 0.092, 0.06, 0.025, shade(fur, 1.25))
    pen.ellipse(0, 0.04, 0.036, 0.026, INK)
    _mouth(pen, 0.06)


def _eyes(pen: _Pen, iris: Colour, pupil: tuple[float, float]) -> None:
    for side in (-1, 1):
        x = side * 0.08
        pen.ellipse(x, -0.02, 0.046, 0.046, INK)
        pen.ellipse(x, -0.02, 0.04, 0.04, iris)
        pen.ellipse(x, -0.02, *pupil, INK)
        pen.ellipse(x + 0.014, -0.036, 0.011, 0.011, WHITE)


def _mouth(pen: _Pen, y: float) -> None:
    for side in (-1, 1):
        pen.line([(0, y), (0, y + 0.02), (side * 0.03, y + 0.035), (side * 0.05, y + 0.022)], INK)


def _coat(rng: np.random.Generator, layer: Image.Image) -> Image.Image:
    """Returns the drawing with light from above, hairs, and sometimes stripes or patches."""
    noise = mottle(rng, layer.size, cells=7)
    light = 1.06 - 0.16 * np.linspace(0, 1, layer.height)[:, None]
    light = light + 0.06 * mottle(rng, layer.size, cells=90)
    pattern = rng.choice(["plain", "striped", "patched"])
    if pattern == "striped":
        waves = np.arange(layer.width) * 0.24 + 3 * noise
        light = np.where(np.sin(waves) > 0.55, 0.78 * light, light)
    elif pattern == "patched":
        light = np.where(noise > 0.45, rng.choice([0.55, 1.3]) * light, light)
    pixels = np.asarray(layer.convert("RGB")) * light[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def mottle(rng: np.random.Generator, size: tuple[int, int], cells: int) -> np.ndarray:
    """Draws smooth noise.

    Args:
        rng: The generator of the noise.
        size: (width, height) in pixels.
        cells: Number of independent values along each side. More give a finer texture.

    Returns:
        float32 `(height, width)` of about -1 to 1.
    """
    coarse = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(coarse.resize(size, Image.Resampling.BICUBIC))


def shade(colour: Colour, factor: float) -> Colour:
    """Makes a colour lighter or darker.

    Args:
        colour: Channels in [0, 255].
        factor: What each channel is multiplied by: above 1 is lighter, below 1 darker.

    Returns:
        The channels, rounded, at most 255.
    """
    return tuple(min(255, round(channel * factor)) for channel in colour)


def _bezier(points: list[Point], t: float) -> Point:
    nested = np.asarray(points)
    while len(nested) > 1:
        nested = (1 - t) * nested[:-1] + t * nested[1:]
    return nested[0, 0], nested[0, 1]
