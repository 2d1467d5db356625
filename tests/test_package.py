"""What holds for the package as a whole: its names, its imports, its silence."""

import ast
import importlib.metadata
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import petseg

SOURCE = Path(petseg.__file__).parents[1]

PUBLIC = {
    "BACKBONES",
    "MODELS",
    "PET_CLASSES",
    "CrossEntropyDice",
    "Evaluation",
    "MeanIoU",
    "Runtime",
    "Splits",
    "cutout",
    "deeplabv3",
    "deeplabv3_plus",
    "evaluate",
    "export",
    "fcn16",
    "fcn32",
    "fcn8",
    "finetune",
    "load_folder",
    "load_pets",
    "overlay",
    "plot_history",
    "predict",
    "pspnet",
    "segnet",
    "synthetic_pets",
    "unet",
}

# What each part may import of the others. Data flows one way, data -> model -> training ->
# evaluation -> prediction -> report, and data and models meet only as arguments.
MAY_IMPORT = {
    "backbones": {"normalization"},
    "boundaries": set(),
    "complexity": set(),
    "data": set(),
    "environment": set(),
    "evaluation": {"boundaries", "metrics", "scores"},
    "files": set(),
    "losses": set(),
    "metrics": set(),
    "models": {"backbones", "losses", "metrics", "normalization", "shipped"},
    "normalization": set(),
    "exporting": {"data", "evaluation", "metrics"},
    "prediction": set(),
    "report": {"evaluation", "scores", "sheets"},
    "runs": {"files"},
    "scores": set(),
    "sheets": set(),
    "shipped": {"files"},
    "training": {"metrics", "runs"},
    "zoo": {"models"},
}

# A line of TensorFlow's C++ log, which no setting silences while it is imported.
CPP_LOG = re.compile(r"WARNING: All log messages before absl::|[IWEF]\d{4} \d\d:\d\d:")

# Every way out to a network. (To bind a port of its own is none: urllib3, which TensorFlow imports,
# does that to see whether the machine has IPv6.)
LISTEN = """
import sys
ways_out = {"connect", "getaddrinfo", "gethostbyaddr", "gethostbyname", "sendmsg", "sendto"}
heard = []
def listen(event, arguments):
    kind, _, name = event.partition(".")
    if kind == "socket" and name in ways_out:
        heard.append((event, arguments))
sys.addaudithook(listen)
import petseg
sys.exit(f"sockets: {heard}" if heard else 0)
"""


def run_python(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, env={**os.environ, **env}
    )


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_name(path): path
    for package in ("petseg", "petseg_cli", "petseg_runtime")
    for path in sorted((SOURCE / package).rglob("*.py"))
}


def imports_of(module: str) -> set[str]:
    """The modules of ours that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names} & MODULES.keys()
            found |= submodules or {str(node.module)}
    return found & MODULES.keys()


def part_of(module: str) -> str:
    return module.split(".")[1]


def part_of_runtime(module: str) -> bool:
    return module.partition(".")[0] == "petseg_runtime"


def test_public_names_are_those_documented_and_are_there():
    assert set(petseg.__all__) == PUBLIC
    assert len(petseg.__all__) == len(PUBLIC)
    for name in petseg.__all__:
        assert getattr(petseg, name) is not None


def test_every_public_function_and_class_says_what_it_does():
    for name in petseg.__all__:
        if callable(getattr(petseg, name)):
            assert (getattr(petseg, name).__doc__ or "").strip(), name


def test_version_is_that_of_the_metadata():
    assert petseg.__version__ == importlib.metadata.version("petseg")


def test_package_is_marked_as_typed():
    assert (SOURCE / "petseg" / "py.typed").is_file()


def test_import_prints_nothing_warns_of_nothing_and_opens_no_socket():
    done = run_python("-W", "error", "-c", LISTEN)
    lines = [line for line in done.stderr.splitlines() if not CPP_LOG.match(line)]
    assert (done.returncode, done.stdout, lines) == (0, "", [])


@pytest.mark.parametrize("command", ["", "models", "data", "train", "evaluate", "predict"])
def test_help_answers_without_tensorflow(command):
    call = "from petseg_cli import main; main()"
    done = run_python("-X", "importtime", "-c", call, *command.split(), "--help")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "Usage: petseg" in done.stdout
    assert "typer" in imported
    assert not imported & {"keras", "matplotlib", "numpy", "petseg", "tensorflow"}


def test_parts_import_only_what_they_may():
    for module in MODULES:
        if not module.startswith("petseg.") or module == "petseg.__main__":
            continue
        part = part_of(module)
        assert part in MAY_IMPORT, f"{module} needs a row in MAY_IMPORT"
        for imported in imports_of(module):
            if part_of_runtime(imported):  # below all
                continue
            assert imported.startswith("petseg."), f"{module} imports {imported}"
            other = part_of(imported)
            assert other == part or other in MAY_IMPORT[part], f"{module} imports {imported}"


def test_the_runtime_imports_nothing_of_the_rest():
    for module in filter(part_of_runtime, MODULES):
        assert all(map(part_of_runtime, imports_of(module))), module


def test_imports_have_no_cycle():
    graph = {module: imports_of(module) - {module} for module in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # Raises on a cycle.
    assert set(order) == set(MODULES)
    assert (
        order.index("petseg_runtime.image_io") < order.index("petseg") < order.index("petseg_cli")
    )
