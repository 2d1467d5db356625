"""The callback that records each finished epoch in a run."""

import math
import time
from typing import Any

import keras

from petseg.checkpoint import Run
from petseg.run_state import MONITOR


class EpochRecorder(keras.callbacks.Callback):
    """Records each finished epoch in a `Run`. Must be the last of the callbacks.

    The epoch that ends a stage is recorded after all callbacks have ended it: `EarlyStopping` may
    put other weights into the model then.

    Args:
        run: The open run.
        stage: Name of the stage.
    """

    def __init__(self, run: Run, stage: str):
        super().__init__()
        self._run = run
        self._stage = stage
        self._begun = 0.0
        self._last_row: dict[str, Any] | None = None

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self._begun = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        scores = {name: _plain(value) for name, value in (logs or {}).items()}
        row = {"stage": self._stage, **scores, "seconds": time.perf_counter() - self._begun}
        _check_scores(row, epoch)
        self._run.keep_best(self.model, row)
        if self.model.stop_training or epoch + 1 == self.params["epochs"]:
            self._last_row = row
        else:
            self._run.add(self.model, row)

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        if self._last_row is not None:
            self._run.add(self.model, self._last_row, stopped=bool(self.model.stop_training))


def _plain(value: Any) -> float | str:
    """A number of the logs as a float, anything else as text."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)


def _check_scores(row: dict[str, Any], epoch: int) -> None:
    loss, mean_iou = row.get("loss", math.nan), row.get(MONITOR, math.nan)
    if not math.isfinite(loss) or not math.isfinite(mean_iou):
        raise ValueError(
            f"Training stopped: after epoch {epoch + 1} the loss is {loss} and the mean IoU on "
            f"`val` is {mean_iou}. Masks must hold class indices only, or the `ignore_class` of "
            "both loss and metric; if they do, lower `learning_rate`."
        )
