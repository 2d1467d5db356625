"""What a measured figure depends on beside the code: versions and hardware."""

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import keras


def environment() -> dict[str, Any]:
    """Versions of Python and the packages that compute, and the hardware, ready for JSON."""
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
        "accelerators": keras.distribution.list_devices("gpu"),
    }


def _cpu_model() -> str:
    # Linux alone tells the model of the processor; `platform` knows little more than "x86_64".
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _usable_cores() -> int:
    # A container or `taskset` may grant fewer cores than the machine has.
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
