"""Scores the pretrained models on whole photos, and on photos of small and several animals.

On the test split: mean IoU with a 95% interval by bootstrap over photos, accuracy, the IoU with the
border counted as pet, and the same without the photos that have a near-duplicate in the official
training list. On the composed photos of `ordinary_photos`: the same. The models run in ONNX
Runtime.

    python -m benchmarks.accuracy.pretrained_scores --data-dir DIR \
        --out docs/results/pretrained.json
"""

import petseg
from benchmarks.accuracy.ordinary_photos import SEED, scenes
from benchmarks.accuracy.photo_scores import score
from benchmarks.common import Record, argument_parser
from petseg_runtime.pretrained import pretrained_models, read_card


def main() -> None:
    """Scores the models that are missing."""
    args = argument_parser(__doc__, data_dir="required", seed=False).parse_args()
    record = Record(args.out, {"seed_of_composed_photos": SEED})
    composed = scenes(args.data_dir)
    for name in record.missing(pretrained_models()):
        height, width = read_card(name)["image_size"]
        model = petseg.Runtime.pretrained(name)
        record.add(name, score(model, (height, width), args.data_dir, composed))


if __name__ == "__main__":
    main()
