"""Export to four formats. Each file is run in its own runtime and compared before it is kept."""

import importlib.util
import io
import itertools
import math
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from petseg.data import draw_pet
from petseg.evaluation import class_masks
from petseg.model_records import model_info
from petseg.models.layers import MaxUnpooling2D
from petseg.onnx_conversion import convertible
from petseg.replicas import predict_on_batch
from petseg.scores import Evaluation
from petseg_runtime import ModelInfo, Runtime, validation
from petseg_runtime.export_path import check_export_path, check_model_folder
from petseg_runtime.formats import FORMATS, format_name
from petseg_runtime.image_io import checked_pixels
from petseg_runtime.model_folders import SERVERS, Server, add_version
from petseg_runtime.model_info import QUANTIZATIONS
from petseg_runtime.part_folders import part_folder
from petseg_runtime.predictor import MIN_SIZE
from petseg_runtime.resizing import resize

# Sizes of the synthetic images that a model of any size is compared on, and how many of each.
CHECKED_SIZES = ((128, 128), (96, 160))
CHECKED_IMAGES = 4
# Of 255. On plain colours SegNet's maxima are equal, and rounding decides which one is taken.
NOISE = 8.0
CALIBRATION_IMAGES = 128
IMAGES_AT_ONCE = 8


@dataclass(frozen=True)
class Check:
    """How an exported file is compared with its model.

    Attributes:
        measure: "logit" (the greatest difference), "pixels" (the share whose class differs) or
            "mean_iou" (the difference of the scores).
        tolerance: The greatest difference that is accepted.
        unit: How the error message names the difference.
        remedy: What to do when it is greater.
    """

    measure: str
    tolerance: float
    unit: str
    remedy: str


EXACT = Check("logit", 1e-3, "in a logit", "Pass a greater `tolerance` if that is acceptable.")
CLASSES = Check(
    "pixels",
    0.005,
    "of the pixels",
    "Pass images like those that the model will see as `calibration`, or a greater `tolerance`.",
)
SCORES = Check(
    "mean_iou",
    0.01,
    "mean IoU",
    "Pass more or other images as `calibration`, use `quantize='float16'`, or pass a greater "
    "`tolerance`.",
)


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 -- Keras uses the same word
    quantize: str | None = None,
    calibration: Iterable[Any] | None = None,
    argmax: bool = False,
    tolerance: float | None = None,
    serving: str | None = None,
) -> Path:
    """Exports a model and compares the file with it before the file is kept.

    The file takes images `(N, H, W, C)` in [0, 255], of any size where the model does, and returns
    float32 logits `(N, H, W, num_classes)`. It holds the model's `petseg.ModelInfo`.
    `petseg.Runtime` runs it.

    Args:
        model: A Keras model.
        path: Where to write: a file that ends in `.onnx`, `.tflite` (LiteRT) or `.xml` (OpenVINO,
            which writes a `.bin` beside it), or a directory (SavedModel). An earlier export at the
            same path is replaced.
        format: "onnx", "litert", "openvino" or "saved_model". By default the format that the suffix
            of `path` stands for.
        quantize: For LiteRT alone: "float16" halves the file, "int8" makes it a quarter and faster.
        calibration: Batches of images, or of `(images, masks)`, such as `pets.val`. The first 128
            images are used to compare file and model; by default these are synthetic pets. "int8"
            needs them, with masks, to find the ranges of its integers, and is exported for the size
            of these images.
        argmax: Whether the file returns the classes `(N, H, W)` instead of logits.
        tolerance: The greatest accepted difference between file and model. By default 0.001 in any
            logit, in SegNet of half of the images, because rounding decides where it unpools nearly
            equal features; with "float16" or `argmax` 0.005 (share of the pixels whose class
            differs); with "int8" 0.01 (mean IoU).
        serving: Writes for a server, "tensorflow" (TensorFlow Serving, SavedModel) or "triton"
            (ONNX). `path` is then the folder of the model, whose name is the model's, and the
            export is its next version: `path/1`, or `path/1/model.onnx` beside
            `path/config.pbtxt`. An existing `config.pbtxt` is kept. Batches are compared too.

    Returns:
        The path of the exported file or directory.

    Raises:
        ValueError: If an argument does not fit the others, something that petseg did not write is
            in the way, or the file differs more than `tolerance`. Nothing is left behind then.
        TypeError: If `model` is not a Keras model.
        OSError: If `path` cannot be written to.
        ImportError: If a package that the format needs is missing.
        RuntimeError: If Keras does not run on TensorFlow.

    Example:
        >>> petseg.export(model, "unet.onnx")
        >>> petseg.Runtime("unet.onnx").predict("cat.jpg")
        >>> petseg.export(model, "models/unet", serving="triton")
        PosixPath('models/unet/1/model.onnx')
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {model!r}.")
    path = Path(path)
    server = SERVERS.get(validation.choice("serving", serving, (None, *SERVERS)))
    name = format_name(path, format) if server is None else _format_for(server, serving, format)
    quantize = validation.choice("quantize", quantize, (None, *QUANTIZATIONS))
    if quantize is not None and name != "litert":
        raise ValueError(
            "`quantize` is available for LiteRT alone. Pass a path that ends in .tflite. "
            f"Received: quantize={quantize!r}, path={str(path)!r}."
        )
    if quantize == "int8" and calibration is None:
        raise ValueError(
            "`calibration` must be batches of images and masks where `quantize` is 'int8', for "
            "example `pets.val`. Received: None."
        )
    check = SCORES if quantize == "int8" else CLASSES if quantize or argmax else EXACT
    if tolerance is not None:
        tolerance = validation.positive_number("tolerance", tolerance)
    _check_backend()
    if server is None:
        check_export_path(path, name)
    else:
        check_model_folder(path, server)
        _check_any_batch_size(model)
    info = model_info(model).replace(argmax=argmax, quantize=quantize)
    images, masks = _synthetic_images(model), None
    if calibration is not None:
        examples = _examples(calibration, info, needs_masks=quantize == "int8")
        images, masks = [examples[0]], examples[1]
    model = _in_float32(model)
    if quantize == "int8":
        # Integers are calibrated for one size.
        model = _of_size(model, images[0].shape[1:3])
    exported = keras.Model(model.input, ArgMax()(model.output)) if argmax else model
    written = path if server is None else path / f"model{FORMATS[name].suffix}"
    with _folder_for(written), part_folder(written.parent) as folder:
        part = folder / written.name
        with _named_failure(name), _quietly(), _openvino_on_python_3_13():
            exported(images[0][:1])  # Keras exports only models that have been called
            with convertible(exported) if name == "onnx" else nullcontext():
                exported.export(
                    str(part),
                    format=FORMATS[name].keras_name,
                    verbose=False,
                    **_converter_options(name, quantize, images),
                )
            FORMATS[name].write_record(part, info.to_json())
            runtime = Runtime(part)
            runtime(images[0])
        with _full_precision():
            _compare(
                model,
                runtime,
                images,
                masks,
                check,
                tolerance or check.tolerance,
                in_batches=server is not None,
            )
        if server is not None:
            return add_version(part, path, server)
        _move(folder, path)
    return path


class ArgMax(layers.Layer):
    """The class `(N, H, W)` of the greatest logit of `(N, H, W, num_classes)`.

    Where several logits are equal, the first class is taken.
    """

    def call(self, logits: Any) -> Any:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # Keras's own looks at the bits of a float, for which ONNX and LiteRT have no operation.
            return tf.argmax(logits, -1, output_type="int32")
        return ops.argmax(logits, -1)

    def compute_output_spec(self, logits: Any) -> keras.KerasTensor:
        return keras.KerasTensor(logits.shape[:-1], dtype="int32")


def _format_for(server: Server, serving: str | None, name: str | None) -> str:
    if name not in (None, server.format):
        raise ValueError(
            f"`format` must be {server.format!r} or left out where `serving` is {serving!r}. "
            f"Received: {name!r}."
        )
    return server.format


def _check_any_batch_size(model: keras.Model) -> None:
    """Refuses a model of one batch size: servers put requests together."""
    size = model.input_shape[0]
    if size is not None:
        raise ValueError(
            "`model` must take batches of any size where `serving` is given. Received: a model of "
            f"batches of {size}. Build it without `batch_size`."
        )


def _check_backend() -> None:
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise RuntimeError(
            f"Export needs the TensorFlow backend. Received: {backend}. Save the model with "
            "`model.save('model.keras')`, then run `KERAS_BACKEND=tensorflow petseg export OUT "
            "--model model.keras`."
        )


def _examples(
    batches: Iterable[Any], info: ModelInfo, needs_masks: bool
) -> tuple[np.ndarray, np.ndarray | None]:
    """Takes the first images and, where they are needed, their masks."""
    images: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    for batch in batches:
        has_masks = isinstance(batch, tuple | list) and len(batch) >= 2
        if needs_masks and not has_masks:
            raise ValueError(
                "`calibration` must hold batches `(images, masks)` for `quantize='int8'`. "
                "Received: batches without masks."
            )
        given = batch[0] if has_masks else batch
        found = checked_pixels(given, "calibration", (4,), info.channels).astype(np.float32)
        if images and found.shape[1:] != images[0].shape:
            raise ValueError(
                "`calibration` must hold batches of images of one size. Received: images "
                f"{images[0].shape} and {found.shape[1:]}."
            )
        if min(found.shape[1:3]) < MIN_SIZE:
            raise ValueError(
                f"`calibration` must hold images of at least {MIN_SIZE} x {MIN_SIZE} pixels. "
                f"Received: shape {found.shape}."
            )
        images.extend(found)
        if needs_masks:
            shape = (*found.shape[:3], info.num_classes)
            masks.extend(class_masks(np.asarray(batch[1]), shape, info.ignore_class))
        if len(images) >= CALIBRATION_IMAGES:
            break
    if not images:
        raise ValueError("`calibration` must hold at least one batch. Received: none.")
    first = np.stack(images[:CALIBRATION_IMAGES])
    return first, np.stack(masks[:CALIBRATION_IMAGES]) if needs_masks else None


def _synthetic_images(model: keras.Model) -> list[np.ndarray]:
    """Draws synthetic pets in each of the sizes to compare on."""
    sizes = dict.fromkeys(
        tuple(own or side for own, side in zip(model.input_shape[1:3], size, strict=True))
        for size in CHECKED_SIZES
    )
    channels = np.arange(model.input_shape[-1]) % 3  # those of RGB, repeated
    pets = [draw_pet(seed)[0][..., channels] for seed in range(CHECKED_IMAGES)]
    images = [np.stack([resize(image, size) for image in pets]) for size in sizes]
    rng = np.random.default_rng(0)
    return [
        np.clip(batch + rng.uniform(-NOISE, NOISE, batch.shape), 0, 255).astype(np.float32)
        for batch in images
    ]


def _in_float32(model: keras.Model) -> keras.Model:
    """Returns the model, or a float32 copy of one that computes in mixed precision."""
    if all(layer.compute_dtype == "float32" for layer in model._flatten_layers()):
        return model

    def rebuild(layer: keras.Layer | keras.Operation) -> keras.Layer | keras.Operation:
        if not isinstance(layer, keras.Layer):  # `x + 3` in a model is an operation without a type
            return type(layer).from_config(layer.get_config())
        return type(layer).from_config({**layer.get_config(), "dtype": "float32"})

    copy = keras.models.clone_model(model, clone_function=rebuild, recursive=True)
    copy.set_weights(model.get_weights())
    return copy


def _of_size(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """Returns the model for images of one size: some converters must know it."""
    images = keras.Input((*size, model.input_shape[-1]), name="images")
    return keras.Model(images, model(images), name=model.name)


def _converter_options(name: str, quantize: str | None, images: list[np.ndarray]) -> dict[str, Any]:
    if name != "litert":
        return {}
    import tensorflow as tf

    target: dict[str, Any] = {"supported_ops": [tf.lite.OpsSet.TFLITE_BUILTINS]}
    if quantize is None:
        return {"target_spec": target}
    options = {"optimizations": [tf.lite.Optimize.DEFAULT], "target_spec": target}
    if quantize == "float16":
        target["supported_types"] = [tf.float16]
        return options

    def representative_dataset() -> Iterator[list[np.ndarray]]:
        for image in itertools.chain.from_iterable(images):
            yield [image[np.newaxis]]

    return {**options, "representative_dataset": representative_dataset}


def _compare(
    model: keras.Model,
    runtime: Runtime,
    images: list[np.ndarray],
    masks: np.ndarray | None,
    check: Check,
    tolerance: float,
    in_batches: bool,
) -> None:
    """Raises `ValueError` when the exported file differs too much from the model."""
    for batch in images:
        difference = _difference(model, runtime, batch, masks, check.measure, in_batches)
        if not difference <= tolerance:  # true for NaN, too
            raise ValueError(
                f"The exported file differs from `model` by {difference:.2g} {check.unit} on "
                f"{len(batch)} images of shape {batch.shape[1:]}, more than the tolerance of "
                f"{tolerance:.2g}. Nothing was written. {check.remedy}"
            )


def _difference(
    model: keras.Model,
    runtime: Runtime,
    images: np.ndarray,
    masks: np.ndarray | None,
    measure: str,
    in_batches: bool,
) -> float:
    info = runtime.info
    differences: list[float] = []
    differing = 0
    confusions = np.zeros((2, info.num_classes, info.num_classes), np.int64)
    for start in range(0, len(images), IMAGES_AT_ONCE):
        some = images[start : start + IMAGES_AT_ONCE]
        wanted = predict_on_batch(model, some)
        # One at a time, as an exported model of one photo is used; or one and the others at once.
        parts = np.split(some, range(1, 2 if in_batches else len(some)))
        given = np.concatenate([runtime(part) for part in parts if len(part)])
        if measure == "logit":
            differences += [float(image.max()) for image in np.abs(wanted - given)]
            continue
        classes = [output.argmax(-1) if output.ndim == 4 else output for output in (wanted, given)]
        differing += int(np.count_nonzero(classes[0] != classes[1]))
        if masks is not None:
            truth = masks[start : start + IMAGES_AT_ONCE]
            confusions += [_confusion(truth, found, info) for found in classes]
    if measure == "logit":
        half = np.quantile(differences, 0.5, method="lower")
        return float(half if _unpools(model) else np.max(differences))
    if measure == "mean_iou":
        scores = [
            Evaluation(info.class_names, confusion, math.nan, math.nan, len(images)).mean_iou
            for confusion in confusions
        ]
        return abs(scores[0] - scores[1])
    return differing / (len(images) * images.shape[1] * images.shape[2])


def _unpools(model: keras.Model) -> bool:
    """Tells whether the model has layers in which rounding can move a value to another position.

    Where two positions of a pooling window are equal but for rounding, either may have the maximum.
    Single images then differ by much in a right file, and all images in a wrong one.
    """
    return any(isinstance(layer, MaxUnpooling2D) for layer in model._flatten_layers())


def _confusion(truth: np.ndarray, classes: np.ndarray, info: ModelInfo) -> np.ndarray:
    counted = truth != info.ignore_class
    cells = truth[counted] * info.num_classes + classes[counted]
    return np.bincount(cells, minlength=info.num_classes**2).reshape(info.num_classes, -1)


@contextmanager
def _folder_for(path: Path) -> Iterator[None]:
    """Makes the parent directories of `path`, and removes them again when something fails."""
    new = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        with suppress(OSError):  # another process may have written there
            for folder in new:
                folder.rmdir()
        raise


@contextmanager
def _full_precision() -> Iterator[None]:
    """Turns off TF32, which TensorFlow uses on GPUs by default and whose error is 1e-3."""
    from tensorflow.config import experimental

    before = experimental.tensor_float_32_execution_enabled()
    experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        experimental.enable_tensor_float_32_execution(before)


@contextmanager
def _named_failure(name: str) -> Iterator[None]:
    """Says that a model cannot be converted, whatever the converter or the runtime raises."""
    try:
        yield
    except (ImportError, OSError):
        raise
    except Exception as error:
        lines = str(error).splitlines() or [""]
        raise ValueError(
            f"`model` must have layers that work in the format {name!r}. Received: "
            f"{type(error).__name__}: {lines[0][:300]} Try another format, a fixed `image_shape`, "
            "or other layers in the backbone."
        ) from error


@contextmanager
def _openvino_on_python_3_13() -> Iterator[None]:
    """Lets OpenVINO convert a model on Python 3.13.

    OpenVINO 2026.4 imports and deletes TensorFlow by two calls of `exec` in a function. Since
    Python 3.13 (PEP 667), the second one does not see what the first one defined, and raises.
    """
    if sys.version_info < (3, 13) or importlib.util.find_spec("openvino") is None:
        yield
        return
    from openvino.frontend.tensorflow import utils

    utils.exec = lambda _code: None
    try:
        yield
    finally:
        del utils.exec


def _move(folder: Path, path: Path) -> None:
    """Moves what is in `folder` beside `path`; replaces an earlier export."""
    written = list(folder.iterdir())
    replaced = folder / "replaced"  # removed with the temporary folder
    if path.is_dir():
        path.rename(replaced)
    try:
        for file in written:
            file.replace(path.parent / file.name)
    except OSError:
        if replaced.exists():
            replaced.rename(path)
        raise


@contextmanager
def _quietly() -> Iterator[None]:
    """Keeps converters from printing and warning."""
    with (
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
