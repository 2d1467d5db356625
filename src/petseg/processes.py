"""The processes that train one model together: how they find each other, and which one writes.

Several processes need the JAX backend: the strategies of TensorFlow for several machines do not
work with Keras 3. Without `join`, or on another backend, there is one process.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np


@dataclass(frozen=True)
class Launch:
    """What a launcher told this process.

    Attributes:
        processes: Number of processes.
        rank: Number of this process, from 0, or None if JAX is to find out.
        address: Host and port of process 0, or None if JAX is to find out.
        local_rank: Number of this process on its machine, which is that of its GPU, or None.
    """

    processes: int
    rank: int | None = None
    address: str | None = None
    local_rank: str | None = None


def find_launch(environment: Mapping[str, str]) -> Launch:
    """Reads the environment variables of a launcher.

    These are `MASTER_ADDR`, `MASTER_PORT`, `WORLD_SIZE` and `RANK`, as torchrun sets them; those of
    `keras.distribution.initialize`; or those of Slurm's srun.

    Args:
        environment: The environment variables.

    Returns:
        What they say. One process where none of them is set.

    Raises:
        ValueError: If some of the variables are missing or wrong.
    """
    if "WORLD_SIZE" in environment:
        count, rank = _number(environment, "WORLD_SIZE", 1), _number(environment, "RANK")
        if count == 1:
            return Launch(1)
        address = f"{_text(environment, 'MASTER_ADDR')}:{_number(environment, 'MASTER_PORT')}"
        local_rank = None
        if environment.get("LOCAL_WORLD_SIZE", "1") != "1":
            local_rank = _text(environment, "LOCAL_RANK")
        return _checked(Launch(count, rank, address, local_rank))
    keras_count = "KERAS_DISTRIBUTION_NUM_PROCESSES"
    if keras_count in environment:
        count, rank = (
            _number(environment, name) for name in (keras_count, "KERAS_DISTRIBUTION_PROCESS_ID")
        )
        return _checked(Launch(count, rank, _text(environment, "KERAS_DISTRIBUTION_JOB_ADDRESSES")))
    if environment.get("SLURM_STEP_NUM_TASKS", "1") != "1":
        return Launch(_number(environment, "SLURM_STEP_NUM_TASKS"))
    return Launch(1)


def join() -> None:
    """Connects this process with the others that a launcher started, once. They must all do this.

    Raises:
        ValueError: If environment variables of the launcher are missing or wrong, or there are
            others and the backend is not JAX.
    """
    launch = find_launch(os.environ)
    if launch.processes == 1 or _joined():
        return
    if keras.backend.backend() != "jax":
        raise ValueError(
            f"Training in {launch.processes} processes needs the JAX backend, because TensorFlow's "
            "strategies for several machines do not work with Keras 3. Received: "
            f"{keras.backend.backend()}. Set the environment variable KERAS_BACKEND=jax."
        )
    if launch.local_rank is not None:
        os.environ.setdefault("JAX_LOCAL_DEVICE_IDS", launch.local_rank)
    keras.distribution.initialize(launch.address, launch.processes, launch.rank)


def place() -> tuple[int, int]:
    """Tells this process from the others.

    Returns:
        Its number, from 0, and the number of processes.
    """
    return (_jax().process_index(), _jax().process_count()) if _joined() else (0, 1)


def is_first() -> bool:
    """Tells the process that writes files and prints from the others.

    Returns:
        Whether it is this one.
    """
    return place()[0] == 0


@contextmanager
def alone() -> Iterator[None]:
    """A context in which one process may save a model, without the others.

    Keras makes an optimizer when it saves a model, and so would wait for the other processes.

    Yields:
        Nothing.
    """
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def wait_for_all(reached: str) -> None:
    """Waits until all processes have come here.

    Args:
        reached: Name of the place, the same in all processes.
    """
    if _joined():
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(reached)


def all_agree(good: bool) -> bool:
    """Tells all processes whether something went well in each of them.

    Args:
        good: Whether it went well in this process.

    Returns:
        Whether it went well in all.
    """
    if not _joined():
        return good
    from jax.experimental import multihost_utils

    return bool(np.all(multihost_utils.process_allgather(np.array(good))))


def all_equal(value: Any) -> bool:
    """Compares a value with that of the other processes.

    Args:
        value: The value of this process, ready for JSON.

    Returns:
        Whether all processes have the same one.
    """
    if not _joined():
        return True
    from jax.experimental import multihost_utils

    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    found = multihost_utils.process_allgather(np.frombuffer(digest, np.uint8))
    return bool(np.all(found == found[0]))


@contextmanager
def naming_lost_processes() -> Iterator[None]:
    """Explains the error of JAX after another process has ended.

    Yields:
        Nothing.

    Raises:
        ConnectionError: In place of that error.
    """
    try:
        yield
    except RuntimeError as error:
        if type(error).__name__ != "JaxRuntimeError" or place()[1] == 1:
            raise
        raise ConnectionError(
            f"Another process has ended, or cannot be reached: {str(error).splitlines()[0]} Start "
            "all processes again: the run continues after its last finished epoch."
        ) from error


def _joined() -> bool:
    return keras.backend.backend() == "jax" and bool(_jax().distributed.is_initialized())


def _jax() -> Any:
    import jax

    return jax


def _checked(launch: Launch) -> Launch:
    if launch.processes < 1 or launch.rank is None or not 0 <= launch.rank < launch.processes:
        raise ValueError(
            "The number of this process must be 0 or more and less than the number of processes. "
            f"Received: {launch.rank} of {launch.processes}. Check the environment variables of "
            "the launcher."
        )
    return launch


def _text(environment: Mapping[str, str], name: str) -> str:
    value = environment.get(name, "")
    if not value:
        raise ValueError(
            f"The environment variable {name} must be set for training in several processes. Start "
            "them with a launcher that sets it, such as torchrun or srun."
        )
    return value


def _number(environment: Mapping[str, str], name: str, minimum: int = 0) -> int:
    value = _text(environment, name)
    if not value.isdecimal() or int(value) < minimum:
        raise ValueError(
            f"The environment variable {name} must be a number, {minimum} or more. Received: "
            f"{value}."
        )
    return int(value)
