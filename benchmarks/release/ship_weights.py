"""Puts the model of a finished training into the package, for `weights="pets"`.

The weights ship in half precision, rounded to 8 bits of mantissa. The scores in their card are
those of the weights that ship.

    python -m benchmarks.release.ship_weights runs/unet --data-dir DIR
"""

import json
from pathlib import Path

import keras

import petseg
from benchmarks.accuracy.result_rows import weights_of_any_machine
from benchmarks.common import bare_parser
from benchmarks.release.pretrained_graphs import write_graph
from petseg.experiment import Result, RunFiles
from petseg.pretrained import SHIPPED_BITS, half_precision, ship
from petseg_runtime.pretrained import FOLDER


def main() -> None:
    """Evaluates the weights in half precision and ships them."""
    parser = bare_parser(__doc__)
    parser.add_argument("run", type=Path, help="folder of a complete run")
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    result = Result.load(args.run)
    settings = result.settings
    model = keras.models.load_model(RunFiles(args.run).model)
    model.set_weights(half_precision(model.get_weights(), SHIPPED_BITS))
    pets = petseg.load_pets(
        image_size=settings.image_size, data_dir=args.data_dir, seed=settings.seed
    )
    temperature = petseg.calibrate(model, pets.val)
    scores = {
        "validation": petseg.evaluate(model, pets.val),
        "test": petseg.evaluate(model, pets.test),
    }
    card = {
        "architecture": settings.architecture,
        "backbone": settings.backbone,
        "class_names": pets.class_names,
        "image_size": settings.image_size,
        "temperature": temperature,
        "data": "Oxford-IIIT Pet (Parkhi et al., CVPR 2012), CC BY-SA 4.0",
        "licence": "Apache-2.0",
        "how_trained": {**settings.to_dict(), "weights": weights_of_any_machine(settings.weights)},
        "environment": result.environment,
        **{split: json.loads(evaluation.to_json()) for split, evaluation in scores.items()},
    }
    ship(model, card)
    path = FOLDER / f"{settings.architecture}-{settings.backbone}.onnx"
    write_graph(
        petseg.MODELS[settings.architecture](backbone=settings.backbone, weights="pets"), path
    )
    shipped, trained = scores["test"].mean_iou, result.test.mean_iou
    print(f"mean IoU {shipped:.4f} in half precision, {trained:.4f} as trained")


if __name__ == "__main__":
    main()
