"""Fits the temperature of the pretrained models that have none, on the validation photos.

The temperature is added to the card of the model and to the record in its graph.

    python -m benchmarks.release.calibrate_weights --data-dir DIR
"""

import argparse
from pathlib import Path

import petseg
from benchmarks.release.pretrained_graphs import write_graph
from petseg_runtime.atomic_files import write_json
from petseg_runtime.pretrained import FOLDER, pretrained_models, read_card


def main() -> None:
    """Calibrates the models."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    for name in pretrained_models():
        card = read_card(name)
        if "temperature" in card:
            continue
        model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
        pets = petseg.load_pets(image_size=tuple(card["image_size"]), data_dir=args.data_dir)
        before = petseg.evaluate(model, pets.val).calibration_error
        temperature = petseg.calibrate(model, pets.val)
        after = petseg.evaluate(model, pets.val).calibration_error
        write_json(FOLDER / f"{name}.json", {**card, "temperature": temperature})
        write_graph(model, FOLDER / f"{name}.onnx")
        print(f"{name}: temperature {temperature}, error {before:.4f} before, {after:.4f} after")


if __name__ == "__main__":
    main()
