"""Compiling a model again with the user's own loss, metrics and optimizer objects.

A round trip through a configuration would lose unregistered metrics, subclasses of optimizers,
lambdas and `exclude_from_weight_decay`. Keras has no public access to the objects that a model was
compiled with, and none to start an optimizer again. All use of its internals is in this module.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, TypeAlias

import keras
import numpy as np

LearningRate: TypeAlias = float | keras.optimizers.schedules.LearningRateSchedule


class Compilation:
    """The objects that a model was compiled with, to compile it again for each stage.

    Args:
        model: A compiled model.

    Raises:
        ValueError: If the model is not compiled, has no metric `mean_iou`, or has an optimizer
            without one learning rate.
    """

    def __init__(self, model: keras.Model):
        if not model.compiled or model.optimizer is None:
            raise ValueError(
                "`model` must be compiled with an optimizer, a loss and `petseg.MeanIoU`. Call "
                "`model.compile(optimizer, loss, metrics=[petseg.MeanIoU(num_classes)])` first."
            )
        self._model = model
        self._arguments = dict(model._compile_config.config)
        # Under mixed_float16, Keras wraps the user's optimizer by itself.
        scales_loss = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
        self._arguments["auto_scale_loss"] = scales_loss
        self._metrics = keras.tree.flatten(
            [self._arguments["metrics"], self._arguments["weighted_metrics"]]
        )
        if not any(getattr(metric, "name", None) == "mean_iou" for metric in self._metrics):
            raise ValueError(
                "`model` must be compiled with `petseg.MeanIoU` under its own name, `mean_iou`, "
                "which decides what the best epoch is. Received: metrics "
                f"{describe(self._arguments['metrics'])}."
            )
        self._optimizer = RestartableOptimizer(self._arguments["optimizer"])

    @property
    def steps_per_execution(self) -> int:
        """Batches in one call of the compiled training function."""
        return int(self._arguments["steps_per_execution"])

    def compile(self, learning_rate: LearningRate) -> None:
        """Compiles the model again, which applies changes of `trainable`.

        Args:
            learning_rate: The learning rate of the optimizer, which starts without state.
        """
        self._optimizer.restart(learning_rate)
        for metric in self._metrics:
            # Keras does not reset metrics before the first batch after `compile`.
            if isinstance(metric, keras.Metric):
                metric.reset_state()
        self._model.compile(**self._arguments)
        self._model.optimizer.build(self._model.trainable_variables)

    def description(self) -> dict[str, Any]:
        """Describes optimizer, loss and metrics, ready for JSON, to compare two runs."""
        names = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics")
        return {name: describe(self._arguments[name]) for name in names}


class RestartableOptimizer:
    """An optimizer that can be used again with no state, for other variables.

    Args:
        optimizer: The optimizer. The object itself is used, not a copy.

    Raises:
        ValueError: If it has no single learning rate.
    """

    def __init__(self, optimizer: Any):
        if hasattr(optimizer, "optimizers"):
            raise ValueError(
                "`model` must be compiled with an optimizer that has one learning rate. Received: "
                f"{type(optimizer).__name__}. Train such a model with `model.fit`."
            )
        self._parts = [optimizer]
        if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
            self._parts.insert(0, optimizer.inner_optimizer)
        # Variables that exist before `build` belong to the optimizer. The others are its state.
        self._own = [
            [part._iterations, part._learning_rate] if part.built else part._variables[:]
            for part in self._parts
        ]

    def restart(self, learning_rate: LearningRate) -> None:
        """Removes all state and sets the learning rate.

        Args:
            learning_rate: A number or a schedule.
        """
        for part, own in zip(self._parts, self._own, strict=True):
            for variable in part._variables[:]:
                if not any(variable is kept for kept in own):
                    part._untrack_variable(variable)
            part._trainable_variables_indices.clear()
            if hasattr(part, "_trackable_children"):
                part._trackable_children = _children_of(part)
            part._iterations.assign(0)
            part.built = False
        inner = self._parts[0]
        if isinstance(learning_rate, float) and not isinstance(
            inner._learning_rate, keras.Variable
        ):
            # Keras does not let a number replace a schedule.
            inner._learning_rate = inner.add_variable(
                (), initializer=keras.initializers.Constant(learning_rate), name="learning_rate"
            )
            self._own[0].append(inner._learning_rate)
        else:
            inner.learning_rate = learning_rate


def _children_of(optimizer: Any) -> Callable[..., Mapping[str, Any]]:
    """Leaves the state of an optimizer out of a SavedModel, which has no use for it.

    TensorFlow refuses to save a list from which something was removed.
    """
    children = type(optimizer)._trackable_children

    def kept(save_type: str = "checkpoint", **arguments: Any) -> Mapping[str, Any]:
        is_export = save_type == "savedmodel"
        return {} if is_export else children(optimizer, save_type, **arguments)

    return kept


def describe(part: Any, leave_out: Collection[str] = ()) -> Any:
    """Describes an argument of `compile`, ready for JSON.

    Args:
        part: An object of Keras or of the user, a function, a number, a name, or a collection.
        leave_out: Keys of mappings to leave out.

    Returns:
        A description that is equal for objects of equal type and configuration. It leaves out
        names, because Keras numbers them, and learning rates, because the stages set them.
    """
    if part is None or isinstance(part, bool | int | float | str):
        return part
    if isinstance(part, np.generic | np.ndarray):
        return part.tolist()
    if isinstance(part, Mapping):
        kept = {str(name): value for name, value in part.items() if name not in leave_out}
        return {name: describe(value, leave_out) for name, value in kept.items()}
    if isinstance(part, Sequence):
        return [describe(value, leave_out) for value in part]
    if hasattr(part, "get_config") and not isinstance(part, type):
        return {"class": type(part).__qualname__, **_configuration(part)}
    return getattr(part, "__qualname__", type(part).__qualname__)


def _configuration(part: Any) -> dict[str, Any]:
    try:
        config = dict(part.get_config())
    except Exception:  # Classes of the user need not have a configuration.
        return {}
    described: dict[str, Any] = describe(config, leave_out=("name", "learning_rate"))
    return described
