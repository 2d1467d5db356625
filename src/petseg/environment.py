"""Versions and hardware, to be stored next to measured figures."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import keras


def environment() -> dict[str, Any]:
    """Returns the versions and the hardware that measured figures depend on.

    Returns:
        A record of JSON types: "versions" of Python, petseg, Keras, TensorFlow and NumPy; "backend"
        of Keras; "platform"; "cpu" model; "cores" that this process may use; "accelerators" that
        Keras sees.
    """
    packages = ("petseg", "keras", "tensorflow", "numpy")
    return {
        "versions": {
            "python": platform.python_version(),
            **{package: metadata.version(package) for package in packages},
        },
        "backend": keras.backend.backend(),
        "platform": platform.platform(),
        "cpu": _cpu_model(),
        "cores": _usable_cores(),
        # JAX raises where it is asked for a kind of device that is not there.
        "accelerators": [
            name for name in keras.distribution.list_devices() if not name.startswith("cpu")
        ],
    }


def _cpu_model() -> str:
    # `platform` often knows no more than "x86_64"; Linux has the model in a file.
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    # A container or `taskset` can limit a process to some of the machine's cores.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
