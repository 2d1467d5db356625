"""What a run leaves in its folder beside the weights: its settings, figures and pictures."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

if TYPE_CHECKING:
    import keras

    from petseg import Splits

SHEET_PHOTOS = 8


@dataclass(frozen=True)
class Record:
    """The run in `folder`, which has `settings`.

    Raises `ValueError` when the folder holds a run with other settings.
    """

    folder: Path
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        # Until an epoch is done and `finetune` notes it, there is nothing that could be mixed up.
        if not (self.folder / "run.json").exists() or not self._settings.exists():
            return
        there = json.loads(self._settings.read_text(encoding="utf-8"))
        changed = [
            f"{name} was {there.get(name)}, is {value}"
            for name, value in json.loads(json.dumps(self.settings)).items()
            if there.get(name) != value
        ]
        if changed:
            raise ValueError(
                f"{self.folder} holds a run with other settings: {'; '.join(changed)}. Choose "
                "another RUN_DIR, or the same settings to go on with it."
            )

    def begin(self) -> None:
        """Makes the folder, and notes the settings in it."""
        from petseg.atomic_files import write_json

        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self._settings, self.settings)

    @property
    def _settings(self) -> Path:
        return self.folder / "settings.json"

    @property
    def _result(self) -> Path:
        return self.folder / "result.json"

    @property
    def finished(self) -> bool:
        """Whether all of the run's files are written."""
        return self._result.exists()

    def stopwatch(self) -> "keras.callbacks.Callback":
        """Puts the seconds of each epoch into its logs: their sum counts a killed run whole."""
        import keras

        begun = 0.0

        def start(_epoch: int, _logs: dict[str, float]) -> None:
            nonlocal begun
            begun = time.perf_counter()

        def stop(_epoch: int, logs: dict[str, float]) -> None:
            logs["seconds"] = time.perf_counter() - begun

        return keras.callbacks.LambdaCallback(on_epoch_begin=start, on_epoch_end=stop)

    def finish(
        self, model: "keras.Model", history: "keras.callbacks.History", splits: "Splits"
    ) -> None:
        """Evaluates the trained model, and writes it with its figures and pictures.

        `result.json` comes last: where it is, all is.
        """
        from petseg import plot_history
        from petseg.atomic_files import whole_file, write_json
        from petseg.checkpoint import FROZEN, without_optimizer
        from petseg.complexity import multiply_adds
        from petseg.environment import environment

        with whole_file(self.folder / "model.keras") as part:
            model.save(part)
        result = {
            "settings": self.settings,
            "environment": environment(),
            "parameters": model.count_params(),
            "multiply_adds": multiply_adds(model, splits.train.element_spec[0].shape[1:3]),
            "training_seconds": round(sum(history.history.get("seconds", [])), 1),
            **_scores(model, splits),
        }
        stages = history.history.get("stage", [])
        if "frozen" in stages and "thawed" in stages:
            trained = model.get_weights()
            without_optimizer(model).load_weights(self.folder / FROZEN)
            result["before_fine_tuning"] = _scores(model, splits)
            model.set_weights(trained)
        if history.epoch:
            with whole_file(self.folder / "curves.png") as part:
                plot_history(history).savefig(part, dpi=150)
        with whole_file(self.folder / "overlays.png") as part:
            _test_sheet(model, splits).savefig(part, dpi=80)
        write_json(self._result, result)

    def table(self) -> Table:
        """The figures of a finished run, on validation and test split."""
        from petseg import Evaluation
        from petseg.comparison import comparison_table

        result = json.loads(self._result.read_text(encoding="utf-8"))
        splits = ("validation", "test")
        return comparison_table(
            {split: Evaluation.from_json(json.dumps(result[split])) for split in splits}
        )


def trained_size(model: Path) -> tuple[int, int] | None:
    """The image size that a model of `petseg train`, or its export beside it, was trained on."""
    settings = model.with_name("settings.json")
    if not settings.exists():
        return None
    height, width = json.loads(settings.read_text(encoding="utf-8"))["image_size"]
    return height, width


def transparent_class(class_names: "tuple[str, ...]") -> int | None:
    """The class that shows the bare photo in pictures: the background, where there is one."""
    return class_names.index("background") if "background" in class_names else None


def _scores(model: "keras.Model", splits: "Splits") -> dict[str, Any]:
    """The evaluation on validation and test split, ready for JSON."""
    from petseg import evaluate

    return {
        "validation": json.loads(evaluate(model, splits.val).to_json()),
        "test": json.loads(evaluate(model, splits.test).to_json()),
    }


def _test_sheet(model: "keras.Model", splits: "Splits") -> Any:
    """The first photos of the test split, with their true and predicted masks."""
    import numpy as np

    from petseg import predict
    from petseg.comparison import prediction_sheet

    examples = splits.test.unbatch().take(SHEET_PHOTOS)
    images, masks = (np.stack(arrays) for arrays in zip(*examples.as_numpy_iterator(), strict=True))
    predicted = predict(model, images, image_size=images.shape[1:3])
    return prediction_sheet(
        list(images),
        list(masks),
        {model.name: list(predicted)},
        splits.class_names,
        transparent=transparent_class(splits.class_names),
    )
