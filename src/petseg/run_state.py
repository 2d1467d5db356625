"""What a run's folder holds: the names of its files, and `run.json`, which says what is done."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from petseg_runtime.atomic_files import write_json
from petseg_runtime.json_text import parse_json

SCHEMA = 2
MONITOR = "val_mean_iou"
FROZEN, THAWED = STAGES = ("frozen", "thawed")
# "training": epochs are missing. "trained": all epochs are done. "complete": `petseg.experiment`
# has also written its result.
TRAINING, TRAINED, COMPLETE = STATUSES = ("training", "trained", "complete")

REMEDY = "Put it back from a copy, or start again in a new folder."


@dataclass(frozen=True)
class RunFiles:
    """The paths of all files that training and `petseg.experiment` write into a run's folder.

    Attributes:
        folder: The run's folder.
    """

    folder: Path

    @property
    def state(self) -> Path:
        """State of the run. Only weights that are listed in this file are used to resume."""
        return self.folder / "run.json"

    @property
    def lock(self) -> Path:
        """Held by the process that trains."""
        return self.folder / ".lock"

    @property
    def history(self) -> Path:
        """Loss and metrics of each epoch."""
        return self.folder / "history.csv"

    @property
    def best(self) -> Path:
        """Weights of the epoch with the best mean IoU on the validation data."""
        return self.folder / "best.weights.h5"

    @property
    def frozen(self) -> Path:
        """Weights of the best epoch before the encoder was thawed."""
        return self.folder / "frozen.weights.h5"

    @property
    def tensorboard(self) -> Path:
        """Folder of the logs for TensorBoard."""
        return self.folder / "tensorboard"

    @property
    def model(self) -> Path:
        """The trained model."""
        return self.folder / "model.keras"

    @property
    def result(self) -> Path:
        """Settings, scores and environment of a complete experiment."""
        return self.folder / "result.json"

    @property
    def curves(self) -> Path:
        """Learning curves."""
        return self.folder / "curves.png"

    @property
    def masks(self) -> Path:
        """True and predicted masks of test images."""
        return self.folder / "masks.png"

    @property
    def results(self) -> tuple[Path, ...]:
        """Results of training, which a new run must not overwrite."""
        return self.best, self.frozen, self.model, self.result

    def backup(self, epochs: int) -> Path:
        """Weights of model and optimizer after a number of epochs, to resume from."""
        return self.folder / f"epoch-{epochs:03d}.weights.h5"

    def backups(self) -> list[Path]:
        """All backups in the folder."""
        return sorted(self.folder.glob("epoch-[0-9]*.weights.h5"))


@dataclass
class RunState:
    """What `run.json` holds.

    Attributes:
        settings: Everything that decides the result, by section and name.
        status: "training", "trained" or "complete".
        stage: The stage of the last epoch, "frozen" or "thawed".
        epochs: Logs of each finished epoch, with its stage under "stage".
        stopped: Stages that a callback ended before all of their epochs were done.
        seeds: State of each random layer, such as dropout.
        files: SHA-256 of each weights file, by name.
    """

    settings: dict[str, dict[str, Any]] = field(default_factory=dict)
    status: str = TRAINING
    stage: str = FROZEN
    epochs: list[dict[str, Any]] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)
    seeds: list[Any] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)

    def epochs_of(self, stage: str) -> int:
        """Returns how many epochs of a stage are done."""
        return sum(row["stage"] == stage for row in self.epochs)

    def changes(self, section: str, settings: dict[str, Any]) -> list[str]:
        """Compares settings with the recorded ones.

        Args:
            section: Who sets them.
            settings: The settings by name, as JSON has them.

        Returns:
            What was and what is, for each that differs. Nothing as long as no epoch is done:
            there is nothing yet that could be mixed up.
        """
        recorded = self.settings.get(section)
        if recorded is None or not (self.epochs or self.status != TRAINING):
            return []
        return [
            f"{name} was {recorded.get(name)!r}, is {settings.get(name)!r}"
            for name in {**recorded, **settings}
            if recorded.get(name) != settings.get(name)
        ]

    def check_settings(self, section: str, settings: dict[str, Any], folder: Path) -> None:
        """Refuses settings that differ from the recorded ones.

        Args:
            section: Who sets them.
            settings: The settings by name, as JSON has them.
            folder: The run's folder, for the error.

        Raises:
            ValueError: If a setting differs.
        """
        changes = self.changes(section, settings)
        if changes:
            raise ValueError(
                f"{folder} holds a run with other settings: {'; '.join(changes)}. Continue it with "
                "the same settings, or choose another folder."
            )

    def write(self, path: Path) -> None:
        """Writes the state, as a whole or not at all.

        Args:
            path: The path of `run.json`.
        """
        record = {
            "schema": SCHEMA,
            "status": self.status,
            "stage": self.stage,
            "stages": {
                stage: {"epochs": self.epochs_of(stage), "stopped": stage in self.stopped}
                for stage in STAGES
            },
            "settings": self.settings,
            "seeds": self.seeds,
            "files": self.files,
            # NaN, the IoU of a class that does not occur, is not JSON.
            "epochs": [
                {name: None if _is_nan(value) else value for name, value in row.items()}
                for row in self.epochs
            ],
        }
        write_json(path, record)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Reads and checks a `run.json`.

        Args:
            path: The path of `run.json`.

        Returns:
            The state.

        Raises:
            ValueError: If the file is damaged, or of another version of petseg.
        """
        try:
            record = parse_json(path.read_bytes())
            # petseg 0.1.0 wrote "finished" and no schema.
            if record.get("schema") != SCHEMA and ("schema" in record or "finished" in record):
                raise _OtherSchemaError
            state = cls(
                settings={name: dict(section) for name, section in record["settings"].items()},
                status=STATUSES[STATUSES.index(record["status"])],
                stage=STAGES[STAGES.index(record["stage"])],
                epochs=[
                    {name: math.nan if value is None else value for name, value in row.items()}
                    for row in record["epochs"]
                ],
                stopped=[name for name in STAGES if record["stages"][name]["stopped"]],
                seeds=list(record["seeds"]),
                files={str(name): str(digest) for name, digest in record["files"].items()},
            )
            counts = [record["stages"][stage]["epochs"] for stage in STAGES]
            if counts != [state.epochs_of(stage) for stage in STAGES]:
                raise ValueError("the number of epochs is wrong")
            if not all(isinstance(row[MONITOR], int | float) for row in state.epochs):
                raise ValueError(f"an epoch has no {MONITOR}")
        except _OtherSchemaError:
            raise ValueError(
                f"{path} was written by another version of petseg. Finish that run with that "
                "version, or choose a new folder."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} is damaged: {error}. {REMEDY}") from error
        return state


class _OtherSchemaError(Exception):
    """`run.json` has another layout."""


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)
