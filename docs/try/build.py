"""Builds the files that the page "Try it" loads, into `docs/try/built`.

    python docs/try/build.py

The folder holds the runtime, which is the npm package of `package-lock.json`, an exported ONNX
file of each pretrained model and, beside it, its record: the model's ModelInfo and its colours.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import petseg
from petseg_runtime.palette import class_colours
from petseg_runtime.pretrained import (
    DEFAULT_ARCHITECTURE,
    full_name,
    pretrained_models,
    read_card,
)

HERE = Path(__file__).parent
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")


def main() -> None:
    built = HERE / "built"
    shutil.rmtree(built, ignore_errors=True)
    built.mkdir()
    copy_runtime(built)
    records = [export_model(name, built) for name in pretrained_models()]
    default = f"{full_name(DEFAULT_ARCHITECTURE)}.onnx"
    records.sort(key=lambda record: (record["file"] != default, -record["mean_iou"]))
    names = [Path(record["file"]).stem for record in records]
    index = {"runtime_bytes": (built / RUNTIME[1]).stat().st_size, "models": names}
    write(built / "index.json", index)


def copy_runtime(built: Path) -> None:
    """Copies the runtime out of the npm package."""
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("docs/try/build.py needs npm, which comes with Node.js.")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True)
        for name in RUNTIME:
            shutil.copy(Path(folder) / "node_modules" / "onnxruntime-web" / "dist" / name, built)


def export_model(name: str, built: Path) -> dict[str, Any]:
    """Exports a pretrained model, and writes its record beside the file."""
    card = read_card(name)
    model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
    path = petseg.export(model, built / f"{name}.onnx")
    info = petseg.model_info(model)
    record = {
        "file": path.name,
        "bytes": path.stat().st_size,
        "mean_iou": card["test"]["mean_iou"],
        "colours": class_colours(info.class_names),
        "info": info.to_dict(),
    }
    write(path.with_suffix(".json"), record)
    return record


def write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
