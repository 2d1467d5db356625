"""Speed of each architecture beside its peers, on the same machine in one run.

Each model is a process of its own, in the environment of its own library. The processes take
turns, so that other load on the machine affects all alike. Quote the ratios. Architectures that
are in the JSON already are not measured again.

    bash benchmarks/speed/make_peers.sh PEERS
    python -m benchmarks.speed.peers_speed --peers PEERS --out docs/results/speed.json
"""

import functools
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common import (
    Record,
    Worker,
    argument_parser,
    median,
    median_ratio,
    take_turns,
)

PEER_WORKERS = Path(__file__).parent / "peers"
KERAS, TORCH = PEER_WORKERS / "keras_worker.py", PEER_WORKERS / "torch_worker.py"

# What is compared: an architecture, and its peers as name -> (environment, worker, arguments). The
# environment "" is that of petseg.
SMP = "segmentation_models_pytorch"
PEERS: dict[str, dict[str, tuple[str, Path, list[str]]]] = {
    "unet": {
        f"{SMP} Unet, eager": ("smp", TORCH, ["Unet"]),
        f"{SMP} Unet, compiled": ("smp", TORCH, ["Unet", "--compile"]),
        "textbook U-Net, Keras": ("", KERAS, ["textbook:unet"]),
    },
    "fcn8": {"textbook FCN-8, Keras": ("", KERAS, ["textbook:fcn8"])},
    "segnet": {"textbook SegNet, Keras": ("", KERAS, ["textbook:segnet"])},
    "pspnet": {f"{SMP} PSPNet, eager": ("smp", TORCH, ["PSPNet"])},
    "deeplabv3": {
        f"{SMP} DeepLabV3, eager": ("smp", TORCH, ["DeepLabV3"]),
        "keras-hub DeepLabV3 (ResNet-18)": ("keras_hub", KERAS, ["keras_hub:deeplabv3"]),
    },
    "deeplabv3_plus": {f"{SMP} DeepLabV3Plus, eager": ("smp", TORCH, ["DeepLabV3Plus"])},
    "fpn": {f"{SMP} FPN, eager": ("smp", TORCH, ["FPN"])},
    "linknet": {f"{SMP} Linknet, eager": ("smp", TORCH, ["Linknet"])},
}

Case = tuple[str, int, int]  # task, image size, batch size
CASES: list[Case] = [
    (task, size, batch)
    for size in (128, 224)
    for task, batch in (("frozen", 32), ("full", 32), ("predict", 32), ("predict", 1))
]


class ModelWorker(Worker):
    """A process that has built its model and predicted one image.

    `first_prediction_seconds` is the time from its start until then, `peak_mib` its peak memory so
    far.

    Args:
        *command: Program and arguments.
        size: Height and width of that image.
    """

    def __init__(self, *command: str | Path, size: int = 224):
        start = time.perf_counter()
        super().__init__(*command)
        self.peak_mib = 0
        self.seconds(("predict", size, 1), 1)
        self.first_prediction_seconds = time.perf_counter() - start

    def seconds(self, case: Case, steps: int) -> float:
        """Measures one case.

        Args:
            case: Task, image size and batch size.
            steps: Number of batches.

        Returns:
            The seconds that they take.
        """
        task, size, batch = case
        answer = self.ask(task=task, size=size, batch=batch, steps=steps)
        self.peak_mib = answer["peak_mib"]
        return float(answer["seconds"])


def speeds_in_turns(
    workers: Mapping[str, ModelWorker], case: Case, rounds: int, seconds: float
) -> dict[str, list[float]]:
    """Measures one case of each worker, round after round.

    Args:
        workers: The workers.
        case: Task, image size and batch size.
        rounds: Number of rounds.
        seconds: About the length of each measurement.

    Returns:
        Images per second of each worker, one value a round.
    """
    steps = {}
    for name, worker in workers.items():
        worker.seconds(case, 1)  # traces, compiles
        steps[name] = max(1, round(seconds / (worker.seconds(case, 2) / 2)))
    times = take_turns(
        {
            name: functools.partial(worker.seconds, case, steps[name])
            for name, worker in workers.items()
        },
        rounds,
    )
    return {
        name: [steps[name] * case[2] / value for value in values] for name, values in times.items()
    }


def compare(architecture: str, folder: Path, rounds: int, seconds: float) -> dict[str, Any]:
    """Measures an architecture and its peers.

    Args:
        architecture: Key of `PEERS`.
        folder: Folder with the environments of the peers.
        rounds: Number of rounds.
        seconds: About the length of each measurement.

    Returns:
        Medians of images per second, petseg's ratio to each peer, and the versions.
    """
    workers = {"petseg": ModelWorker(sys.executable, KERAS, f"petseg:{architecture}")}
    for name, (home, worker, arguments) in PEERS[architecture].items():
        python = folder / home / "bin" / "python" if home else sys.executable
        workers[name] = ModelWorker(python, worker, *arguments)
    rows: dict[str, dict[str, Any]] = {}
    versions: dict[str, str] = {}
    for name, process in workers.items():
        rows[name] = {
            "parameters": process.about["parameters"],
            "import_seconds": round(process.about["import_seconds"], 2),
            "first_prediction_seconds": round(process.first_prediction_seconds, 2),
        }
        versions |= process.about["versions"]
    for case in CASES:
        speeds = speeds_in_turns(workers, case, rounds, seconds)
        task, size, batch = case
        key = f"{task}, {size}x{size}, batch {batch}"
        for name, values in speeds.items():
            rows[name][key] = {"images_per_second": median(values, 1)}
            if name != "petseg":
                rows[name][key]["petseg_is_faster_by"] = median_ratio(speeds["petseg"], values)
        print(architecture, key, {name: row[key] for name, row in rows.items()}, flush=True)
    for name, process in workers.items():
        rows[name]["peak_mib"] = process.peak_mib
        process.stop()
    return {"rounds": rounds, "seconds": seconds, "rows": rows, "versions": versions}


def main() -> None:
    """Measures the architectures that are missing."""
    parser = argument_parser(__doc__, peers=True, seed=False, rounds=5, seconds=3)
    parser.add_argument("--models", nargs="*", default=list(PEERS), choices=list(PEERS))
    args = parser.parse_args()
    record = Record(
        args.out,
        {"backbone": "mobilenetv2", "seed": 0},  # the workers' seed
        rows="results",
        unit="images a second, median; petseg's ratio to the peer, median over the rounds",
    )
    for architecture in record.missing(args.models):
        record.add(architecture, compare(architecture, args.peers, args.rounds, args.seconds))


if __name__ == "__main__":
    main()
