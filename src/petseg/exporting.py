"""Export to four formats, each artifact run in its own runtime and compared before it is kept."""

import io
import itertools
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from petseg.data import draw_pet
from petseg.metrics import MeanIoU
from petseg.model_records import model_info
from petseg_runtime import Runtime, validation
from petseg_runtime.formats import FORMATS
from petseg_runtime.model_info import QUANTIZATIONS
from petseg_runtime.predictor import resize

# How far an artifact may be from its model: a logit, the share of pixels, the mean IoU.
MOST_LOGIT_DRIFT = 1e-3
MOST_PIXEL_DRIFT = 0.005
MOST_IOU_DRIFT = 0.01

# Sizes of the images that a network of any size is compared on, and how many of each.
CHECKED_SIZES = ((128, 128), (96, 160))
CHECKED_IMAGES = 4
GRAIN = 8.0  # of 255. On plain colours SegNet's maxima are equal, and rounding chooses the place.
CALIBRATION_IMAGES = 128


def export(
    model: keras.Model,
    path: str | os.PathLike[str],
    *,
    format: str | None = None,  # noqa: A002 -- Keras's word, too
    quantize: str | None = None,
    calibration: Iterable[Any] | None = None,
    argmax: bool = False,
) -> Path:
    """Writes the model for another runtime, and compares the two before it leaves the file there.

    `format` is "onnx", "litert", "openvino" or "saved_model"; by default what the suffix of `path`
    says: `.onnx`, `.tflite`, `.xml` (beside which OpenVINO puts a `.bin`), or none for the folder
    of a SavedModel. What is there already is replaced. All take RGB `(N, H, W, 3)` in [0, 255], of
    any size where the model does, and return float32 logits `(N, H, W, C)` or, with `argmax`, the
    classes `(N, H, W)`. `petseg.Runtime` opens them.

    `quantize` is for LiteRT: "float16" halves the file, "int8" makes it a quarter and faster. For
    "int8", `calibration` is a dataset of batches `(images, masks)`, such as `pets.val`, whose first
    128 images set the ranges and are scored; it is exported for the size of these images alone.

    Raises `ValueError`, and leaves nothing behind, when the artifact is further from the model than
    1e-3 in any logit (float32), 0.5 % of the pixels (float16) or 0.01 mean IoU (int8) on the images
    of `calibration` or, without, on drawn pets. Raises `ImportError` when what the format needs is
    not installed: `pip install "petseg[export]"`.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a keras.Model. Received: {model!r}.")
    path = Path(path)
    format = _checked_format(path, format)  # noqa: A001
    validation.choice("quantize", quantize, (None, *QUANTIZATIONS))
    if quantize is not None and format != "litert":
        raise ValueError(
            f"`quantize` is for LiteRT: give a path that ends in .tflite. Received: {path}."
        )
    if (quantize == "int8") != (calibration is not None):
        raise ValueError(
            "`calibration` must be a dataset where `quantize` is 'int8', and only there. "
            f"Received: quantize={quantize!r}, calibration={calibration!r}."
        )
    examples = None if calibration is None else _examples(calibration)
    images = _checked_images(model) if examples is None else [examples[0]]
    info = model_info(model).replace(argmax=argmax, quantize=quantize)
    if examples is not None:
        model = _of_size(model, examples[0].shape[1:3])
    exported = keras.Model(model.input, ArgMax()(model.output)) if argmax else model
    with _folder_for(path), tempfile.TemporaryDirectory(prefix=".part-", dir=path.parent) as folder:
        part = Path(folder) / path.name
        with _quietly():
            exported(images[0][:1])  # Keras exports only what has been called
            exported.export(
                str(part),
                format=FORMATS[format].keras_name,
                verbose=False,
                **_converter_options(format, quantize, images),
            )
            FORMATS[format].write_record(part, info.to_json())
        with _full_precision():
            _check(model, Runtime(part), images, None if examples is None else examples[1])
        _put(Path(folder), path)
    return path


class ArgMax(layers.Layer):
    """The class `(N, H, W)` of the greatest logit of `(N, H, W, C)`, the first where equal."""

    def call(self, logits: Any) -> Any:
        if keras.backend.backend() == "tensorflow":
            import tensorflow as tf

            # Keras's own looks at the bits of a float, for which ONNX and LiteRT have no operation.
            return tf.argmax(logits, -1, output_type="int32")
        return ops.argmax(logits, -1)

    def compute_output_spec(self, logits: Any) -> keras.KerasTensor:
        return keras.KerasTensor(logits.shape[:-1], dtype="int32")


def _checked_format(path: Path, name: str | None) -> str:
    by_suffix = {row.suffix: key for key, row in FORMATS.items()}
    name = by_suffix.get(path.suffix) if name is None else name
    if name not in FORMATS:
        raise ValueError(
            f"`format` must be one of {', '.join(FORMATS)}, or `path` end in "
            f"{', '.join(filter(None, by_suffix))} or be a folder's. "
            f"Received: format={name!r}, path={str(path)!r}."
        )
    if path.suffix != FORMATS[name].suffix:
        raise ValueError(
            f"`path` must end in {FORMATS[name].suffix or 'no suffix'} for {name}. "
            f"Received: {str(path)!r}."
        )
    if name == "saved_model" and path.is_file():
        raise ValueError(f"`path` must be a folder's for {name}. Received a file: {str(path)!r}.")
    if path.is_dir() and not (path / "saved_model.pb").exists() and any(path.iterdir()):
        raise ValueError(f"`path` is a folder of other things. Received: {str(path)!r}.")
    return name


def _examples(dataset: Iterable[Any]) -> tuple[np.ndarray, np.ndarray]:
    """The first images of a dataset and their masks."""
    images: list[np.ndarray] = []
    masks: list[np.ndarray] = []
    for batch in dataset:
        if not isinstance(batch, tuple) or len(batch) < 2:
            raise ValueError("`calibration` must hold batches `(images, masks)`.")
        images.extend(np.asarray(batch[0], np.float32))
        masks.extend(np.asarray(batch[1]))
        if len(images) >= CALIBRATION_IMAGES:
            break
    if not images:
        raise ValueError("`calibration` must hold at least one batch. Received: none.")
    return np.stack(images[:CALIBRATION_IMAGES]), np.stack(masks[:CALIBRATION_IMAGES])


def _checked_images(model: keras.Model) -> list[np.ndarray]:
    """Drawn pets in each of the sizes to compare on."""
    sizes = dict.fromkeys(
        tuple(own or side for own, side in zip(model.input_shape[1:3], size, strict=True))
        for size in CHECKED_SIZES
    )
    drawn = [draw_pet(seed)[0] for seed in range(CHECKED_IMAGES)]
    images = [np.stack([resize(image, size) for image in drawn]) for size in sizes]
    rng = np.random.default_rng(0)
    return [
        np.clip(batch + rng.uniform(-GRAIN, GRAIN, batch.shape), 0, 255).astype(np.float32)
        for batch in images
    ]


def _of_size(model: keras.Model, size: tuple[int, int]) -> keras.Model:
    """The model for images of one size: for some converters the sizes must be known."""
    images = keras.Input((*size, 3), name="images")
    return keras.Model(images, model(images), name=model.name)


def _converter_options(
    format: str,  # noqa: A002
    quantize: str | None,
    images: list[np.ndarray],
) -> dict[str, Any]:
    if format != "litert":
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


def _check(
    model: keras.Model, runtime: Runtime, images: list[np.ndarray], masks: np.ndarray | None
) -> None:
    """Raises `ValueError` when the artifact differs too much from the model."""
    by_logit = runtime.info.quantize is None and not runtime.info.argmax
    for batch in images:
        wanted = _in_batches(model.predict_on_batch, batch, 32, classes=not by_logit)
        given = _in_batches(runtime, batch, 1, classes=not by_logit)
        if masks is not None:
            ious = [_mean_iou(masks, found, runtime) for found in (wanted, given)]
            drift, most, unit = abs(ious[0] - ious[1]), MOST_IOU_DRIFT, "mean IoU"
        elif by_logit:
            drift, most, unit = np.abs(wanted - given).max(), MOST_LOGIT_DRIFT, "in a logit"
        else:
            drift, most, unit = np.mean(wanted != given), MOST_PIXEL_DRIFT, "of the pixels"
        if not drift <= most:
            raise ValueError(
                f"The exported network differs from `model` by {drift:.2g} {unit} on images of "
                f"shape {batch.shape[1:]}, more than {most:.2g}. Nothing was written."
            )


def _in_batches(
    network: Callable[[Any], Any], images: np.ndarray, size: int, classes: bool
) -> np.ndarray:
    """What the network gives; of logits the classes alone, where these are enough."""
    parts = []
    for start in range(0, len(images), size):
        output = network(images[start : start + size])
        parts.append(output.argmax(-1) if classes and output.ndim == 4 else output)
    return np.concatenate(parts)


def _mean_iou(masks: np.ndarray, classes: np.ndarray, runtime: Runtime) -> float:
    count = runtime.info.num_classes
    metric = MeanIoU(count, ignore_class=runtime.info.ignore_class)
    for mask, found in zip(masks, classes, strict=True):
        metric.update_state(mask[np.newaxis], np.eye(count, dtype="float32")[found][np.newaxis])
    return float(metric.result()["mean_iou"])


@contextmanager
def _folder_for(path: Path) -> Iterator[None]:
    """Makes the folder that `path` is in, and takes it away again when something goes wrong."""
    new = [folder for folder in path.parents if not folder.exists()]
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for folder in new:
            folder.rmdir()
        raise


@contextmanager
def _full_precision() -> Iterator[None]:
    """Without TF32, in which TensorFlow computes on a GPU by default: its error is 1e-3."""
    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.config import experimental

    before = experimental.tensor_float_32_execution_enabled()
    experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        experimental.enable_tensor_float_32_execution(before)


def _put(folder: Path, path: Path) -> None:
    """Moves what is in `folder` to where `path` is."""
    if path.is_dir():
        shutil.rmtree(path)
    for file in folder.iterdir():
        file.replace(path.parent / file.name)


@contextmanager
def _quietly() -> Iterator[None]:
    """Without what the converters say on their way."""
    with (
        warnings.catch_warnings(),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        yield
