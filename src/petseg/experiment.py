"""One experiment: a model trained from its settings, evaluated, and kept in a folder.

`petseg train` and the benchmark are thin callers of `run`.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

import keras

from petseg import processes
from petseg.calibration import calibrate
from petseg.checkpoint import Run, without_optimizer
from petseg.class_balance import balanced_weights, checked_class_weights
from petseg.complexity import multiply_adds
from petseg.data import Splits
from petseg.data.augmentation import AUGMENTATIONS
from petseg.data.caching import Cache
from petseg.data.folder_names import IMAGES, MASKS
from petseg.data.label_scheme import UNLABELLED
from petseg.data.label_tables import Labels, LabelTable, checked_labels
from petseg.data.source import FOLDER_SETTINGS, DataSource
from petseg.devices import data_parallel
from petseg.environment import environment
from petseg.evaluation import evaluate
from petseg.losses import CrossEntropyDice, OneHotLoss
from petseg.mask_grid import prediction_grid, spread_examples
from petseg.metrics import MeanIoU
from petseg.model_records import copy_info
from petseg.models import MODELS
from petseg.models.arguments import resolve_backbone
from petseg.plots import plot_history
from petseg.prediction import predict
from petseg.run_state import COMPLETE, FROZEN, THAWED, RunFiles, RunState
from petseg.scores import Evaluation
from petseg.training import THAW_STAGES, Plan
from petseg_runtime import validation
from petseg_runtime.atomic_files import whole_file, write_json
from petseg_runtime.json_text import parse_json

__all__ = [
    "AUGMENT",
    "LOSSES",
    "OPTIMIZERS",
    "Result",
    "RunFiles",
    "Settings",
    "find_result",
    "run",
]

OPTIMIZERS: dict[str, Callable[[], keras.optimizers.Optimizer]] = {
    "adamw": keras.optimizers.AdamW,
    "adam": keras.optimizers.Adam,
    "amsgrad": lambda: keras.optimizers.Adam(amsgrad=True),  # Reddi et al., arXiv:1904.09237
    "rmsprop": keras.optimizers.RMSprop,
    "sgd": lambda: keras.optimizers.SGD(momentum=0.9),
}
LOSSES = ("cross-entropy", "cross-entropy-dice", "focal", "tversky")
CROSS_ENTROPY, CROSS_ENTROPY_DICE, FOCAL, TVERSKY = LOSSES
# Weights of missed pixels and of wrong ones, as Salehi et al. chose them (arXiv:1706.05721). The
# documentation of Keras calls `alpha` the weight of false positives, but its code has it the other
# way round.
TVERSKY_WEIGHTS = {"alpha": 0.7, "beta": 0.3}
NO_AUGMENTATION = "none"
AUGMENT = (NO_AUGMENTATION, *AUGMENTATIONS)
# Settings that records leave out where they have these values: earlier records lack them.
LEFT_OUT = {**FOLDER_SETTINGS, "thaw": "all", "patience": None, "oversample": False}
SECTION, LABELS = "experiment", "labels"  # of the settings in run.json
NUM_MASKS = 8  # columns of masks.png
SMALLEST_SIZE = 32  # pixels: one position at the coarsest stride


@dataclass(frozen=True)
class Settings:
    """Everything that decides the result of an experiment.

    Attributes:
        architecture: A key of `petseg.MODELS`.
        backbone: A key of `petseg.BACKBONES`, or the name of a function of `keras.applications`.
            None becomes the default of the architecture.
        weights: "imagenet" (encoder only), "pets" (whole model), None (random), a weights file, or
            the folder of a run.
        data: "pets", "synthetic", or a folder of images and masks or of shards.
        classes: Class names of a folder's masks, in the order of the labels. None for pets, or
            where a table has the names.
        binary: Whether the border of pets counts as pet.
        images: Name of the folder of images, see `petseg.load_folder`.
        masks: Name of the folder of masks.
        ignore_class: Label of pixels without a class in a folder's masks, or None.
        labels: What the labels or colours in a folder's masks mean, or the path of a table.
        channels: Number of channels of a folder's images.
        image_size: Height and width of the images in pixels.
        batch_size: Number of images in a batch.
        frozen_epochs: Number of epochs with the encoder frozen.
        epochs: Number of epochs after that, with the encoder thawed.
        thaw: First stage of the encoder that is thawed, see `petseg.finetune`.
        patience: Number of epochs without a better mean IoU on the validation data after which a
            stage ends, or None to train all epochs.
        learning_rate: Highest learning rate of the frozen and of the thawed stage.
        loss: "cross-entropy", "cross-entropy-dice", "focal" (arXiv:1708.02002) or "tversky", with
            weights 0.7 of missed and 0.3 of wrong pixels of each class (arXiv:1706.05721).
        class_weights: Weight of each class in the loss, "balanced" (see `petseg.finetune`), or
            None.
        optimizer: A key of `OPTIMIZERS`.
        augment: How training images are changed at random: "none", "light" or "strong", see
            `petseg.load_pets`.
        oversample: Whether training images with rare classes come several times in an epoch, see
            `petseg.load_folder`.
        seed: Seed of the weights, of the order of the images and of their augmentation.

    Raises:
        ValueError: If a value is out of its range.

    Example:
        >>> settings = Settings("unet", data="synthetic", image_size=(64, 64), epochs=4)
    """

    architecture: str
    backbone: str | None = None
    weights: str | None = "imagenet"
    data: str = "pets"
    classes: tuple[str, ...] | None = None
    binary: bool = False
    images: str = IMAGES
    masks: str = MASKS
    ignore_class: int | None = UNLABELLED
    labels: Labels | LabelTable | None = None
    channels: int = 3
    image_size: tuple[int, int] = (128, 128)
    batch_size: int = 16
    frozen_epochs: int = 3
    epochs: int = 24
    thaw: str = "all"
    patience: int | None = None
    learning_rate: tuple[float, float] = (1e-3, 3e-4)
    loss: str = CROSS_ENTROPY_DICE
    class_weights: tuple[float, ...] | str | None = None
    optimizer: str = "adamw"
    augment: str = "light"
    oversample: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        check = validation
        checked: dict[str, Any] = {
            "architecture": check.choice("architecture", self.architecture, MODELS),
            "backbone": resolve_backbone(self.backbone, self.architecture, self.weights).name,
            "weights": None if self.weights is None else os.fspath(self.weights),
            "binary": check.boolean("binary", self.binary),
            "images": os.fspath(self.images),
            "masks": os.fspath(self.masks),
            "channels": check.integer("channels", self.channels, 1),
            "image_size": check.image_size("image_size", self.image_size, SMALLEST_SIZE),
            "batch_size": check.integer("batch_size", self.batch_size, 1),
            "frozen_epochs": check.integer("frozen_epochs", self.frozen_epochs, 0),
            "epochs": check.integer("epochs", self.epochs, 0),
            "thaw": check.choice("thaw", self.thaw, THAW_STAGES),
            "learning_rate": _two_rates(self.learning_rate),
            "loss": check.choice("loss", self.loss, LOSSES),
            "optimizer": check.choice("optimizer", self.optimizer, OPTIMIZERS),
            "augment": check.choice("augment", self.augment, AUGMENT),
            "oversample": check.boolean("oversample", self.oversample),
            "seed": check.integer("seed", self.seed, 0),
        }
        if self.classes is not None:
            checked["classes"] = check.class_names("classes", self.classes)
        if self.patience is not None:
            checked["patience"] = check.integer("patience", self.patience, 1)
        if self.labels is not None:
            checked["labels"] = checked_labels(self.labels)
        if self.class_weights is not None:
            count = None if self.classes is None else len(checked["classes"])
            checked["class_weights"] = checked_class_weights(self.class_weights, count)
            if self.loss == TVERSKY:
                raise ValueError(
                    "`class_weights` must be None with the Tversky loss, in which every class "
                    f"counts the same. Received: {self.class_weights!r}."
                )
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        self.source()  # Refuses settings of the data that do not fit together.

    def source(self, data_dir: str | os.PathLike[str] | None = None) -> DataSource:
        """Returns the source of the data.

        Args:
            data_dir: Folder where `tensorflow_datasets` keeps the pets, or None for its default.

        Returns:
            The source. Nothing is read yet.
        """
        folder = None if data_dir is None else Path(data_dir)
        how = {name: getattr(self, name) for name in FOLDER_SETTINGS}
        return DataSource(self.data, folder, self.classes, self.binary, **how)

    def to_dict(self) -> dict[str, Any]:
        """Returns the settings by name, as JSON has them.

        Those in `LEFT_OUT` are left out where they have their default.
        """
        record: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        for name, default in LEFT_OUT.items():
            if record[name] == default:
                del record[name]
        return record

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Self:
        """Reads settings from what `to_dict` returned, or from the result of petseg 0.1.0.

        Args:
            record: The settings by name.

        Returns:
            The settings, checked.

        Raises:
            ValueError: If a name is unknown or missing, or a value is out of its range.
        """
        values = dict(record)
        if "model" in values:  # petseg 0.1.0
            values["architecture"] = values.pop("model")
            values["weights"] = None if values.get("weights") == "none" else values["weights"]
        unknown = values.keys() - {field.name for field in fields(cls)}
        if unknown or "architecture" not in values:
            raise ValueError(
                "`record` must hold the settings of an experiment, by name. Received: "
                f"{', '.join(map(str, record))}."
            )
        return cls(**values)


@dataclass(frozen=True)
class Result:
    """What an experiment found.

    Attributes:
        settings: The settings of the experiment.
        validation: Scores on the validation data.
        test: Scores on the test data.
        before_fine_tuning: Scores of the best epoch before the encoder was thawed, under
            "validation" and "test". None where only one stage was trained.
        parameters: Number of the model's parameters.
        multiply_adds: Number of multiplications for one image of the trained size.
        training_seconds: Duration of all epochs, without loading and evaluation.
        environment: Versions of the software, and the hardware.
    """

    settings: Settings
    validation: Evaluation
    test: Evaluation
    before_fine_tuning: dict[str, Evaluation] | None
    parameters: int
    multiply_adds: int
    training_seconds: float
    environment: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """Returns the result ready for JSON, the scores as in `Evaluation.to_json`."""
        before = self.before_fine_tuning
        record = {
            "settings": self.settings.to_dict(),
            "environment": self.environment,
            "parameters": self.parameters,
            "multiply_adds": self.multiply_adds,
            "training_seconds": self.training_seconds,
            "validation": _scores(self.validation),
            "test": _scores(self.test),
        }
        if before is not None:
            record["before_fine_tuning"] = {name: _scores(found) for name, found in before.items()}
        return record

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> Self:
        """Reads the result of a complete experiment.

        Args:
            folder: The folder of the experiment, or one that holds its `result.json`.

        Returns:
            The result.

        Raises:
            FileNotFoundError: If the folder holds no result.
            ValueError: If the file is damaged.
        """
        path = RunFiles(Path(folder)).result
        try:
            record = parse_json(path.read_bytes())
            before = record.get("before_fine_tuning")
            if before is not None:
                before = {name: _evaluation(found) for name, found in before.items()}
            return cls(
                settings=Settings.from_dict(record["settings"]),
                validation=_evaluation(record["validation"]),
                test=_evaluation(record["test"]),
                before_fine_tuning=before,
                parameters=int(record["parameters"]),
                multiply_adds=int(record["multiply_adds"]),
                training_seconds=float(record["training_seconds"]),
                environment=dict(record["environment"]),
            )
        except FileNotFoundError:
            raise FileNotFoundError(
                f"There is no {path}: the experiment in this folder is not complete."
            ) from None
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(
                f"{path} is damaged: {error}. Delete it and run the experiment again, which "
                "only evaluates the trained model."
            ) from error


def run(
    settings: Settings,
    folder: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike[str] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int | str = "auto",
    devices: int | None = None,
    cache: Cache | None = None,
) -> Result:
    """Trains and evaluates a model, or continues with what is left of that.

    A run that was killed continues after its last finished epoch. One that is complete is not
    trained again: its result is returned at once. Sets the global random seed of Keras.

    With several devices, each computes a part of every batch, see `petseg.data_parallel`. Of
    several processes, the first writes the files. A run may continue on another number of devices.

    Args:
        settings: Everything that decides the result.
        folder: Folder for all files, see `RunFiles`: `model.keras`, `result.json`, `curves.png`,
            `masks.png` and those of `petseg.finetune`.
        data_dir: Folder where `tensorflow_datasets` keeps the pets, or will download them to
            (800 MB). None for its default.
        callbacks: Callbacks of Keras for the training.
        verbose: What Keras prints while it trains: "auto", 0, 1 or 2, see `keras.Model.fit`.
        devices: Number of devices of this process to train on. With a number, also 1, processes
            that a launcher started train together. None trains on one device in this process alone.
        cache: Where training and validation images are kept once they are resized: "memory", the
            path of a folder, or False for nowhere. None means "memory", and False for shards. The
            result does not depend on it, but for shards: a cache lets all their examples be
            shuffled at once.

    Returns:
        The result, which `result.json` holds too.

    Raises:
        ValueError: If the folder holds a run with other settings or a damaged file, the training
            diverges, or the backend cannot train on so many devices.
        FileNotFoundError: If the data is not there and cannot be downloaded.
        BlockingIOError: If another process trains in the folder.

    Example:
        >>> settings = Settings("unet", data="synthetic", image_size=(64, 64), epochs=4)
        >>> run(settings, "runs/unet").test.mean_iou
    """
    files = RunFiles(Path(folder))
    source = settings.source(data_dir)
    finished = find_result(settings, folder)
    if finished is not None:
        return finished
    if devices is not None:
        processes.join()
    with Run.open(folder) as state:
        state.use_settings(SECTION, settings.to_dict())
        state.use_settings(LABELS, source.meanings())
        with nullcontext(1) if devices is None else data_parallel(devices) as count:
            keras.utils.set_random_seed(settings.seed)
            splits = source.splits(
                image_size=settings.image_size,
                batch_size=settings.batch_size,
                augment=False if settings.augment == NO_AUGMENTATION else settings.augment,
                seed=settings.seed,
                oversample=settings.oversample,
                cache=cache,
            )
            model = build(settings, splits)
            plan = _plan(settings, model, splits, callbacks, verbose)
            history = plan.execute(state)
        if count > 1:  # Evaluated and saved on one device.
            trained, model = model, build(settings, splits)
            model.set_weights(trained.get_weights())
            copy_info(trained, model)
        # `model.keras` is the same whether or not the run was resumed: its optimizer is new.
        model.get_layer("encoder").trainable = True
        _compile(model, settings, splits)
        model.optimizer.build(model.trainable_variables)
        result = _result(settings, model, splits, history, files)
        if processes.is_first():
            _write_files(result, model, splits, history, files)
        state.complete()
    return result


def find_result(settings: Settings, folder: str | os.PathLike[str]) -> Result | None:
    """Looks for the result of an experiment that is complete.

    Removes the files that a killed process left in the folder.

    Args:
        settings: The settings of the experiment.
        folder: Its folder, which need not exist.

    Returns:
        The result, or None where something is left to do.

    Raises:
        ValueError: If the folder holds a run with other settings, or a damaged file.
    """
    files = RunFiles(Path(folder))
    if not files.state.exists():
        return None
    if files.lock.exists():  # A process works there, or was killed in the middle of something.
        with suppress(BlockingIOError):
            Run.tidy(folder)
    state = RunState.read(files.state)
    state.check_settings(SECTION, settings.to_dict(), files.folder)
    with suppress(FileNotFoundError):  # The data may be gone by now.
        state.check_settings(LABELS, settings.source().meanings(), files.folder)
    written = files.result.exists() and files.model.exists()
    return Result.load(folder) if state.status == COMPLETE and written else None


def build(settings: Settings, splits: Splits) -> keras.Model:
    """Builds the model of an experiment, compiled with its loss and optimizer.

    Args:
        settings: The settings.
        splits: The data, for its classes.

    Returns:
        The model, not trained yet.

    Raises:
        ValueError: If the class weights do not fit the classes, or the weights not the model.
    """
    names, ignore_class = splits.class_names, splits.ignore_class
    if settings.class_weights is not None:
        checked_class_weights(settings.class_weights, len(names))
    model = MODELS[settings.architecture](
        len(names),
        backbone=settings.backbone,
        image_shape=(None, None, splits.train.element_spec[0].shape[-1]),
        weights=settings.weights,
        class_names=names,
        ignore_class=ignore_class,
    )
    _compile(model, settings, splits)
    return model


def _compile(model: keras.Model, settings: Settings, splits: Splits) -> None:
    names, ignore_class = splits.class_names, splits.ignore_class
    model.compile(
        optimizer=OPTIMIZERS[settings.optimizer](),
        loss=_loss(settings, splits),
        metrics=[MeanIoU(len(names), names, ignore_class)],
    )


def _loss(settings: Settings, splits: Splits) -> keras.losses.Loss:
    ignore_class = splits.ignore_class
    if settings.loss == CROSS_ENTROPY:  # Its weights are those of the pixels, see `_plan`.
        return keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=ignore_class
        )
    weights = settings.class_weights
    if isinstance(weights, str):
        weights = balanced_weights(splits.train, len(splits.class_names), ignore_class)
    if settings.loss == CROSS_ENTROPY_DICE:
        return CrossEntropyDice(weights, ignore_class)
    loss: keras.losses.Loss = keras.losses.Tversky(**TVERSKY_WEIGHTS, axis=(0, 1, 2))
    if settings.loss == FOCAL:
        alpha = {} if weights is None else {"alpha": list(weights)}
        loss = keras.losses.CategoricalFocalCrossentropy(**alpha)
    return OneHotLoss(loss, ignore_class, name=settings.loss)


def _plan(
    settings: Settings,
    model: keras.Model,
    splits: Splits,
    callbacks: Sequence[keras.callbacks.Callback],
    verbose: int | str,
) -> Plan:
    return Plan.check(
        model,
        splits.train,
        splits.val,
        frozen_epochs=settings.frozen_epochs,
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        schedule="cosine",
        thaw=settings.thaw,
        # The Dice part of the other loss is no sum over pixels: that loss has the weights itself.
        class_weights=settings.class_weights if settings.loss == CROSS_ENTROPY else None,
        # Random weights come with no statistics worth keeping.
        train_batch_norm=settings.weights is None,
        callbacks=[*callbacks, *_early_stopping(settings.patience)],
        verbose=verbose,
    )


def _early_stopping(patience: int | None) -> list[keras.callbacks.Callback]:
    if patience is None:
        return []
    stop = keras.callbacks.EarlyStopping("val_mean_iou", mode="max", patience=patience)
    return [stop]


def _result(
    settings: Settings,
    model: keras.Model,
    splits: Splits,
    history: keras.callbacks.History,
    files: RunFiles,
) -> Result:
    before = None
    stages = history.history.get("stage", ())
    if FROZEN in stages and THAWED in stages:
        trained = model.get_weights()
        without_optimizer(model).load_weights(files.frozen)
        before = _evaluations(model, splits)
        model.set_weights(trained)
    calibrate(model, splits.val)
    return Result(
        settings=settings,
        **_evaluations(model, splits),
        before_fine_tuning=before,
        parameters=model.count_params(),
        multiply_adds=multiply_adds(model, settings.image_size),
        training_seconds=round(sum(history.history.get("seconds", ())), 1),
        environment=environment(),
    )


def _evaluations(model: keras.Model, splits: Splits) -> dict[str, Evaluation]:
    return {"validation": evaluate(model, splits.val), "test": evaluate(model, splits.test)}


def _write_files(
    result: Result,
    model: keras.Model,
    splits: Splits,
    history: keras.callbacks.History,
    files: RunFiles,
) -> None:
    with whole_file(files.model) as part:
        model.save(part)
    if history.epoch:
        with whole_file(files.curves) as part:
            plot_history(history).savefig(part, dpi=150)
    images, masks = spread_examples(splits.test, NUM_MASKS)
    predicted = [predict(model, image, image_size=image.shape[:2]) for image in images]
    grid = prediction_grid(
        images,
        masks,
        {model.name: predicted},
        splits.class_names,
        ignore_class=splits.ignore_class,
    )
    with whole_file(files.masks) as part:
        grid.savefig(part, dpi=80)
    write_json(files.result, result.to_dict())


def _two_rates(values: Any) -> tuple[float, float]:
    rates = tuple(values) if isinstance(values, Sequence) and not isinstance(values, str) else ()
    if len(rates) != 2:
        raise ValueError(
            "`learning_rate` must be two positive numbers, for the frozen and for the thawed "
            f"stage. Received: {values!r}."
        )
    frozen, thawed = (validation.positive_number("learning_rate", rate) for rate in rates)
    return frozen, thawed


def _scores(evaluation: Evaluation) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(evaluation.to_json())
    return found


def _evaluation(record: Any) -> Evaluation:
    return Evaluation.from_json(json.dumps(record))
