"""Every way to run a trained U-Net, beside segmentation_models_pytorch's: time and scores.

Each way is a process of its own; they take turns, round after round. Then the quantized artifacts
are scored on the whole test split, as the model was: the logits of the others are the model's.

    bash benchmarks/make_peers.sh PEERS
    python benchmarks/runtimes.py --data-dir DIR --peers PEERS --out docs/results/runtimes.json
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from speed import HERE, Process, take_turns

import petseg
from petseg.environment import environment
from petseg.atomic_files import write_json

RUNTIME = HERE / "peers" / "runtime_worker.py"
TORCH = HERE / "peers" / "torch_worker.py"
SMP = "segmentation_models_pytorch"
BASE = f"{SMP} Unet, eager"
SIZES, BATCHES = (128, 224), (1, 32)


def artifacts(model, folder: Path, data_dir: Path, size: int) -> dict[str, Path]:
    """The model in each format, int8 for the images of one size."""
    pets = petseg.load_pets(image_size=(size, size), data_dir=data_dir)
    unet = folder / "unet"
    model.save(unet.with_suffix(".keras"))
    return {
        "SavedModel": petseg.export(model, folder / "saved_model"),
        "ONNX Runtime": petseg.export(model, unet.with_suffix(".onnx")),
        "OpenVINO": petseg.export(model, unet.with_suffix(".xml")),
        "LiteRT": petseg.export(model, unet.with_suffix(".tflite")),
        "LiteRT, float16": petseg.export(model, folder / "half.tflite", quantize="float16"),
        "LiteRT, int8": petseg.export(
            model, folder / "int8.tflite", quantize="int8", calibration=pets.val
        ),
    }


def ways(files: dict[str, Path], folder: Path, peers: Path, size: int) -> dict[str, Process]:
    """A process for each way; those of one size alone for `size`."""
    python, smp = sys.executable, str(peers / "smp" / "bin" / "python")
    keras_file = str(folder / "unet.keras")
    onnx = folder / f"smp-{size}.onnx"
    subprocess.run([smp, HERE / "peers" / "smp_to_onnx.py", onnx, str(size)], check=True)
    workers = {
        f"{SMP} Unet, ONNX Runtime": ["bare onnx", str(onnx)],
        **{way: [way, keras_file] for way in ("model.predict", "petseg.predict", "compiled call")},
        **{name: ["artifact", str(file)] for name, file in files.items()},
    }
    return {
        BASE: Process(smp, TORCH, ["Unet"], size),
        **{name: Process(python, RUNTIME, words, size) for name, words in workers.items()},
    }


def measure(processes: dict[str, Process], size: int, rounds: int, seconds: float) -> dict:
    """Milliseconds of one image, images a second of 32, and both as multiples of the base."""
    rows: dict[str, dict] = {name: {} for name in processes}
    for batch in BATCHES:
        speeds = take_turns(processes, ("predict", size, batch), rounds, seconds)
        for name, values in speeds.items():
            ratios = [value / base for value, base in zip(values, speeds[BASE], strict=True)]
            rows[name][f"batch {batch}"] = {
                "images_per_second": round(statistics.median(values), 1),
                "times_the_base": round(statistics.median(ratios), 2),
            }
            print(size, name, rows[name][f"batch {batch}"], flush=True)
    for process in processes.values():
        process.stop()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--peers", type=Path, required=True, help="the folder of make_peers.sh")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1, help="of each measurement")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    model = petseg.unet(weights="pets")
    record = {
        "unit": "images a second, median; base: " + BASE,
        "settings": {"rounds": args.rounds, "seconds": args.seconds, "weights": "pets"},
        "environment": environment(),
        "speed": {},
        "scores": {},
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size in SIZES:
            files = artifacts(model, folder, args.data_dir, size)
            processes = ways(files, folder, args.peers, size)
            record["speed"][f"{size}x{size}"] = measure(processes, size, args.rounds, args.seconds)
            pets = petseg.load_pets(image_size=(size, size), data_dir=args.data_dir)
            quantized = {way: f for way, f in files.items() if way.partition(", ")[2]}
            networks = {"model.predict": model}
            networks |= {way: petseg.Runtime(f) for way, f in quantized.items()}
            record["scores"][f"{size}x{size}"] = {
                way: round(petseg.evaluate(network, pets.test).mean_iou, 4)
                for way, network in networks.items()
            }
            record["mib"] = {way: round(mib(f), 2) for way, f in files.items()}
            args.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(args.out, record)


def mib(path: Path) -> float:
    """The size of a file, with the weights that OpenVINO puts beside it, or of a folder."""
    weights = [path.with_suffix(".bin")] if path.suffix == ".xml" else []
    parts = path.rglob("*") if path.is_dir() else [path, *weights]
    return sum(part.stat().st_size for part in parts if part.is_file()) / 2**20


if __name__ == "__main__":
    main()
