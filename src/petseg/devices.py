"""Training on several devices: each computes a part of every batch."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

import keras
import tensorflow as tf

from petseg.data.epochs import SeededEpochs
from petseg.processes import all_equal, join, place
from petseg.replicas import safe_empty_parts, synchronized_batch_norm, uneven_parts
from petseg_runtime import validation


@contextmanager
def data_parallel(devices: int) -> Iterator[int]:
    """A context in which models are built and trained on several devices.

    Load the data, build the model and call `petseg.finetune` inside of it. Every device computes a
    part of each batch, and the batch size stays that of the whole batch. The result is the same as
    on one device, but for the rounding of sums and, on TensorFlow, the pixels that dropout drops.
    It needs a loss of petseg: those of Keras take the mean of the means of the devices, which
    differs where the parts differ in size or pixels are ignored.

    On TensorFlow this is `tf.distribute.MirroredStrategy`, for the devices of one machine. On JAX
    it is `keras.distribution.DataParallel`, which also works in several processes, on one machine
    or many: a launcher such as torchrun or Slurm's srun starts the same program for each. Every
    process reads all data and makes whole batches. With shards that are not cached, a process reads
    its own training shards and makes its part of each batch, so the result depends on the number
    of processes. Process 0 writes the files of a run, into a folder that all processes can read.

    Args:
        devices: Number of devices of this process: GPUs, or TPUs on JAX. Without any, the processor
            is divided into `devices` devices, which is not faster, but enough to test a program.

    Yields:
        The number of devices of all processes.

    Raises:
        ValueError: If `devices` is out of its range, the environment variables of a launcher are
            wrong, or the backend cannot do this or has started with fewer devices.

    Example:
        >>> with petseg.data_parallel(2):
        ...     pets = petseg.load_pets()
        ...     model = petseg.unet(class_names=pets.class_names)
        ...     petseg.finetune(model, pets.train, pets.val, run_dir="runs/unet")
    """
    chosen = find_devices(devices)
    with _scope(chosen):
        yield len(chosen)


def find_devices(devices: int) -> list[str]:
    """Connects the processes of a launcher, and finds their devices. Divides the processor.

    TensorFlow and JAX can do this only before they have computed anything.

    Args:
        devices: Number of devices of this process.

    Returns:
        The names of the devices of all processes.

    Raises:
        ValueError: As for `data_parallel`.
    """
    devices = validation.integer("devices", devices, 1)
    backend = keras.backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise ValueError(
            "`data_parallel` needs the TensorFlow or the JAX backend of Keras. Received: "
            f"{backend}. Set the environment variable KERAS_BACKEND=jax."
        )
    join()
    if not all_equal(devices):
        raise ValueError(
            f"`devices` must be the same number in all processes. Received: {devices}, and another "
            "one elsewhere."
        )
    return _tensorflow_devices(devices) if backend == "tensorflow" else _jax_devices(devices)


class SplitBatches(keras.distribution.DataParallel):
    """Data parallelism on JAX for batches of any size, which need not divide by the devices.

    Every device gets the whole batch of pixels. XLA then divides the computation after the first
    layer of the model, where parts may differ in size. See `PartsOfBatches` for the exception.

    Args:
        devices: Names of the devices of all processes.

    Attributes:
        has_parts: Whether the next batches are parts of equal size, one of each process.
    """

    def __init__(self, devices: list[str]):
        super().__init__(devices=devices, auto_shard_dataset=False)
        self.has_parts = False
        self._first_layer: str | None = None

    @contextmanager
    def dividing(self, model: keras.Model) -> Iterator[None]:
        """A context in which the batches of a model are divided.

        Args:
            model: The model.

        Yields:
            Nothing.
        """
        self._first_layer = _first_layer(model)
        try:
            yield
        finally:
            self._first_layer = None

    def get_data_layout(self, data_shape: tuple[int, ...]) -> keras.distribution.TensorLayout:
        axes = [self.batch_dim_name if self.has_parts else None, *[None] * (len(data_shape) - 1)]
        return keras.distribution.TensorLayout(axes, self.device_mesh)

    def get_tensor_layout(self, path: str) -> keras.distribution.TensorLayout | None:
        if self._first_layer is None or path.split("/")[-2:] != [self._first_layer, "output"]:
            return None
        return keras.distribution.TensorLayout([self.batch_dim_name], self.device_mesh)


class PartsOfBatches(keras.callbacks.Callback):
    """Trains on parts of batches, one of each process. Validation batches are whole.

    Keras asks for the layout of the training batches once, before the first of them.

    Args:
        distribution: The distribution that the model is trained with.
    """

    def __init__(self, distribution: SplitBatches):
        super().__init__()
        self._distribution = distribution

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self._distribution.has_parts = True

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self._distribution.has_parts = False


def parts_of_batches(
    epochs: SeededEpochs | None,
) -> tuple[int, int, list[keras.callbacks.Callback]]:
    """Decides which part of the training batches this process makes.

    Args:
        epochs: What the batches are made from, or None where that is not known.

    Returns:
        Number of the part, from 0, number of parts, and callbacks for the training. One part where
        every process makes whole batches.

    Raises:
        ValueError: If the batches cannot be divided by the devices.
    """
    distribution = keras.distribution.distribution()
    number, count = place()
    if not isinstance(distribution, SplitBatches) or count == 1:
        return 0, 1, []
    if epochs is None or epochs.records.part is None:
        return 0, 1, []
    devices = int(distribution.device_mesh.shape[0])
    if epochs.batch_size % devices:
        raise ValueError(
            f"`batch_size` must be divisible by {devices}, the number of devices, where every "
            f"process reads its own shards. Received: {epochs.batch_size}."
        )
    return number, count, [PartsOfBatches(distribution)]


@contextmanager
def training_scope(model: keras.Model) -> Iterator[None]:
    """A context in which a model is compiled and trained on the devices that it was built on.

    Args:
        model: The model.

    Yields:
        Nothing.
    """
    distribution = keras.distribution.distribution()
    strategy = getattr(model, "distribute_strategy", None)
    if isinstance(distribution, SplitBatches):
        with distribution.dividing(model):
            yield
    elif strategy is not None and strategy.num_replicas_in_sync > 1:
        with (
            strategy.scope(),
            synchronized_batch_norm(model),
            safe_empty_parts(model),
            uneven_parts(model),
        ):
            yield
    else:
        yield


def _first_layer(model: keras.Model) -> str:
    """Name of the layer that gets the images, inside the encoder if there is none before it."""
    layers = (layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer))
    first = next(layers)
    return _first_layer(first) if isinstance(first, keras.Model) else str(first.name)


def _scope(devices: list[str]) -> Any:
    if len(devices) == 1:
        return nullcontext()
    if keras.backend.backend() == "tensorflow":
        return tf.distribute.MirroredStrategy(devices).scope()
    return SplitBatches(devices).scope()


def _tensorflow_devices(devices: int) -> list[str]:
    kind = "GPU" if tf.config.list_physical_devices("GPU") else "CPU"
    if kind == "CPU" and devices > 1:
        processor = tf.config.list_physical_devices("CPU")[0]
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        with suppress(RuntimeError):  # TensorFlow has started. Its devices may be enough.
            tf.config.set_logical_device_configuration(processor, parts)
    found = len(tf.config.list_logical_devices(kind))
    _check_count(devices, found, kind)
    return [f"{kind}:{number}" for number in range(devices)]


def _jax_devices(devices: int) -> list[str]:
    import jax

    if devices > 1:
        with suppress(RuntimeError):  # JAX has started. Its devices may be enough.
            jax.config.update("jax_num_cpu_devices", devices)
    local = jax.local_devices()
    _check_count(devices, len(local), local[0].platform.upper())
    by_process: dict[int, list[str]] = {}
    for device in jax.devices():
        by_process.setdefault(device.process_index, []).append(f"{device.platform}:{device.id}")
    return [name for names in by_process.values() for name in names[:devices]]


def _check_count(devices: int, found: int, kind: str) -> None:
    if devices > found and kind == "CPU":
        raise ValueError(
            f"`devices` must be at most {found} after {keras.backend.backend()} has started on the "
            f"processor. Received: {devices}. Call `data_parallel` before the data is loaded."
        )
    if devices > found:
        raise ValueError(
            f"`devices` must be at most {found}, the number of {kind}s. Received: {devices}."
        )
