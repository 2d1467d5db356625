"""How far two human annotators agree: near-duplicate photos of Oxford-IIIT Pet, labelled twice.

Finds pairs of photos whose thumbnails correlate, compares their trimaps, and names the pairs of
which one photo is in the test split and one in the official training list, of which the validation
split is a part.

    python -m benchmarks.accuracy.label_agreement --data-dir DIR \
        --out docs/results/label_agreement.json
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from PIL import Image

import petseg
from benchmarks.accuracy.photo_scores import class_ious, confusion, mean_ious, scores
from benchmarks.common import argument_parser
from petseg.data import pet_examples
from petseg_runtime import overlay
from petseg_runtime.atomic_files import whole_file, write_json

THUMBNAIL = (16, 16)
CORRELATION = 0.993  # of the grey thumbnails of two photos that count as the same
SIZE = (224, 224)  # at which labels are compared, as those of the benchmark
DRAWN = 6
DRAWN_HEIGHT = 120


@dataclass(frozen=True)
class Photo:
    """A photo with its labels.

    Attributes:
        name: Name of the file.
        split: "train", "val" or "test".
        image: uint8 `(224, 224, 3)`.
        mask: uint8 `(224, 224)`.
    """

    name: str
    split: str
    image: np.ndarray
    mask: np.ndarray


def read_photos(data_dir: Path | None) -> list[Photo]:
    """Reads all photos at the size of the comparison.

    Args:
        data_dir: Folder of `tensorflow_datasets`.

    Returns:
        The photos of all splits.
    """
    photos = []
    for split, dataset in pet_examples(data_dir).items():
        for example in dataset:
            image = tf.image.resize(example["image"], SIZE, antialias=True)
            mask = tf.image.resize(example["mask"], SIZE, method="nearest")
            image, mask = tf.saturate_cast(tf.round(image), tf.uint8).numpy(), mask.numpy()[..., 0]
            photos.append(Photo(example["file_name"].numpy().decode(), split, image, mask))
    return photos


def duplicates(photos: list[Photo]) -> list[tuple[Photo, Photo, float]]:
    """Finds pairs of photos that show the same.

    Args:
        photos: The photos.

    Returns:
        The pairs and the correlation of their thumbnails, by name.
    """
    greys = [np.asarray(Image.fromarray(p.image).convert("L").resize(THUMBNAIL)) for p in photos]
    values = np.stack(greys).reshape(len(photos), -1).astype(np.float32)
    values -= values.mean(axis=1, keepdims=True)
    values /= np.linalg.norm(values, axis=1, keepdims=True) + 1e-6
    correlation = np.triu(values @ values.T, k=1)
    found = [
        (photos[i], photos[j], float(correlation[i, j]))
        for i, j in np.argwhere(correlation > CORRELATION)
    ]
    return sorted(found, key=lambda pair: pair[0].name)


def _labels(one: Photo, other: Photo) -> np.ndarray:
    return confusion(one.mask, other.mask, len(petseg.PET_CLASSES))


def record(pair: tuple[Photo, Photo, float]) -> dict[str, Any]:
    """Describes a pair.

    Args:
        pair: Two photos and their correlation.

    Returns:
        JSON types. "test" is the name of the photo in the test split, if just one is there.
    """
    one, other, correlation = pair
    crosses = (one.split == "test") != (other.split == "test")
    return {
        "photos": [one.name, other.name],
        "splits": [one.split, other.split],
        "correlation": round(correlation, 4),
        "mean_iou": round(float(mean_ious(_labels(one, other))), 4),
        "crosses": crosses,
        "test": (one if one.split == "test" else other).name if crosses else None,
    }


def figure(pairs: list[tuple[Photo, Photo, float]]) -> Image.Image:
    """Draws some pairs, one below the other, with the labels of each.

    Args:
        pairs: The pairs.

    Returns:
        The picture: thumbnails only.
    """
    side = DRAWN_HEIGHT
    picture = Image.new("RGB", (len(pairs) * (side + 8) - 8, 2 * side + 8), "white")
    for column, pair in enumerate(pairs):
        for row, photo in enumerate(pair[:2]):
            drawn = overlay(photo.image, photo.mask, class_names=petseg.PET_CLASSES, opacity=0.35)
            thumbnail = Image.fromarray(drawn).resize((side, side))
            picture.paste(thumbnail, (column * (side + 8), row * (side + 8)))
    return picture


def main() -> None:
    """Writes the record, and the figure beside it."""
    args = argument_parser(__doc__, data_dir="optional", seed=False).parse_args()
    pairs = duplicates(read_photos(args.data_dir))
    confusions = np.stack([_labels(one, other) for one, other, _ in pairs])
    iou = class_ious(confusions.sum(0))
    records = [record(pair) for pair in pairs]
    summary = {
        "settings": {"thumbnail": THUMBNAIL, "correlation": CORRELATION, "size": SIZE},
        "count": len(pairs),
        "crossing": sum(row["crosses"] for row in records),
        **{name: value for name, value in scores(confusions).items() if name != "photos"},
        "class_iou": dict(zip(petseg.PET_CLASSES, np.round(iou, 5).tolist(), strict=True)),
        "pairs": records,
    }
    write_json(args.out, summary)
    with whole_file(args.out.with_suffix(".jpg")) as part:
        step = max(1, len(pairs) // DRAWN)
        figure(pairs[::step][:DRAWN]).save(part, format="jpeg", quality=85)
    print({key: value for key, value in summary.items() if key != "pairs"})


if __name__ == "__main__":
    main()
