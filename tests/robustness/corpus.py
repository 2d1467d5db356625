"""Good files of every kind that petseg reads, to be damaged."""

import io
import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

CLASSES = ("pet", "background", "border")


@dataclass(frozen=True)
class GoodFile:
    """A good file, in memory.

    Attributes:
        name: What to call the file.
        data: What is damaged: its content, or the model record in it.
        write: Writes the damaged `data` to a path.
    """

    name: str
    data: bytes
    write: Callable[[Path, bytes], None] = Path.write_bytes


def _pixels(seed: int, size: tuple[int, int] = (24, 33)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def _saved(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def images() -> list[GoodFile]:
    """One image for each decoder that Pillow may choose."""
    rgb = Image.fromarray(_pixels(0))
    grey, palette = rgb.convert("L"), rgb.convert("P")
    deep = Image.fromarray(_pixels(1)[..., 0].astype(np.uint16) * 257)
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [Image.fromarray(_pixels(2))]}
    files = {
        "jpeg.jpg": _saved(rgb, "JPEG", exif=exif),
        "progressive.jpg": _saved(rgb, "JPEG", progressive=True),
        "cmyk.jpg": _saved(rgb.convert("CMYK"), "JPEG"),
        "rgb.png": _saved(rgb, "PNG", exif=exif),
        "palette.png": _saved(palette, "PNG", transparency=3),
        "alpha.png": _saved(rgb.convert("RGBA"), "PNG"),
        "deep.png": _saved(deep, "PNG"),
        "animated.png": _saved(rgb, "PNG", **frames),
        "animated.gif": _saved(palette, "GIF", **frames),
        "lossy.webp": _saved(rgb, "WEBP"),
        "lossless.webp": _saved(rgb.convert("RGBA"), "WEBP", lossless=True),
        "animated.webp": _saved(rgb, "WEBP", **frames),
        "raw.tif": _saved(rgb, "TIFF"),
        "lzw.tiff": _saved(rgb, "TIFF", compression="tiff_lzw"),
        "jpeg.tiff": _saved(rgb, "TIFF", compression="jpeg"),
        "float.tif": _saved(Image.fromarray(_pixels(3)[..., 0].astype(np.float32)), "TIFF"),
        "rgb.bmp": _saved(rgb, "BMP"),
        "palette.bmp": _saved(palette, "BMP"),
        "grey.jpg": _saved(grey, "JPEG"),
    }
    return [GoodFile(name, data) for name, data in files.items()]


def masks() -> list[GoodFile]:
    """Masks in each form that can hold labels."""
    labels = _pixels(4)[..., 0] % 3
    grey = Image.fromarray(labels)
    palette = grey.convert("P")
    files = {
        "grey.png": _saved(grey, "PNG"),
        "palette.png": _saved(palette, "PNG"),
        "bits.png": _saved(Image.fromarray(labels > 0), "PNG"),
        "deep.png": _saved(Image.fromarray(labels.astype(np.uint16)), "PNG"),
        "grey.tif": _saved(grey, "TIFF", compression="tiff_lzw"),
        "palette.gif": _saved(palette, "GIF"),
        "grey.bmp": _saved(grey, "BMP"),
    }
    return [GoodFile(name, data) for name, data in files.items()]


def record() -> bytes:
    """A model record with every field."""
    from petseg_runtime import ModelInfo

    return (
        ModelInfo(
            CLASSES,
            ignore_class=255,
            image_size=(64, 64),
            architecture="unet",
            backbone="mobilenetv2",
            arguments={"decoder_filters": [8, 4]},
            weights="pets",
            licence="CC BY-SA 4.0",
            petseg_version="0.1.0",
        )
        .to_json()
        .encode()
    )


def keras_files(model: Path) -> list[GoodFile]:
    """A saved model: the archive, and the configuration in it."""
    archive = model.read_bytes()

    def write_config(path: Path, data: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(path, "w") as new:
            for name in old.namelist():
                new.writestr(name, data if name == "config.json" else old.read(name))

    with zipfile.ZipFile(model) as opened:
        config = opened.read("config.json")
    old = json.loads(config)  # as petseg 0.1.0 saved it: the record is that of the metric
    old["config"]["layers"] = [{"name": "encoder"}]
    metric = {"num_classes": 3, "class_names": list(CLASSES), "ignore_class": 255}
    old["compile_config"] = {
        "metrics": [
            {"registered_name": "petseg>MeanIoU", "config": metric, "class_name": "MeanIoU"}
        ]
    }
    return [
        GoodFile("archive.keras", archive),
        GoodFile("config.keras", config, write_config),
        GoodFile("old.keras", json.dumps(old).encode(), write_config),
    ]


def json_files() -> dict[str, list[GoodFile]]:
    """The files of a run and of an evaluation."""
    scores = _scores()
    result = {
        "settings": {"architecture": "unet", "backbone": "mobilenetv2", "data": "synthetic"},
        "environment": {"versions": {"python": "3.12"}},
        "parameters": 1000,
        "multiply_adds": 2000,
        "training_seconds": 3.5,
        "validation": scores,
        "test": scores,
        "before_fine_tuning": {"validation": scores, "test": scores},
    }
    epochs = [
        {"stage": stage, "loss": 0.5, "val_mean_iou": 0.25, "seconds": 1.5, "lr": 0.001}
        for stage in ("frozen", "thawed")
    ]
    state = {
        "schema": 2,
        "status": "training",
        "stage": "thawed",
        "stages": {stage: {"epochs": 1, "stopped": False} for stage in ("frozen", "thawed")},
        "settings": {"training": {"epochs": 3, "seed": None}},
        "seeds": [[1, 2]],
        "files": {"best.weights.h5": "0" * 64},
        "epochs": epochs,
    }
    history = "epoch,stage,loss,mean_iou,val_loss,val_mean_iou\n0,frozen,0.9,0.2,1.0,0.1\n"
    history += "1,thawed,0.8,0.3,0.9,0.2\n"
    return {
        "result": [GoodFile("result.json", json.dumps(result).encode())],
        "evaluation": [GoodFile("scores.json", json.dumps(scores).encode())],
        "run": [GoodFile("run.json", json.dumps(state).encode())],
        "history": [GoodFile("history.csv", history.encode())],
    }


def _scores() -> dict[str, object]:
    confusion = np.arange(1, 10).reshape(3, 3).tolist()
    return {
        "examples": 2,
        "loss": 0.5,
        "boundary_f1": None,
        "class_names": list(CLASSES),
        "confusion": confusion,
    }


# Names of files that have broken programs before.
HOSTILE_NAMES = (
    b"a b.jpg",
    b"-rf.jpg",
    b"new\nline.jpg",
    b"tab\t.jpg",
    b"caf\xe9.jpg",
    b"\xff\xfe.png",
    "\u202egpj.jpg".encode(),
    "\U0001f408.JPEG".encode(),
    b"*.jpg",
    b"[ab].jpg",
    b"'\"$(x).jpg",
    b".jpg",
    b"%s{0}.jpg",
    b"x" * 240 + b".jpg",
    b"a.jpg.jpg",
)
# What a name can stand for.
KINDS = ("image", "empty", "text", "pipe", "folder", "broken", "loop", "device", "secret", "link")


def folders() -> list[GoodFile]:
    """A dataset of a few good pairs, to which entries are added."""

    def write(path: Path, data: bytes) -> None:
        parts = [os.fsencode(path / name) for name in ("images", "masks")]
        for part in parts:
            os.makedirs(part)
        for number in range(12):  # enough that every split has some
            (path / "images" / f"{number}.jpg").write_bytes(images()[0].data)
            labels = np.zeros((33, 24), np.uint8)  # the photo is rotated by its EXIF
            labels[number:] = 1
            Image.fromarray(labels).save(path / "masks" / f"{number}.png")
        for line in data.splitlines():
            where, name, kind = json.loads(line)
            for part in parts[where : where + 1] or parts:
                names = HOSTILE_NAMES[name % len(HOSTILE_NAMES)]
                make_entry(part, names, KINDS[kind % len(KINDS)])

    return [GoodFile("dataset", b"", write)]


def make_entry(folder: bytes, name: bytes, kind: str) -> None:
    """Makes something that is called like an image."""
    path = os.path.join(folder, name)
    if os.path.lexists(path):
        return
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        os.mkdir(path)
    elif kind in ("broken", "loop", "device", "link"):
        target = {"broken": b"nowhere", "loop": name, "device": b"/dev/zero", "link": folder}
        os.symlink(target[kind], path)
    else:
        content = {"image": images()[3].data, "empty": b"", "text": b"text", "secret": b"secret"}
        with open(path, "wb") as file:
            file.write(content[kind])
        if kind == "secret":
            os.chmod(path, 0)
