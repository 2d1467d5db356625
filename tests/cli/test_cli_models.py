"""`petseg models`, `--version` and `--help`: what answers without TensorFlow."""

import importlib.metadata
import re
import subprocess
import sys

import pytest

import petseg
from benchmarks.docs.cli_reference import commands
from petseg_cli.catalogue import ARCHITECTURES, BACKBONES, pretrained_models
from petseg_runtime.pretrained import FOLDER, read_card
from petseg_runtime.pretrained import pretrained_models as shipped_models

CALL = "from petseg_cli import main; main()"
COMMANDS = (
    "models",
    "data",
    "data convert",
    "data shards",
    "train",
    "reproduce",
    "evaluate",
    "predict",
    "export",
)
LARGE = {"keras", "matplotlib", "petseg", "tensorflow", "tensorflow_datasets"}


def imports_of(*args: str) -> tuple[set[str], str]:
    """The modules that a command imports, and what it prints."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", CALL, *args], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    return {line.rpartition("|")[2].strip() for line in lines}, done.stdout


def test_the_architectures_are_those_of_the_library():
    assert list(ARCHITECTURES) == list(petseg.MODELS)
    for name, row in ARCHITECTURES.items():
        assert row.paper in (petseg.MODELS[name].__doc__ or ""), name


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_is_that_of_the_library(name):
    row = petseg.BACKBONES[name]
    network = row.build(include_top=False, weights=None, **row.options)
    assert network.count_params() == BACKBONES[name].parameters
    assert BACKBONES[name].paper in row.source


def test_the_backbones_are_those_of_the_library():
    assert list(BACKBONES) == list(petseg.BACKBONES)


def test_the_pretrained_models_are_those_of_the_package():
    found = {f"{row.architecture}-{row.backbone}": row for row in pretrained_models()}
    assert set(found) == {path.stem for path in FOLDER.glob("*.json")}
    for name, row in found.items():
        card = read_card(name)
        assert row.mean_iou == card["test"]["mean_iou"]
        assert row.image_size == tuple(card["image_size"])
        assert row.num_bytes == (FOLDER / f"{name}.npz").stat().st_size


def test_models_lists_everything_in_80_columns(cli):
    code, out, _ = cli("models")
    assert code == 0
    names = {line.split()[0] for line in out.splitlines() if line}
    assert names > {*petseg.MODELS, *petseg.BACKBONES, *shipped_models()}
    assert "23.6 M" in out  # ResNet50 without its classifier: 23,587,712
    assert re.search(r"^unet-mobilenetv2 +224 x 224 +0\.809 +4\.8 MB$", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("args", [("models",), ("--version",)])
def test_it_answers_without_anything_large(args):
    imported, _ = imports_of(*args)
    assert "typer" in imported
    assert not imported & (LARGE | {"numpy", "PIL"})


def test_version_is_that_of_the_package():
    _, out = imports_of("--version")
    assert out == f"petseg {importlib.metadata.version('petseg')}\n"


def test_every_command_is_listed():
    assert sorted(commands()) == sorted(COMMANDS)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_80_columns_and_imports_nothing_large(command, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    imported, out = imports_of(*command.split(), "--help")
    assert not imported & (LARGE | {"numpy"})
    assert out.startswith("Usage: petseg")
    assert max(map(len, out.splitlines())) <= 80
