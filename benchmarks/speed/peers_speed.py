"""Speed of each architecture beside what one would use instead, on the same machine in one run.

Every model is a process of its own, in the environment of its own library; they take turns, round
after round, so that what the machine does beside weighs on all alike. Quote the ratios. A model
whose record is in the JSON already is not measured again.

    bash benchmarks/make_peers.sh PEERS
    python benchmarks/speed.py --peers PEERS --out docs/results/speed.json
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from petseg.environment import environment
from petseg.atomic_files import write_json

HERE = Path(__file__).parent
WORKERS = {"keras": HERE / "peers" / "keras_worker.py", "torch": HERE / "peers" / "torch_worker.py"}

# What is compared: a petseg model, and its peers as name -> (environment, worker, its arguments).
SMP = "segmentation_models_pytorch"
COMPARISONS = {
    "unet": {
        f"{SMP} Unet, eager": ("smp", "torch", ["Unet"]),
        f"{SMP} Unet, compiled": ("smp", "torch", ["Unet", "--compile"]),
        "textbook U-Net, Keras": ("", "keras", ["textbook:unet"]),
    },
    "fcn8": {"textbook FCN-8, Keras": ("", "keras", ["textbook:fcn8"])},
    "segnet": {"textbook SegNet, Keras": ("", "keras", ["textbook:segnet"])},
    "pspnet": {f"{SMP} PSPNet, eager": ("smp", "torch", ["PSPNet"])},
    "deeplabv3": {
        f"{SMP} DeepLabV3, eager": ("smp", "torch", ["DeepLabV3"]),
        "keras-hub DeepLabV3 (ResNet-18)": ("keras_hub", "keras", ["keras_hub:deeplabv3"]),
    },
    "deeplabv3_plus": {f"{SMP} DeepLabV3Plus, eager": ("smp", "torch", ["DeepLabV3Plus"])},
}

# task, image size, batch size
CASES = [
    (task, size, batch)
    for size in (128, 224)
    for task, batch in (("frozen", 32), ("full", 32), ("predict", 32), ("predict", 1))
]


class Process:
    """A worker, ready to time its model: it has predicted one image of `size`."""

    def __init__(self, python: str, worker: Path, arguments: list[str], size: int = 224):
        start = time.perf_counter()
        self.pipe = subprocess.Popen(
            [python, str(worker), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.about = self._answer()
        self.run("predict", size, 1, 1)
        self.first_prediction_seconds = time.perf_counter() - start

    def _answer(self) -> dict:
        line = self.pipe.stdout.readline()
        if not line:
            raise SystemExit(f"{' '.join(map(str, self.pipe.args))} ended without an answer.")
        return json.loads(line)

    def run(self, task: str, size: int, batch: int, steps: int) -> dict:
        print(
            json.dumps({"task": task, "size": size, "batch": batch, "steps": steps}),
            file=self.pipe.stdin,
            flush=True,
        )
        answer = self._answer()
        self.peak_mib = answer["peak_mib"]
        return answer

    def stop(self) -> None:
        self.pipe.stdin.close()
        self.pipe.wait()


def take_turns(
    processes: dict[str, Process], case: tuple[str, int, int], rounds: int, seconds: float
) -> dict[str, list[float]]:
    """The images a second of each process in each round, in measurements of about `seconds`."""
    steps = {}
    for name, process in processes.items():
        process.run(*case, 1)  # traces, compiles
        once = process.run(*case, 2)["seconds"] / 2
        steps[name] = max(1, round(seconds / once))
    speeds: dict[str, list[float]] = {name: [] for name in processes}
    for _ in range(rounds):
        for name, process in processes.items():
            answer = process.run(*case, steps[name])
            speeds[name].append(steps[name] * case[2] / answer["seconds"])
    return speeds


def compare(model: str, peers: dict, folder: Path, rounds: int, seconds: float) -> dict:
    """Medians of the images a second of `model` and its `peers`, and petseg's ratio to each."""
    pythons = {
        name: str(folder / home / "bin" / "python") if home else sys.executable
        for name, (home, _, _) in peers.items()
    }
    processes = {"petseg": Process(sys.executable, WORKERS["keras"], [f"petseg:{model}"])}
    for name, (_, worker, arguments) in peers.items():
        processes[name] = Process(pythons[name], WORKERS[worker], arguments)
    rows = {
        name: {
            "parameters": p.about["parameters"],
            "import_seconds": round(p.about["import_seconds"], 2),
            "first_prediction_seconds": round(p.first_prediction_seconds, 2),
        }
        for name, p in processes.items()
    }
    versions = {}
    for process in processes.values():
        versions |= process.about["versions"]
    for task, size, batch in CASES:
        speeds = take_turns(processes, (task, size, batch), rounds, seconds)
        for name, process in processes.items():
            rows[name]["peak_mib"] = process.peak_mib
        case = f"{task}, {size}x{size}, batch {batch}"
        for name, values in speeds.items():
            rows[name][case] = {"images_per_second": round(statistics.median(values), 1)}
            if name != "petseg":
                ratios = [a / b for a, b in zip(speeds["petseg"], values, strict=True)]
                rows[name][case]["petseg_is_faster_by"] = round(statistics.median(ratios), 2)
        print(model, case, {name: row[case] for name, row in rows.items()}, flush=True)
    for process in processes.values():
        process.stop()
    return {"rounds": rounds, "seconds": seconds, "rows": rows, "versions": versions}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", type=Path, required=True, help="the folder of make_peers.sh")
    parser.add_argument("--models", nargs="*", default=list(COMPARISONS), choices=list(COMPARISONS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    record = {
        "unit": "images a second, median; petseg's ratio to the peer, median over the rounds",
        "settings": {"backbone": "mobilenetv2"},
        "environment": environment(),
        "results": {},
    }
    if args.out.exists():
        record["results"] = json.loads(args.out.read_text(encoding="utf-8"))["results"]
    for model in args.models:
        if model in record["results"]:
            continue
        record["results"][model] = compare(
            model, COMPARISONS[model], args.peers, args.rounds, args.seconds
        )
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(args.out, record)


if __name__ == "__main__":
    main()
