"""How much masks of a video flicker, with and without the average over frames.

A clip is a photo seen through a window that moves over it, as by a hand-held camera, with new
noise and compression artefacts in each frame. The true mask moves with it, so that a mask can be
scored in each frame.

    python -m benchmarks.accuracy.flicker --data-dir DIR --out docs/results/flicker.json
"""

import io
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

import petseg
from benchmarks.accuracy.photo_scores import confusion, mean_ious
from benchmarks.common import Record, argument_parser
from petseg.data import pet_examples
from petseg_runtime.pretrained import full_name

PHOTOS, FRAMES = 24, 24
WINDOW = 0.75  # sides of the window, as a part of the photo's
PERIODS = np.array([61.0, 97.0])  # frames after which the window is back, down and across
NOISE = 6.0  # standard deviation in grey levels
QUALITY = 60  # of JPEG
KEPT = (0.0, 0.5, 0.7, 0.8, 0.9)

Frame = tuple[np.ndarray, np.ndarray]


def clip(photo: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> Iterator[Frame]:
    """Moves a window over a photo.

    Args:
        photo: RGB `(H, W, 3)`.
        mask: Its classes `(H, W)`.
        rng: Where the motion begins, and the noise.

    Yields:
        The pixels and the classes in the window.
    """
    size = np.round(WINDOW * np.array(mask.shape)).astype(int)
    start = rng.uniform(0, 2 * np.pi, 2)
    for frame in range(FRAMES):
        phase = np.sin(start + 2 * np.pi * frame / PERIODS)
        top, left = np.round((mask.shape - size) * (1 + phase) / 2).astype(int)
        window = slice(top, top + size[0]), slice(left, left + size[1])
        noisy = photo[window] + rng.normal(0, NOISE, (*size, 3))
        stored = io.BytesIO()
        pixels = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(stored, "JPEG", quality=QUALITY)
        yield np.asarray(Image.open(stored)), mask[window]


def score(model: petseg.Runtime, clips: list[list[Frame]], kept: float) -> dict[str, float]:
    """Scores the masks of clips.

    Args:
        model: The model.
        clips: The frames of each clip.
        kept: Weight of the frames before.

    Returns:
        The mean IoU of all frames, and the share of the pixels that change their class from one
        frame to the next though the true class there stays.
    """
    total = np.zeros((len(petseg.PET_CLASSES),) * 2, np.int64)
    changed = still = 0
    for frames in clips:
        found = list(model.predictor().frames((pixels for pixels, _ in frames), kept))
        truths = [truth for _, truth in frames]
        for mask, truth in zip(found, truths, strict=True):
            total += confusion(truth, mask, len(petseg.PET_CLASSES))
        for one, other in itertools.pairwise(zip(found, truths, strict=True)):
            same = one[1] == other[1]
            still += int(same.sum())
            changed += int((one[0] != other[0])[same].sum())
    return {"mean_iou": round(float(mean_ious(total)), 4), "flicker": round(changed / still, 5)}


def main() -> None:
    """Scores each weight that is missing."""
    parser = argument_parser(__doc__, data_dir="required")
    args = parser.parse_args()
    name = full_name("unet")
    model = petseg.Runtime.pretrained(name)
    rng = np.random.default_rng(args.seed)
    examples = itertools.islice(
        pet_examples(Path(args.data_dir))["val"].as_numpy_iterator(), PHOTOS
    )
    clips = [list(clip(each["image"], each["mask"][..., 0], rng)) for each in examples]
    settings = {"model": name, "split": "val", "clips": PHOTOS, "frames": FRAMES, "seed": args.seed}
    record = Record(args.out, settings, rows="kept")
    for kept in record.missing(map(str, KEPT)):
        record.add(kept, score(model, clips, float(kept)))


if __name__ == "__main__":
    main()
