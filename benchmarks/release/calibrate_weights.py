"""Adds what was measured on validation to the records of the pretrained models.

The temperature of those that have none is fitted; where a closer look pays is what
`benchmarks.accuracy.closer_look` found. Both are added to the card of the model and to the record
in its graph.

    python -m benchmarks.release.calibrate_weights --data-dir DIR
"""

import argparse
import json
from pathlib import Path

import keras

import petseg
from benchmarks.common import RESULTS
from benchmarks.release.pretrained_graphs import write_graph
from petseg_runtime.atomic_files import write_json
from petseg_runtime.pretrained import FOLDER, pretrained_models, read_card


def main() -> None:
    """Updates the models."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data-dir", type=Path)
    args = parser.parse_args()
    looks = json.loads((RESULTS / "closer_look.json").read_text(encoding="utf-8"))["rows"]
    for name in pretrained_models():
        card = read_card(name)
        measured = {**card, "closer_look_below": looks.get(name, {}).get("chosen", 0.0)}
        if "temperature" not in card:
            measured["temperature"] = calibrated(name, args.data_dir)
        if measured != card:
            write_json(FOLDER / f"{name}.json", measured)
            write_graph(model_of(name), FOLDER / f"{name}.onnx")


def calibrated(name: str, data_dir: Path | None) -> float:
    """Fits the temperature of a model.

    Args:
        name: Name of a pretrained model.
        data_dir: Folder of `tensorflow_datasets`.

    Returns:
        The temperature.
    """
    model = model_of(name)
    pets = petseg.load_pets(image_size=tuple(read_card(name)["image_size"]), data_dir=data_dir)
    before = petseg.evaluate(model, pets.val).calibration_error
    temperature = petseg.calibrate(model, pets.val)
    after = petseg.evaluate(model, pets.val).calibration_error
    print(f"{name}: temperature {temperature}, error {before:.4f} before, {after:.4f} after")
    return temperature


def model_of(name: str) -> keras.Model:
    """Builds a pretrained model in Keras."""
    card = read_card(name)
    return petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")


if __name__ == "__main__":
    main()
