"""The choice of the default backbone: accuracy against the time of training and prediction.

Trains U-Net and DeepLabV3+ from ImageNet weights on MobileNetV2 and EfficientNet-Lite0, 1 and 2 at
224 x 224 on Oxford-IIIT Pet, with strong augmentation, one epoch with the encoder frozen and two of
fine-tuning. The scores are those of `recipe`. The test split is not used. Rows that are in the JSON
already are not trained again. The time for one photo is measured last, all models in turns, because
it does not depend on the weights.

    python -m benchmarks.accuracy.default_backbone --data-dir DIR --out FILE
"""

import itertools
import statistics
from typing import Any

import petseg
from benchmarks.accuracy.benchmark import latencies
from benchmarks.accuracy.recipe import Change, train
from benchmarks.common import Record, argument_parser

ARCHITECTURES = ("unet", "deeplabv3_plus")
BACKBONES = ("mobilenetv2", "efficientnetlite0", "efficientnetlite1", "efficientnetlite2")
SIZE = (224, 224)
EPOCHS: dict[str, Any] = {"frozen_epochs": 1, "epochs": 2}
AUGMENT = "strong"


def main() -> None:
    """Trains the rows that are missing, then times one photo in each model."""
    args = argument_parser(__doc__, data_dir="optional").parse_args()
    settings = {"image_size": SIZE, **EPOCHS, "augment": AUGMENT, "split": "validation"}
    record = Record(args.out, {**settings, "seed": args.seed})
    pairs = {
        f"{name}-{backbone}": (name, backbone)
        for name, backbone in itertools.product(ARCHITECTURES, BACKBONES)
    }
    for name in record.missing(pairs):
        architecture, backbone = pairs[name]
        change = Change(
            architecture=architecture,
            backbone=backbone,
            image_size=SIZE,
            data={"augment": AUGMENT},
            training=EPOCHS,
        )
        scores, history = train(change, args.data_dir, args.seed)
        seconds = zip(history["stage"], history["seconds"], strict=True)
        epoch = statistics.median(value for stage, value in seconds if stage == "thawed")
        record.add(name, {**scores, "seconds_per_epoch": round(epoch, 1)})
    models = {
        name: petseg.MODELS[architecture](backbone=backbone, weights=None)
        for name, (architecture, backbone) in pairs.items()
    }
    milliseconds = latencies(models, dict.fromkeys(models, SIZE))
    record.write(milliseconds={name: round(value, 2) for name, value in milliseconds.items()})


if __name__ == "__main__":
    main()
