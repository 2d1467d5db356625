"""Draws the picture of cut-outs into docs/figures: four photos, with each kind of edges.

python -m benchmarks.docs.cutout_picture --data-dir DIR
"""

from pathlib import Path

import numpy as np
from PIL import Image

import petseg
from benchmarks.common import bare_parser
from petseg.data import pet_examples
from petseg_runtime.alpha import EDGES
from petseg_runtime.atomic_files import whole_file

FIGURE = Path(__file__).parents[2] / "docs" / "figures" / "cutouts.webp"
PHOTOS = ("samoyed_55", "keeshond_88", "Ragdoll_252", "Maine_Coon_56")
HEIGHT, WIDTH, GAP = 200, 240, 6
BEHIND = (96, 150, 120)  # shows bright and dark hair


def main() -> None:
    """Draws the picture."""
    parser = bare_parser(__doc__)
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    model = petseg.Runtime.pretrained()
    found = {
        Path(example["file_name"].decode()).stem: example["image"]
        for example in pet_examples(args.data_dir)["test"].as_numpy_iterator()
        if Path(example["file_name"].decode()).stem in PHOTOS
    }
    columns = len(EDGES) + 1
    picture = Image.new("RGBA", (columns * (WIDTH + GAP) - GAP, len(PHOTOS) * (HEIGHT + GAP) - GAP))
    for row, name in enumerate(PHOTOS):
        photo = found[name]
        mask = model.predict(photo)
        behind = np.full_like(photo, BEHIND)
        cuts = [
            petseg.cutout(photo, mask, class_names=model.class_names, edges=edges, onto=behind)
            for edges in EDGES
        ]
        for column, image in enumerate((photo, *cuts)):
            tile = Image.fromarray(image)
            scale = max(WIDTH / tile.width, HEIGHT / tile.height)
            tile = tile.resize((round(scale * tile.width), round(scale * tile.height)))
            left, top = (tile.width - WIDTH) // 2, (tile.height - HEIGHT) // 3
            tile = tile.crop((left, top, left + WIDTH, top + HEIGHT))
            picture.paste(tile, (column * (WIDTH + GAP), row * (HEIGHT + GAP)))
    with whole_file(FIGURE) as part:
        picture.save(part, "webp", quality=85)


if __name__ == "__main__":
    main()
