"""The resumable state of a training run: in memory, and in a folder."""

import csv
import importlib.util
import json
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import keras

from petseg import processes
from petseg.run_lock import RunLock
from petseg.run_state import (
    COMPLETE,
    FROZEN,
    MONITOR,
    REMEDY,
    TRAINED,
    TRAINING,
    RunFiles,
    RunState,
)
from petseg_runtime.atomic_files import whole_file
from petseg_runtime.digests import file_digest

NEW = ".new-"  # before the name of a weights file that `run.json` does not name yet


class Run:
    """A training run: its state in memory and, where it has a folder, on disk.

    New weights are written first, under names of their own. Then `run.json` names them with their
    checksums, and after that they get their final names. A process that is killed at any point
    leaves a folder that `open` brings to the state of the last finished epoch.

    Use `Run.open`, as a context manager: it holds the lock of the folder. Of several processes that
    train together, the first has the lock and writes; the others only read.

    Args:
        folder: The folder of the run, or None for a run without files.
    """

    def __init__(self, folder: Path | None):
        self.files = None if folder is None else RunFiles(folder)
        self.state = RunState()
        self._best_weights: list[Any] | None = None
        self._writes = self.files is not None and processes.is_first()
        self._lock = RunLock(self.files.lock) if self.files and self._writes else None
        self._new_folder = False

    @classmethod
    def open(cls, run_dir: str | os.PathLike[str] | None) -> Self:
        """Opens the run in a folder, or begins one, and locks the folder.

        Args:
            run_dir: The folder, made if it does not exist, or None for a run without files.

        Returns:
            The run.

        Raises:
            BlockingIOError: If another process trains in the folder.
            ValueError: If `run_dir` is a file or has results of something else, if one of the run's
                files is damaged, or if the first of several processes could not open the folder.
        """
        run = cls(None if run_dir is None else Path(run_dir))
        if run.files is None:
            return run
        error: Exception | None = None
        if run._lock is not None:
            try:
                run._begin(run.files, run._lock)
            except (OSError, ValueError) as found:
                error = found
        if not processes.all_agree(error is None):
            raise error or ValueError(f"Process 0 could not open {run.files.folder}.")
        if not run._writes and run.files.state.exists():
            run.state = RunState.read(run.files.state)
        return run

    @classmethod
    def tidy(cls, folder: str | os.PathLike[str]) -> None:
        """Finishes or undoes what a killed process left half done, in the first process.

        Args:
            folder: The folder of a run.

        Raises:
            BlockingIOError: If another process trains in the folder.
            ValueError: If one of the run's files is damaged.
        """
        run = cls(Path(folder))
        if run.files is not None and run._lock is not None:
            run._begin(run.files, run._lock)
            run.close()

    def _begin(self, files: RunFiles, lock: RunLock) -> None:
        """Locks the folder and reads its state, or leaves it as it was."""
        folder = files.folder
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"`run_dir` must be a folder. Received: {folder}, a file.")
        self._new_folder = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
        try:
            if files.state.exists():
                self.state = RunState.read(files.state)
            else:
                _check_no_results(files)
            self._recover(files)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Releases the lock, and removes a new folder if no epoch was finished."""
        if self.files is None or self._lock is None:
            return
        self._lock.release()
        if self._new_folder and not self.files.state.exists():
            shutil.rmtree(self.files.tensorboard, ignore_errors=True)
            if not any(self.files.folder.iterdir()):
                self.files.folder.rmdir()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def use_settings(self, section: str, settings: dict[str, Any]) -> None:
        """Records the settings of a new run, or compares them with those of a run to resume.

        Args:
            section: Who sets them.
            settings: Everything that decides the result, ready for JSON.

        Raises:
            ValueError: If the folder holds a run with other settings. Names what changed. Or if
                another process has other settings.
        """
        settings = json.loads(json.dumps(settings))  # Tuples become lists, as in the file.
        if not processes.all_equal(settings):
            raise ValueError(
                f"All processes must have the same settings of the {section}. Start each with the "
                "same command and the same data."
            )
        if self.files is not None:
            self.state.check_settings(section, settings, self.files.folder)
        self.state.settings[section] = settings

    @property
    def epoch(self) -> int:
        """How many epochs are done."""
        return len(self.state.epochs)

    def is_ended(self, stage: str, epochs: int) -> bool:
        """Returns whether a stage of `epochs` epochs needs no more training."""
        done = self.state.epochs_of(stage) >= epochs
        return done or stage in self.state.stopped or self.state.status != TRAINING

    def keep_best(self, model: keras.Model, row: dict[str, Any]) -> None:
        """Keeps the weights of a finished epoch if none before had a better mean IoU.

        Args:
            model: The model after that epoch.
            row: Logs of that epoch, with its stage.
        """
        if any(done[MONITOR] > row[MONITOR] for done in self.state.epochs):
            return
        if self.files is None:
            self._best_weights = model.get_weights()
        if self.files is None or not self._writes:
            return
        self._write(self.files.best, without_optimizer(model).save_weights)
        if row["stage"] == FROZEN:
            self._write(self.files.frozen, without_optimizer(model).save_weights)

    def add(self, model: keras.Model, row: dict[str, Any], *, stopped: bool = False) -> None:
        """Records a complete epoch and saves what resuming after it needs.

        Args:
            model: The model after that epoch, with its optimizer.
            row: Logs of that epoch, with its stage.
            stopped: Whether a callback ended the stage with this epoch.
        """
        self.state.epochs.append(row)
        self.state.stage = row["stage"]
        if stopped:
            self.state.stopped.append(row["stage"])
        if self.files is None or not self._writes:
            return
        old = [path.name for path in self.files.backups()]
        self._write(self.files.backup(self.epoch), model.save_weights)
        for name in old:
            self.state.files.pop(name, None)
        # `save_weights` leaves the state of random layers out.
        self.state.seeds = [keras.ops.convert_to_numpy(seed).tolist() for seed in _seeds_of(model)]
        self._commit(self.files)

    def restore(self, model: keras.Model, *, optimizer: bool) -> None:
        """Restores the state of a model after the last recorded epoch.

        Args:
            model: The model. With `optimizer`, its optimizer is built.
            optimizer: Whether to restore the optimizer as well.
        """
        if self.files is None:
            return
        target = model if optimizer else without_optimizer(model)
        target.load_weights(self.files.backup(self.epoch))
        for seed, value in zip(_seeds_of(model), self.state.seeds, strict=True):
            seed.assign(value)

    def finish(self, model: keras.Model) -> None:
        """Gives a model the weights of the best epoch, and records that all epochs are done.

        Args:
            model: The trained model.
        """
        if self.files is None:
            if self._best_weights is not None:
                model.set_weights(self._best_weights)
            return
        processes.wait_for_all("the best epoch is written")
        if self.state.epochs:
            without_optimizer(model).load_weights(self.files.best)
        if self.state.status == TRAINING:
            self.state.status = TRAINED
            if not self._writes:
                return
            for backup in self.files.backups():
                self.state.files.pop(backup.name, None)
            self._commit(self.files)

    def complete(self) -> None:
        """Records that the files of the result are written too."""
        self.state.status = COMPLETE
        if self.files is not None and self._writes:
            self._commit(self.files)

    def history(self) -> tuple[list[int], dict[str, list[Any]]]:
        """Collects the logs of all epochs.

        Returns:
            The numbers of the epochs, and for each name in the logs its values.
        """
        rows = self.state.epochs
        names = dict.fromkeys(name for row in rows for name in row)
        return list(range(self.epoch)), {name: [row.get(name) for row in rows] for name in names}

    def tensorboard(self) -> Sequence[keras.callbacks.Callback]:
        """Returns the callback that writes logs for TensorBoard, where that is installed."""
        if (
            self.files is None
            or not self._writes
            or importlib.util.find_spec("tensorboard") is None
        ):
            return ()
        return (_TensorBoard(str(self.files.tensorboard), write_graph=False),)

    def _write(self, path: Path, save: Callable[[Path], None]) -> None:
        """Writes new weights beside the old ones, which count until the next commit."""
        new = _new_name(path)
        with whole_file(new) as part, processes.alone():
            save(part)
        self.state.files[path.name] = file_digest(new)

    def _commit(self, files: RunFiles) -> None:
        """Makes the state in memory the one that counts."""
        self.state.write(files.state)
        for name in self.state.files:
            new = _new_name(files.folder / name)
            if new.exists():
                new.replace(files.folder / name)
        self._tidy(files)

    def _tidy(self, files: RunFiles) -> None:
        """Removes old backups, and writes the history that the state implies."""
        for backup in files.backups():
            if backup.name not in self.state.files:
                backup.unlink()
        epochs, columns = self.history()
        with (
            whole_file(files.history) as part,
            part.open("w", encoding="utf-8", newline="") as table,
        ):
            writer = csv.writer(table, lineterminator="\n")
            writer.writerow(["epoch", *columns])
            writer.writerows(zip(epochs, *columns.values(), strict=True))

    def _recover(self, files: RunFiles) -> None:
        """Finishes or undoes a commit that was interrupted, then checks the weights files."""
        for part in files.folder.glob(".part-*"):
            part.unlink()
        for new in files.folder.glob(_new_name(files.folder / "*.weights.h5").name):
            path = new.with_name(new.name.removeprefix(NEW))
            if file_digest(new) == self.state.files.get(path.name):
                new.replace(path)
            else:
                new.unlink()
        for name, digest in self.state.files.items():
            path = files.folder / name
            if not path.exists():
                raise ValueError(f"{path} is missing. {REMEDY}")
            if file_digest(path) != digest:
                raise ValueError(
                    f"{path} is damaged: its content is not what {files.state.name} recorded. "
                    f"{REMEDY}"
                )
        if self.state.epochs:
            self._tidy(files)


def _check_no_results(files: RunFiles) -> None:
    found = [path.name for path in files.results if path.exists()]
    if found:
        raise ValueError(
            f"`run_dir` must be a new folder or that of a run. Received: {files.folder}, which has "
            f"{', '.join(found)} but no {files.state.name}. Choose another folder, or move these "
            "files away."
        )


class _TensorBoard(keras.callbacks.TensorBoard):
    """Logs numbers only. Other callbacks may add text to the logs."""

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        numbers = {name: value for name, value in (logs or {}).items() if not _is_text(value)}
        super().on_epoch_end(epoch, numbers)


def _is_text(value: Any) -> bool:
    return isinstance(value, str | bytes)


def _new_name(path: Path) -> Path:
    return path.with_name(f"{NEW}{path.name}")


def _seeds_of(model: keras.Model) -> list[keras.Variable]:
    return [variable for variable in model.variables if "seed_generator" in variable.path]


def without_optimizer(model: keras.Model) -> keras.Model:
    """Returns a model of the same layers and weights with no optimizer, to save or load weights.

    The state of an optimizer would go into the weights file.

    Args:
        model: A model.

    Returns:
        The model without an optimizer.
    """
    return keras.Model(model.inputs, model.outputs)
