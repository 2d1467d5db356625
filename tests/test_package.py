"""The package as a whole: public names, imports between modules, docstrings, silence on import."""

import ast
import importlib
import importlib.metadata
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import petseg
from benchmarks.docs.cli_reference import commands

SOURCE = Path(petseg.__file__).parents[1]
ROOT = Path(__file__).parents[1]
PACKAGES = ("petseg", "petseg_cli", "petseg_runtime")

# What each part of the code imports of the others, and nothing else. A part is a module, or one of
# the packages petseg.data and petseg.models. Another package, such as petseg_runtime for petseg, is
# one part. The test prints this table as it would be.
IMPORTS = """
petseg.backbones: petseg.dilation petseg.efficientnet_lite petseg.feature_taps petseg.normalization
petseg.boundary_f1: petseg_runtime
petseg.calibration: petseg.evaluation petseg.model_records petseg_runtime
petseg.calibration_bins:
petseg.checkpoint: petseg.processes petseg.run_lock petseg.run_state petseg_runtime
petseg.class_balance: petseg.data petseg_runtime
petseg.comparison: petseg.scores
petseg.compilation:
petseg.complexity: petseg_runtime
petseg.data: petseg_runtime
petseg.devices: petseg.data petseg.processes petseg.replicas petseg_runtime
petseg.dilation:
petseg.efficientnet_lite: petseg_runtime
petseg.environment:
petseg.epoch_recorder: petseg.checkpoint petseg.run_state
petseg.evaluation: petseg.boundary_f1 petseg.calibration_bins petseg.model_records petseg.replicas
    petseg.scores petseg_runtime
petseg.experiment: petseg.calibration petseg.checkpoint petseg.class_balance petseg.complexity
    petseg.data petseg.devices petseg.environment petseg.evaluation petseg.losses petseg.mask_grid
    petseg.metrics petseg.model_records petseg.models petseg.plots petseg.prediction
    petseg.processes petseg.run_state petseg.scores petseg.training petseg_runtime
petseg.exporting: petseg.data petseg.evaluation petseg.model_records petseg.models
    petseg.onnx_conversion petseg.replicas petseg.scores petseg_runtime
petseg.feature_taps:
petseg.label_shapes:
petseg.losses: petseg.label_shapes petseg.replicas petseg_runtime
petseg.mask_grid: petseg_runtime
petseg.mask_logger: petseg.mask_grid petseg.model_records petseg.training_arguments petseg_runtime
petseg.metrics: petseg.label_shapes petseg_runtime
petseg.model_records: petseg.models petseg_runtime
petseg.models: petseg.backbones petseg.metrics petseg.normalization petseg.own_backbone
    petseg.pretrained petseg.weight_files petseg.weight_transfer petseg_runtime
petseg.normalization:
petseg.onnx_conversion:
petseg.own_backbone: petseg.backbones petseg_runtime
petseg.plots: petseg.mask_grid
petseg.prediction: petseg.model_records petseg.replicas petseg_runtime
petseg.pretrained: petseg.weight_transfer petseg_runtime
petseg.processes:
petseg.replicas:
petseg.run_lock:
petseg.run_state: petseg_runtime
petseg.scores: petseg_runtime
petseg.settings_file: petseg.data petseg.experiment petseg.models petseg_runtime
petseg.training: petseg.checkpoint petseg.class_balance petseg.compilation petseg.data
    petseg.devices petseg.epoch_recorder petseg.losses petseg.model_records petseg.processes
    petseg.run_state petseg.training_arguments petseg_runtime
petseg.training_arguments: petseg_runtime
petseg.weight_files: petseg.run_state petseg.weight_transfer petseg_runtime
petseg.weight_transfer: petseg.backbones
petseg_cli.catalogue:
petseg_cli.convert: petseg petseg_cli.streams petseg_cli.tensorflow_logging
petseg_cli.cutout_options: petseg_cli.streams petseg_runtime
petseg_cli.data: petseg petseg_cli.data_source petseg_cli.errors petseg_cli.options
    petseg_cli.streams
petseg_cli.data_source: petseg petseg_cli.options petseg_cli.streams petseg_cli.tensorflow_logging
    petseg_runtime
petseg_cli.errors: petseg_cli.streams
petseg_cli.evaluate: petseg petseg_cli.data_source petseg_cli.model_loading petseg_cli.options
    petseg_cli.streams
petseg_cli.export: petseg petseg_cli.data_source petseg_cli.model_loading petseg_cli.options
    petseg_cli.streams petseg_cli.tensorflow_logging petseg_runtime
petseg_cli.model_loading: petseg petseg_cli.streams petseg_cli.tensorflow_logging petseg_runtime
petseg_cli.models: petseg_cli.catalogue
petseg_cli.options:
petseg_cli.predict: petseg_cli.cutout_options petseg_cli.errors petseg_cli.model_loading
    petseg_cli.options petseg_cli.prediction_inputs petseg_cli.prediction_output petseg_cli.ray_run
    petseg_cli.streams petseg_cli.video petseg_runtime
petseg_cli.prediction_inputs: petseg_cli.streams petseg_runtime
petseg_cli.prediction_output: petseg_runtime
petseg_cli.ray_run: petseg_cli.streams petseg_runtime
petseg_cli.reproduce: petseg petseg_cli.options petseg_cli.tensorflow_logging petseg_cli.train
petseg_cli.shards: petseg petseg_cli.data_source petseg_cli.options petseg_cli.streams
    petseg_cli.tensorflow_logging
petseg_cli.streams:
petseg_cli.tensorflow_logging:
petseg_cli.train: petseg petseg_cli.catalogue petseg_cli.data_source petseg_cli.options
    petseg_cli.streams petseg_cli.tensorflow_logging petseg_cli.training_display
petseg_cli.training_display: petseg
petseg_cli.video: petseg_cli.streams petseg_runtime
petseg_runtime.alpha: petseg_runtime.resizing
petseg_runtime.archives:
petseg_runtime.atomic_files:
petseg_runtime.cutouts: petseg_runtime.alpha petseg_runtime.image_io petseg_runtime.overlays
    petseg_runtime.validation
petseg_runtime.digests:
petseg_runtime.export_path: petseg_runtime.formats petseg_runtime.model_folders
    petseg_runtime.runtime
petseg_runtime.formats: petseg_runtime.archives petseg_runtime.digests petseg_runtime.parallel
petseg_runtime.image_io:
petseg_runtime.json_text:
petseg_runtime.keras_file: petseg_runtime.archives petseg_runtime.json_text
    petseg_runtime.model_info
petseg_runtime.model_folders: petseg_runtime.part_folders
petseg_runtime.model_info: petseg_runtime.json_text petseg_runtime.validation
petseg_runtime.output_files: petseg_runtime.output_notes
petseg_runtime.output_notes: petseg_runtime.json_text
petseg_runtime.overlays: petseg_runtime.image_io petseg_runtime.model_info petseg_runtime.palette
    petseg_runtime.validation
petseg_runtime.palette: petseg_runtime.model_info
petseg_runtime.parallel:
petseg_runtime.part_folders:
petseg_runtime.path_text:
petseg_runtime.prediction_index: petseg_runtime.atomic_files petseg_runtime.part_folders
    petseg_runtime.path_text
petseg_runtime.predictor: petseg_runtime.image_io petseg_runtime.model_info petseg_runtime.parallel
    petseg_runtime.resizing petseg_runtime.smoothing petseg_runtime.tiles petseg_runtime.validation
petseg_runtime.pretrained: petseg_runtime.digests petseg_runtime.formats
petseg_runtime.ray_prediction: petseg_runtime.formats petseg_runtime.output_files
    petseg_runtime.part_folders petseg_runtime.path_text petseg_runtime.prediction_index
    petseg_runtime.predictor petseg_runtime.pretrained petseg_runtime.ray_worker
petseg_runtime.ray_worker: petseg_runtime.image_io petseg_runtime.output_files
    petseg_runtime.output_notes petseg_runtime.parallel petseg_runtime.part_folders
    petseg_runtime.path_text petseg_runtime.prediction_index petseg_runtime.predictor
    petseg_runtime.runtime petseg_runtime.work_marks
petseg_runtime.resizing:
petseg_runtime.runtime: petseg_runtime.digests petseg_runtime.formats petseg_runtime.keras_file
    petseg_runtime.model_info petseg_runtime.predictor petseg_runtime.pretrained
petseg_runtime.smoothing: petseg_runtime.resizing
petseg_runtime.tiles:
petseg_runtime.validation:
petseg_runtime.work_marks:
"""

# A line of TensorFlow's C++ log, which no setting silences while it is imported.
CPP_LOG = re.compile(r"WARNING: All log messages before absl::|[IWEF]\d{4} \d\d:\d\d:")

# Every way to reach another machine. Binding a port is none: urllib3, which TensorFlow imports,
# does that to find out whether the machine has IPv6.
AUDIT_SOCKETS = """
import sys
outgoing = {"connect", "getaddrinfo", "gethostbyaddr", "gethostbyname", "sendmsg", "sendto"}
found = []
def audit(event, arguments):
    kind, _, name = event.partition(".")
    if kind == "socket" and name in outgoing:
        found.append((event, arguments))
sys.addaudithook(audit)
import petseg
sys.exit(f"sockets: {found}" if found else 0)
"""


def run_python(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *args], capture_output=True, text=True, env={**os.environ, **env}
    )


# --- The source as syntax trees ---


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {
    module_name(path): path
    for package in PACKAGES
    for path in sorted((SOURCE / package).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
SUBPACKAGES = {name for name, path in MODULES.items() if path.name == "__init__.py"}

Definition = ast.FunctionDef | ast.ClassDef


def imports_of(module: str) -> set[str]:
    """The modules of ours that a module imports, inside functions too."""
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys()
            if names - MODULES.keys():
                found.add(str(node.module))
    return found & MODULES.keys()


def definitions(module: str) -> Iterator[Definition]:
    """Public functions and classes at the top of a module; of overloads, the implementation."""
    for node in TREES[module].body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            decorators = {ast.unparse(decorator) for decorator in node.decorator_list}
            if not decorators & {"overload", "typing.overload"}:
                yield node


def methods(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {item.name: item for item in node.body if isinstance(item, ast.FunctionDef)}


# --- Names ---


def test_version_is_that_of_the_metadata():
    assert petseg.__version__ == importlib.metadata.version("petseg")


def test_package_is_marked_as_typed():
    assert (SOURCE / "petseg" / "py.typed").is_file()
    assert (SOURCE / "petseg_runtime" / "py.typed").is_file()


def test_public_names_are_those_of_the_api_reference():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    documented = re.findall(r"^::: (petseg[\w.]*)$", page, re.MULTILINE)
    assert len(set(documented)) == len(documented)
    for name in documented:  # each can be imported
        module, _, attribute = name.rpartition(".")
        assert hasattr(importlib.import_module(module), attribute), f"docs/api.md: {name}"
    names = {name.partition(".")[2] for name in documented if name.count(".") == 1}
    assert sorted(petseg.__all__) == sorted(set(petseg.__all__))
    assert {
        "missing in docs/api.md": sorted(set(petseg.__all__) - names),
        "missing in petseg.__all__": sorted(names - set(petseg.__all__)),
    } == {"missing in docs/api.md": [], "missing in petseg.__all__": []}
    for name in petseg.__all__:
        assert getattr(petseg, name) is not None


def test_no_module_hides_a_public_name_of_its_package():
    """`petseg.export` cannot be a function and a module: the later import would win."""
    hidden = []
    for package in SUBPACKAGES:
        names = set()
        for node in TREES[package].body:
            if isinstance(node, ast.ImportFrom):
                names |= {
                    alias.asname or alias.name
                    for alias in node.names
                    if f"{node.module}.{alias.name}" not in MODULES
                }
            elif isinstance(node, Definition):
                names.add(node.name)
        if package == "petseg_cli":  # its commands are called by `app` only
            names -= {command.__name__ for command in commands().values()}
        hidden += [f"{package}.{name}" for name in names if f"{package}.{name}" in MODULES]
    assert sorted(hidden) == []


# --- Imports ---


def part_of(module: str) -> str:
    return ".".join(module.split(".")[:2])


def imported_parts(part: str) -> set[str]:
    """The other parts that the modules of a part import."""
    found = set()
    for module in filter(lambda module: part_of(module) == part, MODULES):
        for imported in imports_of(module):
            package = imported.partition(".")[0]
            is_below = package != part.partition(".")[0]
            found.add(package if is_below else part_of(imported))
    return found - {part}


def test_parts_import_what_is_listed():
    listed = {}
    for line in re.sub(r"\n +", " ", IMPORTS).split("\n"):
        part, _, imported = line.partition(":")
        listed[part] = set(imported.split())
    del listed[""]
    parts = sorted({part_of(module) for module in MODULES} - {*PACKAGES, "petseg.__main__"})
    found = {part: imported_parts(part) for part in parts}
    differences = [f"There is no {part}" for part in sorted(listed.keys() - found.keys())]
    for part, imported in found.items():
        if part not in listed:
            differences.append(f"{part} is not listed")
            continue
        differences += [f"{part} imports {name}" for name in sorted(imported - listed[part])]
        differences += [f"{part} does not import {n}" for n in sorted(listed[part] - imported)]
    rows = [f"{part}: {' '.join(sorted(imported))}".strip() for part, imported in found.items()]
    table = "\n".join(textwrap.fill(row, 100, subsequent_indent="    ") for row in rows)
    assert not differences, "\n".join([*differences, "", "IMPORTS would be:", table])


def test_packages_import_one_way():
    """petseg_cli -> petseg -> petseg_runtime; no module of petseg imports its root."""
    allowed = {
        "petseg_runtime": {"petseg_runtime"},
        "petseg": {"petseg", "petseg_runtime"},
        "petseg_cli": set(PACKAGES),
    }
    wrong = [
        f"{module} imports {imported}"
        for module in MODULES.keys() - {"petseg.__main__"}
        for imported in imports_of(module)
        if imported.partition(".")[0] not in allowed[module.partition(".")[0]]
        or (imported == "petseg" and module.startswith("petseg."))
    ]
    assert sorted(wrong) == []


def test_imports_have_no_cycle():
    graph = {module: imports_of(module) - {module} for module in MODULES}
    order = list(TopologicalSorter(graph).static_order())  # Raises on a cycle.
    assert set(order) == set(MODULES)
    assert (
        order.index("petseg_runtime.image_io") < order.index("petseg") < order.index("petseg_cli")
    )


# --- Docstrings ---


def sections(node: Definition) -> dict[str, str]:
    """The text under each heading of a Google docstring."""
    parts = re.split(
        r"^(Args|Attributes|Returns|Yields|Raises|Example|Examples):$",
        ast.get_docstring(node) or "",
        flags=re.MULTILINE,
    )
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def entries(text: str) -> set[str]:
    """The names that a section describes: `name: text`, and `name, other: text`."""
    found = re.findall(r"^ {4}(\*{0,2}\w+(?:, \*{0,2}\w+)*):", text, re.MULTILINE)
    return {name for names in found for name in names.split(", ")}


def parameters(node: ast.FunctionDef) -> set[str]:
    arguments = node.args
    names = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    found = {argument.arg for argument in names} - {"self", "cls"}
    found |= {f"*{arguments.vararg.arg}"} if arguments.vararg else set()
    return found | ({f"**{arguments.kwarg.arg}"} if arguments.kwarg else set())


def fields_or_parameters(node: ast.ClassDef) -> set[str]:
    """What making an instance takes: the fields of a dataclass, or the parameters of __init__."""
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        return {
            item.target.id
            for item in node.body
            if isinstance(item, ast.AnnAssign)
            and isinstance(item.target, ast.Name)
            and not item.target.id.startswith("_")
            and "ClassVar" not in ast.unparse(item.annotation)
        }
    init = methods(node).get("__init__")
    return parameters(init) if init else set()


def returns_something(node: ast.FunctionDef) -> bool:
    nothing = ("None", "Never", "NoReturn")
    return node.returns is not None and ast.unparse(node.returns) not in nothing


def missing_in(node: Definition) -> list[str]:
    """What the docstring of a public function or class lacks."""
    if not ast.get_docstring(node):
        return ["docstring"]
    found = sections(node)
    described = entries(found.get("Args", "")) | entries(found.get("Attributes", ""))
    is_class = isinstance(node, ast.ClassDef)
    wanted = fields_or_parameters(node) if is_class else parameters(node)
    missing = [f"Args: {name}" for name in sorted(wanted - described)]
    if not is_class and returns_something(node) and not found.keys() & {"Returns", "Yields"}:
        missing.append("Returns:")
    return missing


def is_command(module: str, node: Definition) -> bool:
    """Whether `--help` shows its docstring; each of its parameters has a help of its own."""
    if any(ast.unparse(decorator).startswith("app.") for decorator in node.decorator_list):
        return True
    return any(
        command.__name__ == node.name and command.__module__ == module
        for command in commands().values()
    )


def test_public_functions_and_classes_describe_arguments_and_results():
    missing = [
        f"{module}.{node.name}: {lack}"
        for module in MODULES
        for node in definitions(module)
        # Classes of the command line are no API.
        if not (module.startswith("petseg_cli") and isinstance(node, ast.ClassDef))
        and not is_command(module, node)
        for lack in missing_in(node)
    ]
    assert not missing, f"{len(missing)} lacks\n" + "\n".join(missing)


def definition_of(name: str) -> tuple[str, Definition] | None:
    """The module and definition behind a public name; None for constants."""
    value = getattr(petseg, name)
    module = getattr(value, "__module__", None)
    if module not in MODULES:
        return None
    return next(((module, node) for node in definitions(module) if node.name == name), None)


def raises(node: ast.AST, module: str, seen: frozenset[str] = frozenset()) -> bool:
    """Whether code raises: itself, in `validation`, or in a function of the same module."""
    local = {item.name: item for item in TREES[module].body if isinstance(item, ast.FunctionDef)}
    for part in ast.walk(node):
        if isinstance(part, ast.Raise):
            return True
        called = ast.unparse(part.func) if isinstance(part, ast.Call) else ""
        if called.startswith("validation.") and not called.startswith("validation.is_"):
            return True
        if called in local.keys() - seen and raises(local[called], module, seen | {called}):
            return True
    return False


def test_public_names_have_an_example_and_say_what_they_raise():
    missing = []
    for name in petseg.__all__:
        found = definition_of(name)
        if found is None:
            continue
        module, node = found
        headings = sections(node).keys()
        if not headings & {"Example", "Examples"}:
            missing.append(f"petseg.{name}: Example:")
        if isinstance(node, ast.ClassDef):
            makers = ("__init__", "__post_init__")
            made = [method for key, method in methods(node).items() if key in makers]
        else:
            made = [node]
        if any(raises(part, module) for part in made) and "Raises" not in headings:
            missing.append(f"petseg.{name}: Raises:")
    assert not missing, "\n".join(missing)


# --- Wording ---

FORBIDDEN = re.compile(r"\b(whence|shall|anew|thereof)\b", re.IGNORECASE)
TEXT_SUFFIXES = {".css", ".html", ".js", ".md", ".py", ".sh", ".toml", ".yml"}


def texts() -> Iterator[Path]:
    """The sources and pages, without records and what is built or installed."""
    yield ROOT / "README.md"
    for folder in ("src", "docs", "examples", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*")):
            ignored = {"results", "built", "node_modules"} & set(path.relative_to(ROOT).parts)
            if path.suffix in TEXT_SUFFIXES and not ignored:
                yield path


def test_text_is_free_of_archaic_words():
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in texts()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if FORBIDDEN.search(line)
    ]
    assert not found, "\n".join(found)


# --- Imports at run time ---


def test_import_prints_nothing_warns_of_nothing_and_opens_no_socket():
    done = run_python("-W", "error", "-c", AUDIT_SOCKETS)
    lines = [line for line in done.stderr.splitlines() if not CPP_LOG.match(line)]
    assert (done.returncode, done.stdout, lines) == (0, "", [])


@pytest.mark.parametrize("command", ["", *sorted(commands())])
def test_help_answers_without_tensorflow(command):
    call = "from petseg_cli import main; main()"
    done = run_python("-X", "importtime", "-c", call, *command.split(), "--help")
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "Usage: petseg" in done.stdout
    assert "typer" in imported
    assert not imported & {"keras", "matplotlib", "numpy", "petseg", "tensorflow"}
