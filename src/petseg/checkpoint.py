"""A training run that can be killed and gone on with: its epochs, its best weights, its files."""

import csv
import importlib.util
import json
import math
import os
import shutil
from pathlib import Path
from typing import Any

import keras

from petseg.atomic_files import whole_file, write_json

MONITOR = "val_mean_iou"
FROZEN = "frozen.weights.h5"  # the best epoch's of before the thaw


class Run:
    """The epochs done so far: in memory, and in `folder` if there is one.

    `run.json` is the one file that says what is done; weights are in place before it names them.
    (Keras's `BackupAndRestore` writes weights and epoch one after the other, and leaves its epoch
    number on the model, where a later `fit` finds it.)
    """

    def __init__(self, folder: Path | None, settings: dict[str, Any]):
        self.folder = folder
        self.settings = settings
        self.rows: list[dict[str, Any]] = []
        self.finished = False
        self._seeds: list[Any] = []  # of the layers that draw, such as dropout
        self._best_weights: list[Any] | None = None

    @classmethod
    def open(cls, run_dir: str | os.PathLike[str] | None, settings: dict[str, Any]) -> "Run":
        """A new run, or the one in `run_dir`, which must have the same settings."""
        run = cls(None if run_dir is None else Path(run_dir), settings)
        if run.folder is None:
            return run
        if run.folder.exists() and not run.folder.is_dir():
            raise ValueError(f"`run_dir` must be a folder. Received: {run.folder}, a file.")
        run.folder.mkdir(parents=True, exist_ok=True)
        if run._state.exists():
            state = json.loads(run._state.read_text(encoding="utf-8"))
            changed = {
                name: (state["settings"].get(name), value)
                for name, value in settings.items()
                if state["settings"].get(name) != value
            }
            if changed:
                detail = "; ".join(f"{k} was {a!r}, is {b!r}" for k, (a, b) in changed.items())
                raise ValueError(
                    f"`run_dir` must be a new folder, or that of a run with the same settings. "
                    f"Received: {run.folder}, where {detail}."
                )
            run.rows, run.finished = state["epochs"], state["finished"]
            run._seeds = state["seeds"]
        return run

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.rows)

    def _file(self, name: str) -> Path:
        assert self.folder is not None
        return self.folder / name

    @property
    def _state(self) -> Path:
        return self._file("run.json")

    @property
    def _backup(self) -> Path:
        return self._file(f"epoch-{self.epoch:03d}.weights.h5")

    def add(self, model: keras.Model, row: dict[str, Any]) -> None:
        """Records a finished epoch, with the model's weights and the optimizer's."""
        self.rows.append(row)
        is_best = row[MONITOR] >= max(done[MONITOR] for done in self.rows)
        if self.folder is None:
            self._best_weights = model.get_weights() if is_best else self._best_weights
            return
        backup = self._backup
        model.save_weights(backup)  # without the states of seeds
        self._seeds = [keras.ops.convert_to_numpy(seed).tolist() for seed in _seeds_of(model)]
        if is_best:
            with whole_file(self.folder / "best.weights.h5") as part:
                without_optimizer(model).save_weights(part)
            if row["stage"] == "frozen":
                shutil.copyfile(self.folder / "best.weights.h5", self.folder / FROZEN)
        self._write_state()
        for old in self.folder.glob("epoch-*.weights.h5"):
            if old != backup:
                old.unlink()

    def pass_over(self, train: Any) -> None:
        """Brings `train` to the epoch that comes next.

        petseg's datasets draw order and augmentation for each iterator; Keras makes two an epoch.
        """
        for _ in range(2 * self.epoch):
            iter(train)

    def restore(self, model: keras.Model) -> None:
        """Gives the compiled `model` its weights and its optimizer's as after the last epoch."""
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self._backup)
        for seed, state in zip(_seeds_of(model), self._seeds, strict=True):
            seed.assign(state)

    def finish(self, model: keras.Model) -> None:
        """Gives `model` the best epoch's weights; the run needs its backup no more."""
        if self.folder is None:
            if self._best_weights is not None:
                model.set_weights(self._best_weights)
            return
        if self.rows:
            without_optimizer(model).load_weights(self.folder / "best.weights.h5")
        self.finished = True
        self._write_state()
        for backup in self.folder.glob("epoch-*.weights.h5"):
            backup.unlink()

    def history(self) -> tuple[list[int], dict[str, list[Any]]]:
        """The epochs' numbers, and a list over them for each name in the logs and for "stage"."""
        names = dict.fromkeys(name for row in self.rows for name in row)
        columns = {name: [row.get(name) for row in self.rows] for name in names}
        return list(range(self.epoch)), columns

    def tensorboard(self) -> list[keras.callbacks.Callback]:
        """The callback that writes TensorBoard's files, where it is installed."""
        if self.folder is None or importlib.util.find_spec("tensorboard") is None:
            return []
        logs = str(self.folder / "tensorboard")
        return [keras.callbacks.TensorBoard(logs, write_graph=False)]

    def _write_state(self) -> None:
        epochs, columns = self.history()
        with (
            whole_file(self._file("history.csv")) as part,
            part.open("w", encoding="utf-8", newline="") as table,
        ):
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(["epoch", *columns])
            writer.writerows(zip(epochs, *columns.values(), strict=True))
        state = {
            "settings": self.settings,
            "finished": self.finished,
            "seeds": self._seeds,
            "epochs": self.rows,
        }
        write_json(self._state, state)


def _seeds_of(model: keras.Model) -> list[keras.Variable]:
    return [variable for variable in model.variables if "seed_generator" in variable.path]


def without_optimizer(model: keras.Model) -> keras.Model:
    """The same layers and weights with no optimizer, whose state would go into a weights file."""
    return keras.Model(model.inputs, model.outputs)


class RunLog(keras.callbacks.Callback):
    """Puts each finished epoch into a `Run`; stops the training when it has diverged."""

    def __init__(self, run: Run, stage: str):
        super().__init__()
        self.run = run
        self.stage = stage

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        row = {name: float(value) for name, value in (logs or {}).items()}
        if MONITOR not in row:
            raise ValueError(
                "`model` must be compiled with `petseg.MeanIoU` under its own name, and `val` must "
                f"not be empty: no {MONITOR!r} among {', '.join(row)}."
            )
        if not math.isfinite(row["loss"]) or not math.isfinite(row[MONITOR]):
            raise ValueError(
                f"Training stopped: after epoch {epoch + 1} the loss is {row['loss']} and the mean "
                f"IoU on `val` {row[MONITOR]}. Masks must hold class indices only, or the metric's "
                "and the loss's `ignore_class`; if they do, lower `learning_rate`."
            )
        self.run.add(self.model, {"stage": self.stage, **row})
