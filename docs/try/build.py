"""Puts what the page "Try it" loads into `docs/try/built`: the runtime, the networks, samples.

    python docs/try/build.py

The runtime is the npm package of `package-lock.json`; the networks are those that ship with petseg.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from PIL import Image

import petseg
from petseg.pretrained import read_card, pretrained_models
from petseg_runtime.overlays import COLOURS

HERE = Path(__file__).parent
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
PHOTOS = HERE.parent / "results" / "dataset" / "photos.jpg"  # squares in a row


def main() -> None:
    built = HERE / "built"
    shutil.rmtree(built, ignore_errors=True)
    built.mkdir()
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit("npm, which comes with Node.js, is needed to fetch the runtime.")
    with tempfile.TemporaryDirectory() as folder:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / name, folder)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent"]
        subprocess.run(command, cwd=folder, check=True)
        for name in RUNTIME:
            shutil.copy(Path(folder) / "node_modules" / "onnxruntime-web" / "dist" / name, built)
    networks = []
    for name in pretrained_models():
        card = read_card(name)
        model = petseg.MODELS[name](backbone=card["backbone"], weights="pets")
        path = petseg.export(model, built / f"{name}.onnx")
        networks.append(
            {
                "name": name,
                "file": path.name,
                "size": card["image_size"],
                "classes": card["class_names"],
                "colours": COLOURS[: len(card["class_names"])],
                "mean_iou": card["test"]["mean_iou"],
            }
        )
    networks.sort(key=lambda network: -network["mean_iou"])
    (built / "networks.json").write_text(json.dumps(networks, indent=2) + "\n", encoding="utf-8")
    with Image.open(PHOTOS) as photos:
        side = photos.height
        for place in range(photos.width // side):
            corner = place * side
            photo = photos.crop((corner, 0, corner + side, side))
            photo.save(built / f"pet-{place + 1}.png")


if __name__ == "__main__":
    main()
