r"""Runtimes for a trained U-Net, beside segmentation_models_pytorch's Unet: time and scores.

Each runtime is a process of its own; they take turns. The quantized files are then evaluated on the
whole test split, as is the model; the logits of the other formats equal the model's. Image sizes
that are in the JSON already are not measured again.

    bash benchmarks/speed/make_peers.sh PEERS
    python -m benchmarks.speed.runtimes --data-dir DIR --peers PEERS \
        --out docs/results/runtimes.json
"""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import keras

import petseg
from benchmarks.common import Record, argument_parser, median, median_ratio
from benchmarks.speed.peers_speed import PEER_WORKERS, SMP, TORCH, ModelWorker, speeds_in_turns

BASE = f"{SMP} Unet, eager"
BACKBONE = "mobilenetv2"  # of both packages
SIZES, BATCHES = (128, 224), (1, 32)


def export_all(model: keras.Model, folder: Path, calibration: Any) -> tuple[Path, dict[str, Path]]:
    """Saves the model and exports it to every format.

    Args:
        model: The model.
        folder: Folder to write to.
        calibration: Batches of images for the int8 file.

    Returns:
        The Keras file, and the exported files by the name of their runtime.
    """
    keras_file = folder / "unet.keras"
    model.save(keras_file)
    return keras_file, {
        "SavedModel": petseg.export(model, folder / "saved_model"),
        "ONNX Runtime": petseg.export(model, folder / "unet.onnx"),
        "OpenVINO": petseg.export(model, folder / "unet.xml"),
        "LiteRT": petseg.export(model, folder / "unet.tflite"),
        "LiteRT, float16": petseg.export(model, folder / "half.tflite", quantize="float16"),
        "LiteRT, int8": petseg.export(
            model, folder / "int8.tflite", quantize="int8", calibration=calibration
        ),
    }


def start_workers(
    keras_file: Path, files: dict[str, Path], peers: Path, size: int
) -> dict[str, ModelWorker]:
    """Starts a process for each runtime.

    Args:
        keras_file: The saved model.
        files: The exported files.
        peers: Folder with the environments of the peers.
        size: Height and width of the images.

    Returns:
        The workers by the name of the runtime.
    """
    smp = peers / "smp" / "bin" / "python"
    onnx = keras_file.with_name(f"smp-{size}.onnx")
    subprocess.run([smp, PEER_WORKERS / "smp_to_onnx.py", onnx, str(size)], check=True)
    arguments: dict[str, tuple[str, Path]] = {
        f"{SMP} Unet, ONNX Runtime": ("bare onnx", onnx),
        **{way: (way, keras_file) for way in ("model.predict", "petseg.predict", "compiled call")},
        **{name: ("artifact", file) for name, file in files.items()},
    }
    worker = PEER_WORKERS / "runtime_worker.py"
    return {
        BASE: ModelWorker(smp, TORCH, "Unet", size=size),
        **{
            name: ModelWorker(sys.executable, worker, *words, size=size)
            for name, words in arguments.items()
        },
    }


def measure(
    workers: dict[str, ModelWorker], size: int, rounds: int, seconds: float
) -> dict[str, dict[str, Any]]:
    """Measures each runtime with single images and with batches, then stops it.

    Args:
        workers: The workers.
        size: Height and width of the images.
        rounds: Number of rounds.
        seconds: About the length of each measurement.

    Returns:
        Images per second and their ratio to the base, by runtime and batch size.
    """
    rows: dict[str, dict[str, Any]] = {name: {} for name in workers}
    for batch in BATCHES:
        speeds = speeds_in_turns(workers, ("predict", size, batch), rounds, seconds)
        for name, values in speeds.items():
            rows[name][f"batch {batch}"] = {
                "images_per_second": median(values, 1),
                "times_the_base": median_ratio(values, speeds[BASE]),
            }
    for worker in workers.values():
        worker.stop()
    return rows


def mib(path: Path) -> float:
    """Measures the size of an exported model.

    Args:
        path: A file or a folder. The weights beside an OpenVINO file count too.

    Returns:
        The size in MiB.
    """
    weights = [path.with_suffix(".bin")] if path.suffix == ".xml" else []
    parts = path.rglob("*") if path.is_dir() else [path, *weights]
    return sum(part.stat().st_size for part in parts if part.is_file()) / 2**20


def main() -> None:
    """Measures the image sizes that are missing."""
    args = argument_parser(
        __doc__, data_dir="required", peers=True, seed=False, rounds=5, seconds=1
    ).parse_args()
    model = petseg.unet(backbone=BACKBONE, weights="pets")
    record = Record(
        args.out,
        {
            "rounds": args.rounds,
            "seconds": args.seconds,
            "backbone": BACKBONE,
            "weights": "pets",
        },
        rows="speed",
        unit="images a second, median; base: " + BASE,
    )
    scores: dict[str, Any] = record.get("scores", {})
    sizes = {f"{size}x{size}": size for size in SIZES}
    for name in record.missing(sizes):
        size = sizes[name]
        pets = petseg.load_pets(image_size=(size, size), data_dir=args.data_dir)
        with tempfile.TemporaryDirectory() as folder:
            keras_file, files = export_all(model, Path(folder), pets.val)
            workers = start_workers(keras_file, files, args.peers, size)
            speeds = measure(workers, size, args.rounds, args.seconds)
            quantized = {way: file for way, file in files.items() if way.partition(", ")[2]}
            models = {
                "model.predict": model,
                **{way: petseg.Runtime(file) for way, file in quantized.items()},
            }
            scores[name] = {
                way: round(petseg.evaluate(found, pets.test).mean_iou, 4)
                for way, found in models.items()
            }
            sizes_mib = {way: round(mib(file), 2) for way, file in files.items()}
        record.write(scores=scores, mib=sizes_mib)
        record.add(name, speeds)


if __name__ == "__main__":
    main()
