"""`ModelInfo`: what a model is, as a record that travels with the model."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Self

from petseg_runtime import validation
from petseg_runtime.json_text import parse_json

# Version of the JSON layout. Version 0.1.0 of petseg wrote records without one.
SCHEMA = 1
QUANTIZATIONS = ("float16", "int8")


@dataclass(frozen=True)
class ModelInfo:
    """What a model is: its classes, its input, its architecture and its origin.

    Every petseg model carries one. It survives saving and loading, cloning, compiling again and
    export. `petseg.model_info` reads it from a model, a file or a `petseg.Runtime`.

    Attributes:
        class_names: Name of each class, in the order of the labels.
        ignore_class: Label of pixels that count in no loss and no score, or None.
        image_size: (height, width) in pixels of the images the model was trained on, or None where
            that is unknown.
        architecture: Key of `petseg.MODELS`, or None where that is unknown.
        backbone: Key of `petseg.BACKBONES`, name of another backbone, or None where that is
            unknown.
        arguments: Arguments that only this architecture has, read-only.
        input_range: Smallest and greatest value of an input pixel.
        weights: What the model was initialized with: "imagenet" (the encoder alone), "pets", the
            name of a weights file, or None (random weights). With "pets" or a file, layers that
            these did not fit were random.
        licence: Licence of the weights, or None where that is unknown, as after training.
        petseg_version: Version of petseg that built the model, or None where that is unknown.
        argmax: Whether an exported model returns classes instead of logits.
        quantize: "float16" or "int8" for a quantized export, else None.
        temperature: Positive number that logits are divided by before they become probabilities,
            so that these are as often right as they say (Guo et al., "On Calibration of Modern
            Neural Networks", 2017). See `petseg.calibrate`.
        closer_look_below: Share of the pixels, from 0 to 1. Where less of an image than this is
            predicted as foreground (any class but the one called background), `petseg.predict`
            shows the image to the model at 1.5 times the size too. 0, for never, unless it was
            measured that this pays, as for the pretrained models.
        channels: Number of channels of an image; 3 are red, green and blue.

    Raises:
        ValueError: If a field is out of its range.

    Example:
        >>> info = petseg.model_info("unet.onnx")
        >>> info.class_names, info.image_size
        (('pet', 'background', 'border'), (224, 224))
    """

    class_names: tuple[str, ...]
    ignore_class: int | None = None
    image_size: tuple[int, int] | None = None
    architecture: str | None = None
    backbone: str | None = None
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    input_range: tuple[float, float] = (0.0, 255.0)
    weights: str | None = None
    licence: str | None = None
    petseg_version: str | None = None
    argmax: bool = False
    quantize: str | None = None
    temperature: float = 1.0
    closer_look_below: float = 0.0
    channels: int = 3

    def __post_init__(self) -> None:
        def put(name: str, value: Any) -> None:
            object.__setattr__(self, name, value)

        put("class_names", validation.class_names("class_names", self.class_names))
        put("ignore_class", validation.optional_integer("ignore_class", self.ignore_class))
        if self.image_size is not None:
            put("image_size", validation.image_size("image_size", self.image_size))
        for name in ("architecture", "backbone", "weights", "licence", "petseg_version"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise ValueError(f"`{name}` must be a string or None. Received: {value!r}.")
        low_high = tuple(self.input_range) if isinstance(self.input_range, list | tuple) else ()
        if len(low_high) != 2 or not all(map(validation.is_number, low_high)):
            raise ValueError(f"`input_range` must be two numbers. Received: {self.input_range!r}.")
        put("input_range", (float(low_high[0]), float(low_high[1])))
        put("channels", validation.integer("channels", self.channels, 1))
        put("argmax", validation.boolean("argmax", self.argmax))
        validation.choice("quantize", self.quantize, (None, *QUANTIZATIONS))
        put("temperature", validation.positive_number("temperature", self.temperature))
        share = validation.fraction("closer_look_below", self.closer_look_below, closed=True)
        put("closer_look_below", share)
        if not isinstance(self.arguments, Mapping):
            raise ValueError(f"`arguments` must be a mapping. Received: {self.arguments!r}.")
        # As JSON gives them back, so that a record that was written and read is equal to itself.
        arguments = json.loads(json.dumps(dict(self.arguments), default=_plain))
        put("arguments", MappingProxyType(arguments))

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def background(self) -> int | None:
        """Index of the class called "background", or None where there is none."""
        return background_of(self.class_names)

    def replace(self, **changes: Any) -> Self:
        """Returns a copy with some fields changed.

        Args:
            **changes: New values by field name.

        Returns:
            The changed record.

        Raises:
            ValueError: If a value is out of its range.
        """
        return dataclasses.replace(self, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as JSON types."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["arguments"] = dict(self.arguments)
        record: dict[str, Any] = json.loads(json.dumps(fields))
        return {"schema": SCHEMA, **record}

    def to_json(self) -> str:
        """Returns the record as indented JSON text."""
        return json.dumps(self.to_dict(), indent=2)

    def __reduce__(self) -> tuple[Any, ...]:
        # A read-only mapping cannot be copied or pickled.
        return type(self).from_dict, (self.to_dict(),)

    @classmethod
    def from_dict(cls, record: Any) -> Self:
        """Builds the record from what `to_dict` returned, or from a record of version 0.1.0.

        Fields that a later version may add are left out.

        Args:
            record: A mapping.

        Returns:
            The record.

        Raises:
            ValueError: If it is not such a mapping, or a value is out of its range.
        """
        if not isinstance(record, Mapping):
            raise ValueError(f"A model record must be a JSON object. Received: {record!r:.60}.")
        record = dict(record) if "schema" in record else _from_first_version(record)
        if "class_names" not in record:
            raise ValueError(
                f"A model record must hold `class_names`. Received: {', '.join(map(str, record))}."
            )
        known = {field.name for field in dataclasses.fields(cls)}
        return cls(**{name: value for name, value in record.items() if name in known})

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Builds the record from the text that `to_json` returned.

        Args:
            text: JSON text.

        Returns:
            The record.

        Raises:
            ValueError: If it is not the text of a record.
        """
        try:
            record = parse_json(text)
        except ValueError as error:
            raise ValueError(f"A model record must be JSON. Received: {error}.") from error
        return cls.from_dict(record)


def _plain(value: Any) -> Any:
    """Turns NumPy scalars and arrays into Python numbers and lists."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise ValueError(f"`arguments` must hold values that JSON has. Received: {value!r}.")


def background_of(class_names: tuple[str, ...]) -> int | None:
    """Finds the background by its name.

    Args:
        class_names: Name of each class.

    Returns:
        The index of the class called "background" in any case, or None where there is none.
    """
    lowered = [name.casefold() for name in class_names]
    return lowered.index("background") if "background" in lowered else None


def _from_first_version(record: Mapping[str, Any]) -> dict[str, Any]:
    """Names the fields of a record that petseg 0.1.0 wrote into an export."""
    fields = {
        "class_names": record.get("class_names"),
        "ignore_class": record.get("ignore_class"),
        "architecture": record.get("model"),
        "petseg_version": record.get("petseg"),
        "quantize": record.get("quantize"),
        "argmax": str(record.get("output", "")).startswith("classes"),
    }
    return {name: value for name, value in fields.items() if value is not None}
