"""Draws the networks' diagrams for docs/models.md: `diagrams.py`, into docs/figures.

Height is resolution: a box at stride 4 is half as high as one at stride 2. Orange is the encoder,
blue the decoder, grey what only moves values about.
"""

import itertools
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "docs" / "figures"
COLOURS = {"encoder": "#f0821e", "decoder": "#2f8fc4", "move": "#8a919c"}
GREY = "#7d8590"  # read on white and on black
WIDTH, GAP, MIDDLE = 74, 26, 105
HEIGHTS = {1: 150, 2: 122, 4: 96, 8: 74, 16: 54, 32: 38, "pool": 26}


class Diagram:
    """Boxes from left to right, and arrows between them."""

    def __init__(self):
        self.parts, self.places, self.right = [], {}, 8

    def box(self, name, stride, kind, text, column=None, y=MIDDLE):
        """A box in the next column, or below another in the same."""
        x = self.right if column is None else self.places[column][0]
        height = HEIGHTS[stride]
        self.places[name] = (x, y, height)
        self.right = max(self.right, x + WIDTH + GAP)
        self.parts.append(
            f'<rect x="{x}" y="{y - height / 2}" width="{WIDTH}" height="{height}" rx="5" '
            f'fill="{COLOURS[kind]}"/>'
        )
        lines = text.split("\n")
        for row, line in enumerate(lines):
            below = y + 4 + 13 * (row - (len(lines) - 1) / 2)
            self.parts.append(
                f'<text x="{x + WIDTH / 2}" y="{below}" fill="#fff" text-anchor="middle">{line}'
                "</text>"
            )

    def encoder(self, *strides):
        self.box("image", 1, "move", "image")
        for stride in strides:
            self.box(f"e{stride}", stride, "encoder", f"stride {stride}")
        for start, end in itertools.pairwise(["image", *(f"e{stride}" for stride in strides)]):
            self.arrow(start, end)

    def arrow(self, start, end):
        (x1, y1, _), (x2, y2, _) = self.places[start], self.places[end]
        self.parts.append(
            f'<path d="M{x1 + WIDTH + 2} {y1} L{x2 - 3} {y2}" class="line" marker-end="url(#tip)"/>'
        )

    def skip(self, start, end, depth):
        """An arrow that passes below everything between."""
        (x1, y1, h1), (x2, y2, h2) = self.places[start], self.places[end]
        x1, x2 = x1 + WIDTH / 2, x2 + WIDTH / 2
        y = MIDDLE + HEIGHTS[1] / 2 + 12 * depth
        self.parts.append(
            f'<path d="M{x1} {y1 + h1 / 2 + 2} V{y} H{x2} V{y2 + h2 / 2 + 5}" class="line" '
            'marker-end="url(#tip)"/>'
        )

    def save(self, name, height):
        width = self.right - GAP + 8
        text = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="system-ui, sans-serif" '
            'font-size="11.5">\n'
            f"<style>.line {{ fill: none; stroke: {GREY}; stroke-width: 1.6 }}</style>\n"
            '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="6" '
            f'markerHeight="6" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="{GREY}"/></marker>'
            "</defs>\n" + "\n".join(self.parts) + "\n</svg>\n"
        )
        (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


def unet():
    figure = Diagram()
    figure.encoder(2, 4, 8, 16, 32)
    for step, stride in enumerate((16, 8, 4), start=1):
        figure.box(f"d{stride}", stride, "decoder", f"join\n3 {chr(215)} 3")
        figure.arrow("e32" if step == 1 else f"d{2 * stride}", f"d{stride}")
        figure.skip(f"e{stride}", f"d{stride}", step)
    figure.box("logits", 1, "decoder", "logits,\nresized")
    figure.arrow("d4", "logits")
    figure.save("unet", 228)


def fcn():
    figure = Diagram()
    figure.encoder(2, 4, 8, 16, 32)
    figure.box("d32", 32, "decoder", "scores")
    figure.arrow("e32", "d32")
    for step, stride in enumerate((16, 8), start=1):
        figure.box(f"d{stride}", stride, "decoder", "add\nscores")
        figure.arrow(f"d{2 * stride}", f"d{stride}")
        figure.skip(f"e{stride}", f"d{stride}", step)
    figure.box("logits", 1, "decoder", "logits,\nresized")
    figure.arrow("d8", "logits")
    figure.save("fcn", 216)


def segnet():
    figure = Diagram()
    figure.encoder(2, 4, 8, 16)
    for step, stride in enumerate((8, 4), start=1):
        figure.box(f"u{stride}", stride, "move", "unpool to\nthe maxima")
        figure.arrow("e16" if step == 1 else f"d{2 * stride}", f"u{stride}")
        figure.skip(f"e{stride}", f"u{stride}", step)
        figure.box(f"d{stride}", stride, "decoder", f"3 {chr(215)} 3")
        figure.arrow(f"u{stride}", f"d{stride}")
    figure.box("logits", 1, "decoder", "logits,\nresized")
    figure.arrow("d4", "logits")
    figure.save("segnet", 216)


def pyramid(figure, source, branches):
    """Branches in one column, one above the other, that are joined in the next."""
    first = branches[0]
    for row, text in enumerate(branches):
        y = MIDDLE + 36 * (row - (len(branches) - 1) / 2)
        figure.box(text, "pool", "decoder", text, column=None if text == first else first, y=y)
        figure.arrow(source, text)
    figure.box("join", 8, "decoder", "join")
    for text in branches:
        figure.arrow(text, "join")


def pspnet():
    figure = Diagram()
    figure.encoder(2, 4, 8)
    figure.box("e8d", 8, "encoder", "stride 8,\ndilated")
    figure.arrow("e8", "e8d")
    cells = ["1", "2", "3", "6"]
    pyramid(figure, "e8d", [f"{n} {chr(215)} {n} cells" for n in cells])
    figure.skip("e8d", "join", 1)
    figure.box("logits", 1, "decoder", "logits,\nresized")
    figure.arrow("join", "logits")
    figure.save("pspnet", 204)


def deeplabv3_plus():
    figure = Diagram()
    figure.encoder(2, 4, 8, 16)
    pyramid(figure, "e16", [f"1 {chr(215)} 1", "rate 6", "rate 12", "rate 18", "image mean"])
    figure.box("d4", 4, "decoder", f"join\n3 {chr(215)} 3, twice")
    figure.arrow("join", "d4")
    figure.skip("e4", "d4", 1)
    figure.box("logits", 1, "decoder", "logits,\nresized")
    figure.arrow("d4", "logits")
    figure.save("deeplabv3_plus", 204)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for draw in (unet, fcn, segnet, pspnet, deeplabv3_plus):
        draw()
