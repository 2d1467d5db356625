"""The environment is complete and can be stored as JSON."""

import json
import os
import platform

import keras
import pytest

import petseg
from petseg.environment import environment

pytestmark = pytest.mark.backend


def test_environment_is_complete_json():
    found = environment()
    assert json.loads(json.dumps(found)) == found
    assert found["versions"]["python"] == platform.python_version()
    assert found["versions"]["petseg"] == petseg.__version__
    assert found["versions"]["keras"] == keras.__version__
    assert {"tensorflow", "numpy"} <= found["versions"].keys()
    assert found["backend"] == keras.backend.backend()
    assert found["cpu"]
    if not any(name.startswith("gpu") for name in keras.distribution.list_devices()):
        assert found["accelerators"] == []


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are limited on Linux only")
def test_only_usable_cores_are_counted():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert environment()["cores"] == 1
    finally:
        os.sched_setaffinity(0, allowed)
    assert environment()["cores"] == len(allowed)
