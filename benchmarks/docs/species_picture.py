"""Draws the picture of photos labelled with their species into docs/figures.

    python -m benchmarks.docs.species_picture --data-dir DIR

It is the sheet that `petseg data --sheet` draws, of photos of the validation split.
"""

from pathlib import Path

from benchmarks.accuracy.few_labels import CLASSES, species_masks
from benchmarks.common import bare_parser
from petseg.data import pet_examples
from petseg.data.pipeline import Batching
from petseg.data.splits import make_splits
from petseg.mask_grid import sample_grid
from petseg_runtime.atomic_files import whole_file

FIGURES = Path(__file__).parents[2] / "docs" / "figures"
SIZE = (224, 224)
DPI = 100


def main() -> None:
    """Draws the picture."""
    parser = bare_parser(__doc__)
    parser.add_argument(
        "--data-dir", type=Path, help="folder of tensorflow_datasets with Oxford-IIIT Pet"
    )
    examples = pet_examples(parser.parse_args().data_dir)
    labelled = {split: species_masks(part) for split, part in examples.items()}
    splits = make_splits(labelled, CLASSES, None, Batching(SIZE, 8, False, 0))
    figure = sample_grid(splits.val, CLASSES)
    with whole_file(FIGURES / "species.webp") as part:
        figure.savefig(part, dpi=DPI, format="webp", pil_kwargs={"quality": 85})


if __name__ == "__main__":
    main()
