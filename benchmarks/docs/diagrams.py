"""Draws the diagrams of the architectures and the site's icon into docs/figures.

    python -m benchmarks.docs.diagrams

The images of a figure flow down the encoder and up the decoder. Boxes in one row have the same
resolution, and boxes get narrower with the resolution. A figure is 360 units wide, the width of a
phone, so that its text has the size of the page's text there.
"""

from pathlib import Path

from benchmarks.common import bare_parser

FOLDER = Path(__file__).parents[2] / "docs" / "figures"
# White text on these has a contrast of at least 4.5; the boxes stand out on white and on black.
FILLS = {"encoder": "#b45309", "decoder": "#1f6f9f", "image": "#5c6470"}
GREY = "#7a828e"  # lines and text outside the boxes: readable on white and on black
WIDTH = 360
LEFT, CENTER, RIGHT = 92, 180, 268  # columns
ROW, BOX = 50, 32  # distance of two rows, height of a box
BOX_WIDTHS = {1: 150, 2: 138, 4: 126, 8: 114, 16: 102, 32: 90}  # by stride
TIMES = "\u00d7"


class Figure:
    """Boxes and arrows at given places, on a grid of rows."""

    def __init__(self, title: str):
        self.title = title
        self.boxes: list[str] = []
        self.lines: list[str] = []
        self.bottom = 0.0

    def box(self, kind: str, text: str, x: float, row: float, width: float, font: int = 14):
        """A box around `(x, row)`; the text has one line or two."""
        y = middle(row)
        lines = text.split("\n")
        height = BOX if len(lines) == 1 else BOX + 8
        self.bottom = max(self.bottom, y + height / 2)
        self.boxes.append(
            f'<rect x="{x - width / 2:g}" y="{y - height / 2:g}" width="{width:g}" '
            f'height="{height}" rx="6" fill="{FILLS[kind]}"/>'
        )
        for index, line in enumerate(lines):
            baseline = y + 5 + 16 * (index - (len(lines) - 1) / 2)
            self.boxes.append(
                f'<text x="{x:g}" y="{baseline:g}" font-size="{font}" fill="#fff" '
                f'text-anchor="middle">{line}</text>'
            )

    def line(self, *points: tuple[float, float], arrow: bool = True, dashed: bool = False):
        """A line through the points, which ends in an arrow head."""
        path = "M" + " L".join(f"{x:g} {y:g}" for x, y in points)
        head = ' marker-end="url(#head)"' if arrow else ""
        dashes = ' stroke-dasharray="5 4"' if dashed else ""
        self.lines.append(f'<path d="{path}"{dashes}{head}/>')

    def down(self, x: float, row: int):
        """An arrow from the box in `row` to that in the row below."""
        self.line((x, middle(row) + BOX / 2), (x, middle(row + 1) - BOX / 2 - 2))

    def up(self, x: float, row: float, to: float):
        self.line((x, middle(row) - BOX / 2), (x, middle(to) + BOX / 2 + 2))

    def across(self, row: float, start: float, end: float, dashed: bool = False):
        """An arrow to the right, from `start` to `end`."""
        self.line((start, middle(row)), (end - 2, middle(row)), dashed=dashed)

    def label(self, text: str, x: float, row: float):
        """Text above a horizontal line."""
        y = middle(row) - 6
        self.lines.append(
            f'<text x="{x:g}" y="{y:g}" font-size="13" fill="{GREY}" stroke="none" '
            f'text-anchor="middle">{text}</text>'
        )

    def encoder(self, strides: tuple[int, ...], x: float = LEFT):
        """The image and the stages of the backbone, one below the other."""
        self.box("image", "image", x, 0, BOX_WIDTHS[1])
        for row, stride in enumerate(strides, start=1):
            self.box("encoder", f"stride {stride}", x, row, BOX_WIDTHS[stride])
            self.down(x, row - 1)

    def skip(self, stride: int, row: int, dashed: bool = False):
        """The features of the encoder that the decoder reads at the same resolution."""
        half = BOX_WIDTHS[stride] / 2
        self.across(row, LEFT + half, RIGHT - half, dashed)

    def logits(self, x: float, row: float):
        self.box("decoder", "logits, resized", x, row, BOX_WIDTHS[1])

    def save(self, name: str):
        y = self.bottom + 26
        legend = "".join(
            f'<rect x="{x}" y="{y - 10:g}" width="12" height="12" rx="3" fill="{FILLS[kind]}"/>'
            f'<text x="{x + 18}" y="{y:g}" font-size="13" fill="{GREY}">{kind}</text>'
            for kind, x in (("encoder", 92), ("decoder", 196))
        )
        height = y + 12
        text = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
            f'width="{WIDTH}" height="{height:g}" font-family="system-ui, sans-serif" role="img">\n'
            f"<title>{self.title}</title>\n"
            '<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" '
            'markerHeight="8" markerUnits="userSpaceOnUse" orient="auto">'
            f'<path d="M0 0 L8 4 L0 8 z" fill="{GREY}"/></marker></defs>\n'
            f'<g fill="none" stroke="{GREY}" stroke-width="1.6">\n'
            + "\n".join(self.lines)
            + "\n</g>\n"
            + "\n".join(self.boxes)
            + f"\n{legend}\n</svg>\n"
        )
        (FOLDER / f"{name}.svg").write_text(text, encoding="utf-8")


def middle(row: float) -> float:
    """The middle of a row, from the top."""
    return 22 + ROW * row


def unet():
    figure = Figure("U-Net")
    figure.encoder((2, 4, 8, 16, 32))
    for stride, row in ((16, 4), (8, 3), (4, 2)):
        figure.box("decoder", f"join, 3 {TIMES} 3", RIGHT, row, BOX_WIDTHS[stride])
        figure.skip(stride, row)
    figure.line(
        (LEFT + BOX_WIDTHS[32] / 2, middle(5)),
        (RIGHT, middle(5)),
        (RIGHT, middle(4) + BOX / 2 + 2),
    )
    figure.up(RIGHT, 4, 3)
    figure.up(RIGHT, 3, 2)
    figure.up(RIGHT, 2, 0)
    figure.logits(RIGHT, 0)
    figure.save("unet")


def fcn():
    figure = Figure("FCN-8")
    figure.encoder((2, 4, 8, 16, 32))
    for stride, row in ((32, 5), (16, 4), (8, 3)):
        text = "scores" if stride == 32 else "add scores"
        figure.box("decoder", text, RIGHT, row, BOX_WIDTHS[stride])
        figure.skip(stride, row)
    figure.up(RIGHT, 5, 4)
    figure.up(RIGHT, 4, 3)
    figure.up(RIGHT, 3, 0)
    figure.logits(RIGHT, 0)
    figure.save("fcn")


def segnet():
    figure = Figure("SegNet")
    figure.encoder((2, 4, 8, 16))
    width = 116
    for stride, row in ((8, 3), (4, 2)):
        start, end = LEFT + BOX_WIDTHS[stride] / 2, RIGHT - width / 2
        figure.box("decoder", f"unpool, 3 {TIMES} 3", RIGHT, row, width)
        figure.across(row, start, end, dashed=True)
        figure.label("indices", (start + end) / 2 - 2, row)
    figure.line(
        (LEFT + BOX_WIDTHS[16] / 2, middle(4)),
        (RIGHT, middle(4)),
        (RIGHT, middle(3) + BOX / 2 + 2),
    )
    figure.up(RIGHT, 3, 2)
    figure.up(RIGHT, 2, 0)
    figure.logits(RIGHT, 0)
    figure.save("segnet")


def branches(
    figure: Figure,
    texts: list[str],
    source: tuple[float, float],
    row: float,
    span: tuple[float, float],
    gap: float = 7,
) -> float:
    """Parallel branches side by side in `row`, which read the box above at `(x, row)` of `source`.

    The lines to the branches share a rail above them, and the lines from them one below: arrows
    that all meet in one point are hard to tell apart. Returns the height of the rail below.
    """
    first, last = span
    width = (last - first - gap * (len(texts) - 1)) / len(texts)
    places = [first + width / 2 + index * (width + gap) for index in range(len(texts))]
    tall = max(BOX if "\n" not in text else BOX + 8 for text in texts)
    above, below = middle(row) - tall / 2 - 14, middle(row) + tall / 2 + 12
    x, source_row = source
    figure.line((x, middle(source_row) + BOX / 2), (x, above), arrow=False)
    ends = [*places, x]
    figure.line((min(ends), above), (max(ends), above), arrow=False)
    figure.line((places[0], below), (places[-1], below), arrow=False)
    for x, text in zip(places, texts, strict=True):
        half = (BOX if "\n" not in text else BOX + 8) / 2
        figure.box("decoder", text, x, row, width, font=13)
        figure.line((x, above), (x, middle(row) - half - 2))
        figure.line((x, middle(row) + half), (x, below), arrow=False)
    return below


def pspnet():
    figure = Figure("PSPNet")
    figure.encoder((2, 4, 8), x=CENTER)
    figure.box("encoder", "stride 8, dilated", CENTER, 4, 126)
    figure.down(CENTER, 3)
    cells = [f"{n} {TIMES} {n}\ncells" for n in (1, 2, 3, 6)]
    below = branches(figure, cells, (CENTER, 4), 5.3, (8, 352), gap=16)
    figure.box("decoder", "join", CENTER, 6.6, BOX_WIDTHS[8])
    # The features themselves pass between the second and the third branch.
    figure.line((CENTER, middle(4) + BOX / 2), (CENTER, middle(6.6) - BOX / 2 - 2))
    assert below < middle(6.6) - BOX / 2
    figure.line((CENTER, middle(6.6) + BOX / 2), (CENTER, middle(7.6) - BOX / 2 - 2))
    figure.logits(CENTER, 7.6)
    figure.save("pspnet")


def deeplabv3_plus():
    figure = Figure("DeepLabV3+")
    figure.encoder((2, 4, 8, 16))
    texts = [f"1 {TIMES} 1", "rate\n6", "rate\n12", "rate\n18", "image\nmean"]
    first, last, lane = 8, 312, 338
    below = branches(figure, texts, (LEFT, 4), 5.3, (first, last))
    center = (first + last) / 2
    figure.box("decoder", "join", center, 6.6, BOX_WIDTHS[16])
    figure.line((center, below), (center, middle(6.6) - BOX / 2 - 2))
    # From there up to stride 4, beside the branches.
    figure.line(
        (center + BOX_WIDTHS[16] / 2, middle(6.6)),
        (lane, middle(6.6)),
        (lane, middle(2) + BOX / 2 + 2),
    )
    width = 150
    figure.box("decoder", f"join, 3 {TIMES} 3 twice", RIGHT, 2, width)
    figure.across(2, LEFT + BOX_WIDTHS[4] / 2, RIGHT - width / 2)
    figure.line((RIGHT, middle(2) - BOX / 2), (RIGHT, middle(0) + BOX / 2 + 2))
    figure.logits(RIGHT, 0)
    figure.save("deeplabv3_plus")


def fpn():
    figure = Figure("FPN")
    left, pyramid, decoder, rail = 79, 192, 293, 352
    figure.encoder((2, 4, 8, 16, 32), x=left)
    for stride, row, times in ((32, 5, 3), (16, 4, 2), (8, 3, 1), (4, 2, 1)):
        text = f"1 {TIMES} 1" if stride == 32 else "add"
        figure.box("decoder", text, pyramid, row, 60)
        figure.across(row, left + BOX_WIDTHS[stride] / 2, pyramid - 30)
        if stride < 32:
            figure.up(pyramid, row + 1, row)
        number = {1: "", 2: "two ", 3: "three "}[times]
        figure.box("decoder", f"{number}3 {TIMES} 3", decoder, row, 96, font=13)
        figure.across(row, pyramid + 30, decoder - 48)
        figure.line((decoder + 48, middle(row)), (rail, middle(row)), arrow=False)
    figure.line((rail, middle(5)), (rail, middle(1)), (decoder + 32, middle(1)))
    figure.box("decoder", "sum", decoder, 1, 60)
    figure.up(decoder, 1, 0)
    figure.box("decoder", "logits, resized", decoder, 0, 120)
    figure.save("fpn")


def linknet():
    figure = Figure("LinkNet")
    figure.encoder((2, 4, 8, 16, 32))
    for stride, row in ((16, 4), (8, 3), (4, 2)):
        figure.box("decoder", "upsample, add", RIGHT, row, 120)
        figure.across(row, LEFT + BOX_WIDTHS[stride] / 2, RIGHT - 60)
    figure.line(
        (LEFT + BOX_WIDTHS[32] / 2, middle(5)),
        (RIGHT, middle(5)),
        (RIGHT, middle(4) + BOX / 2 + 2),
    )
    figure.up(RIGHT, 4, 3)
    figure.up(RIGHT, 3, 2)
    figure.box("decoder", f"3 {TIMES} 3", RIGHT, 1, BOX_WIDTHS[4])
    figure.up(RIGHT, 2, 1)
    figure.up(RIGHT, 1, 0)
    figure.logits(RIGHT, 0)
    figure.save("linknet")


def lraspp():
    figure = Figure("LR-ASPP")
    figure.encoder((2, 4, 8, 16))
    first, last, lane = 8, 230, RIGHT
    texts = [f"1 {TIMES} 1", "image mean,\nsigmoid"]
    below = branches(figure, texts, (LEFT, 4), 5.3, (first, last), gap=16)
    center = (first + last) / 2
    figure.box("decoder", "multiply", center, 6.6, BOX_WIDTHS[16])
    figure.line((center, below), (center, middle(6.6) - BOX / 2 - 2))
    figure.line(
        (center + BOX_WIDTHS[16] / 2, middle(6.6)),
        (lane, middle(6.6)),
        (lane, middle(3) + BOX / 2 + 2),
    )
    figure.box("decoder", "add scores", RIGHT, 3, BOX_WIDTHS[8])
    figure.skip(8, 3)
    figure.up(RIGHT, 3, 0)
    figure.logits(RIGHT, 0)
    figure.save("lraspp")


def icon():
    """A paw in the colour of the encoder, for the tab of the browser."""
    toes = ((12, 27, 5), (25, 14, 6), (39, 14, 6), (52, 27, 5))
    ellipses = "".join(
        f'<ellipse cx="{x}" cy="{y}" rx="{r}" ry="{1.35 * r:g}"/>' for x, y, r in toes
    )
    pad = "M32 28c9 0 19 13 19 21 0 6-5 8-9 8-4 0-6-2-10-2s-6 2-10 2c-4 0-9-2-9-8 0-8 10-21 19-21z"
    text = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64" '
        f'fill="{FILLS["encoder"]}">{ellipses}<path d="{pad}"/></svg>\n'
    )
    (FOLDER / "favicon.svg").write_text(text, encoding="utf-8")


def main():
    """Draws all figures."""
    bare_parser(__doc__).parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    for draw in (unet, fcn, segnet, pspnet, deeplabv3_plus, fpn, linknet, lraspp, icon):
        draw()


if __name__ == "__main__":
    main()
