"""What `petseg train` shows while it trains."""

import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

import keras
from rich.console import Console
from rich.live import Live
from rich.text import Text

from petseg.experiment import Settings
from petseg.run_state import MONITOR, RunFiles, RunState


class TrainingDisplay(keras.callbacks.Callback):
    """One line that is redrawn, in a terminal; elsewhere a line for each epoch.

    A context manager: the line is drawn until it is left.

    Args:
        settings: Settings of the experiment, for the number of epochs.
        folder: Its folder, for the best epoch before a run was stopped.
        console: Where to draw.
    """

    def __init__(self, settings: Settings, folder: Path, console: Console):
        super().__init__()
        self._frozen_epochs = settings.frozen_epochs
        self._epochs = settings.frozen_epochs + settings.epochs
        self._console = console
        self._begun = time.monotonic()
        self._epoch, self._step, self._loss = 0, 0, ""
        state = RunFiles(folder).state
        done = RunState.read(state).epochs if state.exists() else []
        self._best = max((row[MONITOR] for row in done), default=None)
        self._last = done[-1][MONITOR] if done else None
        self._live = Live(console=console, get_renderable=self._line, refresh_per_second=4)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        if self._console.is_terminal:
            self._live.start()  # Does nothing in the second stage.

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        self._epoch, self._step = epoch, 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._step = batch + 1
        self._loss = f"{(logs or {}).get('loss', float('nan')):.3f}"

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:  # noqa: ARG002
        score = (logs or {}).get(MONITOR)
        if score is not None:
            self._last = float(score)
            self._best = max(self._last, self._last if self._best is None else self._best)
        if not self._console.is_terminal:
            self._console.print(self._line(), soft_wrap=True)

    def _line(self) -> Text:
        stage = "frozen" if self._epoch < self._frozen_epochs else "thawed"
        parts = [f"{stage} {self._epoch + 1}/{self._epochs}"]
        if self.params:
            parts.append(f"step {self._step}/{self.params['steps']}")
        if self._loss:
            parts.append(f"loss {self._loss}")
        if self._last is not None:
            parts.append(f"mean IoU {self._last:.3f} (best {self._best:.3f})")
        parts.append(str(timedelta(seconds=int(time.monotonic() - self._begun))))
        return Text("  ".join(parts), no_wrap=True, overflow="ellipsis")
