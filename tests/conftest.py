"""Data of drawn pets: Oxford-IIIT Pet as archives and as records of TFDS, and an own folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from tensorflow_datasets.core.download import resource

from petseg.data import draw_pet
from petseg_cli import main

BREEDS = ("Abyssinian", "american_bulldog", "basset_hound", "Bengal")
NUM_TRAINVAL, NUM_TEST = 32, 8

HEAD_BOX = """<annotation>
<size><width>{width}</width><height>{height}</height><depth>3</depth></size>
<object><name>cat</name><bndbox>
<xmin>1</xmin><ymin>1</ymin><xmax>{width}</xmax><ymax>{height}</ymax>
</bndbox></object>
</annotation>
"""


@pytest.fixture(scope="session")
def official_folder(tmp_path_factory) -> Path:
    """The two official archives unpacked into one folder."""
    root = tmp_path_factory.mktemp("oxford")
    annotations = root / "annotations"
    for folder in (root / "images", annotations / "trimaps", annotations / "xmls"):
        folder.mkdir(parents=True)
    lines = []
    for index in range(NUM_TRAINVAL + NUM_TEST):
        breed = index % len(BREEDS)
        name = f"{BREEDS[breed]}_{index + 1}"
        image, mask = draw_pet(index)
        Image.fromarray(image).save(root / "images" / f"{name}.jpg", quality=95)
        Image.fromarray(mask[..., 0] + np.uint8(1)).save(annotations / "trimaps" / f"{name}.png")
        lines.append(f"{name} {breed + 1} {1 + index % 2} 1\n")
        if index < NUM_TRAINVAL:
            height, width = mask.shape[:2]
            box = HEAD_BOX.format(height=height, width=width)
            (annotations / "xmls" / f"{name}.xml").write_text(box)
    (annotations / "trainval.txt").write_text("".join(lines[:NUM_TRAINVAL]))
    (annotations / "test.txt").write_text("".join(lines[NUM_TRAINVAL:]))
    return root


@pytest.fixture(scope="session")
def pets_dir(official_folder, tmp_path_factory) -> Path:
    """A `data_dir` with the records that TFDS's own builder writes of `official_folder`."""
    data_dir = tmp_path_factory.mktemp("tensorflow_datasets")
    _fill_download_cache(data_dir, official_folder)
    tfds.builder("oxford_iiit_pet", data_dir=data_dir).download_and_prepare()
    shutil.rmtree(data_dir / "downloads")
    return data_dir


@pytest.fixture(scope="session")
def real_pets_dir() -> Path:
    """The real set, where the repository has it beside it."""
    data_dir = Path(__file__).parents[2] / "shared" / "data" / "tensorflow_datasets"
    if not (data_dir / "oxford_iiit_pet").is_dir():
        pytest.skip("needs Oxford-IIIT Pet")
    return data_dir


@pytest.fixture(scope="session")
def photos_and_masks() -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Five photos of the real set, reduced and cut to squares, and their masks."""
    folder = Path(__file__).parents[1] / "docs" / "results" / "dataset"
    rows = []
    for name in ("photos.jpg", "masks.png"):
        with Image.open(folder / name) as row:
            rows.append(np.split(np.asarray(row), row.width // row.height, axis=1))
    photos, masks = rows
    return photos, masks


@pytest.fixture
def own_folder(tmp_path) -> Path:
    """Images and masks as a user has them, in the folder layout of `petseg.load_folder`."""
    folder = tmp_path / "own"
    for split in ("train", "val", "test"):
        for kind in ("images", "masks"):
            (folder / split / kind).mkdir(parents=True)
        for index in range(2):
            image, mask = draw_pet((len(split), index))
            Image.fromarray(image).save(folder / split / "images" / f"{index}.png")
            Image.fromarray(mask[..., 0]).save(folder / split / "masks" / f"{index}.png")
    return folder


@pytest.fixture
def cli(capsys):
    """Runs a command; returns its exit code, stdout and stderr."""

    def run(*args: object) -> tuple[int | str | None, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ending:
            main([str(arg) for arg in args])
        code = ending.value.code
        out, err = capsys.readouterr()
        # Python prints such a code to stderr as it exits with 1.
        return (1, out, f"{err}{code}\n") if isinstance(code, str) else (code or 0, out, err)

    return run


@pytest.fixture(scope="session")
def fill_download_cache():
    """The function that lets TFDS prepare a folder without a download."""
    return _fill_download_cache


def _fill_download_cache(data_dir: Path, official_folder: Path) -> None:
    """Put the archives where TFDS keeps them once downloaded and extracted, so it does neither."""
    downloads = data_dir / "downloads"
    for url, info in tfds.builder("oxford_iiit_pet", data_dir=data_dir).url_infos.items():
        archive = downloads / "oxford_iiit_pet" / resource.get_dl_fname(url, info.checksum)
        archive.parent.mkdir(parents=True, exist_ok=True)
        archive.touch()
        # What it reads back of a finished download, in place of the archive itself.
        resource.get_info_path(archive).write_text(json.dumps({"original_fname": info.filename}))
        content = info.filename.removesuffix(".tar.gz")
        extracted = downloads / "extracted" / f"TAR_GZ.{archive.name}" / content
        shutil.copytree(official_folder / content, extracted)
