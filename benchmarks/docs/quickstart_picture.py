"""Draws the picture of the README's quick start into docs/figures, from what it wrote.

python examples/quickstart.py
python -m benchmarks.docs.quickstart_picture quickstart
"""

from pathlib import Path

from PIL import Image

from benchmarks.common import bare_parser
from petseg_runtime.atomic_files import whole_file

ROOT = Path(__file__).parents[2]
GAP = 8


def main() -> None:
    """Draws the photo, its overlay and its cut-out side by side."""
    parser = bare_parser(__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    photo = Image.open(ROOT / "examples" / "chelsea.png").convert("RGB")
    others = [Image.open(folder / f"chelsea_{kind}.png") for kind in ("overlay", "cutout")]
    picture = Image.new("RGBA", (3 * photo.width + 2 * GAP, photo.height))
    for column, tile in enumerate((photo, *others)):
        picture.paste(tile, (column * (photo.width + GAP), 0))
    with whole_file(ROOT / "docs" / "figures" / "chelsea.webp") as part:
        picture.save(part, "webp", quality=85)


if __name__ == "__main__":
    main()
