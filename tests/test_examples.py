"""The examples, each as a user runs it: a process of its own, small settings."""

import csv
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name: str, *args: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *args], cwd=cwd, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart_compares_two_networks_and_cuts_out_a_cat(tmp_path):
    small = "--pets 12 --epochs 1"
    printed = run_example("quickstart.py", *small.split(), cwd=tmp_path)
    for network in ("unet", "fcn8"):
        assert f"\n {network} " in printed
    written = {path.name for path in (tmp_path / "quickstart").iterdir()}
    pictures = {"chelsea_overlay.png", "chelsea_cutout.png"}
    assert written == {"unet_curves.png", "fcn8_curves.png", "masks.png", *pictures}
    with Image.open(tmp_path / "quickstart" / "chelsea_cutout.png") as picture:
        alpha = picture.getchannel("A")
        center, corner = (picture.width // 2, picture.height // 2), (picture.width - 1, 10)
        assert (alpha.getpixel(center), alpha.getpixel(corner)) == (255, 0)


def test_benchmark_compares_its_rows_and_trains_none_twice(tmp_path):
    names = ["fcn8", "fcn32"]
    small = ["--data", "synthetic", "--rows", *names]
    printed = run_example("benchmark.py", *small, cwd=tmp_path)
    folder = tmp_path / "runs" / "benchmark"
    results = [folder / name / "result.json" for name in names]
    for name, path in zip(names, results, strict=True):
        assert f"\n {name} " in printed
        result = json.loads(path.read_text())
        assert result["settings"]["architecture"] == name
        # The best epoch of both stages is kept.
        scores = [part["validation"]["mean_iou"] for part in (result["before_fine_tuning"], result)]
        assert scores[0] <= scores[1]
    milliseconds = json.loads((folder / "latency.json").read_text())
    assert set(milliseconds) == set(names)
    assert all(value > 0 for value in milliseconds.values())
    with Image.open(folder / "masks.png") as grid:
        assert min(grid.size) > 100
    written = [path.stat().st_mtime_ns for path in results]
    run_example("benchmark.py", *small, cwd=tmp_path)
    assert [path.stat().st_mtime_ns for path in results] == written


def test_benchmark_has_every_architecture_once():
    spec = importlib.util.spec_from_file_location("benchmark_example", EXAMPLES / "benchmark.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert sorted(row.architecture for row in module.ROWS) == sorted(petseg.MODELS)


def test_finetune_own_data_draws_a_demo_where_no_folder_is_given(tmp_path):
    small = "--backbone mobilenet --weights none --image-size 32 --frozen-epochs 0 --epochs 1"
    printed = run_example("finetune_own_data.py", *small.split(), cwd=tmp_path)
    assert "mean IoU" in printed
    assert len(list((tmp_path / "demo" / "masks").iterdir())) == 60
    run_dir = tmp_path / "runs" / "own_data"
    assert (run_dir / "model.keras").is_file()
    # The overlay is as large as its photo.
    with (
        Image.open(run_dir / "overlay.png") as overlay,
        Image.open(tmp_path / "demo" / "images" / "pet_00.jpg") as photo,
    ):
        assert overlay.size == photo.size


@pytest.mark.parametrize(
    ("args", "message"),
    [([], "FOLDER needs --classes"), (["--classes", "a,b"], "is missing")],
)
def test_finetune_own_data_says_what_is_wrong_with_a_folder(tmp_path, args, message):
    with pytest.raises(AssertionError, match=message):
        run_example("finetune_own_data.py", str(tmp_path), *args, cwd=tmp_path)


def test_dask_predicts_each_photo_once(tmp_path):
    photos = tmp_path / "photos"
    (photos / "deep").mkdir(parents=True)
    with Image.open(EXAMPLES / "chelsea.png") as chelsea:
        for name in ("a.jpg", "a.png", "deep/a.jpg"):
            chelsea.resize((90, 60)).save(photos / name)
    shutil.copy(photos / "a.jpg", photos / os.fsdecode(b"\xff.jpg"))
    for name in ("damaged.jpg", os.fsdecode(b"\xfe.jpg")):
        (photos / name).write_bytes(b"no photo")
    printed = run_example("predict_with_dask.py", "photos", "out", "--partition", "3", cwd=tmp_path)
    assert printed == "6 photos\n"
    with (tmp_path / "out" / "index.csv").open(newline="") as file:
        rows = {row["path"]: row for row in csv.DictReader(file)}
    assert rows.keys() == {
        f"photos/{name}"
        for name in ("a.jpg", "a.png", "deep/a.jpg", "damaged.jpg", r"\xfe.jpg", r"\xff.jpg")
    }
    assert rows[r"photos/\xfe.jpg"]["error"].startswith(r"photos/\xfe.jpg is not an image")
    assert rows[r"photos/\xff.jpg"]["mask"] == r"out/\xff.jpg.png"
    assert "is not an image" in rows["photos/damaged.jpg"]["error"]
    assert rows["photos/deep/a.jpg"]["mask"] == "out/deep/a.jpg.png"
    with Image.open(tmp_path / "out" / "a.png.png") as mask:
        share = (np.asarray(mask) == 0).mean()
    assert float(rows["photos/a.png"]["pet"]) == pytest.approx(share, abs=1e-4)
    assert sum(1 for _ in (tmp_path / "out").rglob("*.png")) == 4
    assert not list((tmp_path / "out").rglob(".part-*"))


def test_dask_says_that_there_is_no_such_folder(tmp_path):
    words = [sys.executable, EXAMPLES / "predict_with_dask.py", "photos", "out"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("No image files in photos. Looked for ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
