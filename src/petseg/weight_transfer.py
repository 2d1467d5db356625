"""Weights of one model for another: what fits is loaded, layer by layer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from petseg.backbones import adapt_kernel

LARGE_SHARE = 0.5  # of the parameters: enough for an encoder that does not fit as a whole
NAMED_LAYERS = 4  # in the sentence about what is new
SCORES = ("logits", "scores")  # ends of the names of layers with an output for each class


class WeightsWarning(UserWarning):
    """Some of a model's layers did not get the weights that were asked for.

    Example:
        >>> warnings.simplefilter("ignore", petseg.models.WeightsWarning)
    """


@dataclass(frozen=True)
class Transfer:
    """What fits of the weights of another model.

    Attributes:
        loaded: Names of the layers that have the weights.
        new: Names of the layers of the model that keep their random values.
        left_out: Names of the layers that the model lacks or that have another shape there.
        adapted: Names of the loaded layers whose weights were adapted to another number of
            channels.
        encoder: Whether the whole encoder has the weights.
        share: Fraction of the model's parameters that has the weights.
    """

    loaded: tuple[str, ...]
    new: tuple[str, ...]
    left_out: tuple[str, ...]
    adapted: tuple[str, ...]
    encoder: bool
    share: float

    @property
    def complete(self) -> bool:
        """Whether the model is the one that the weights are from."""
        return not self.new and not self.left_out and not self.adapted

    @property
    def useful(self) -> bool:
        """Whether the encoder has the weights, or at least half of the parameters."""
        return bool(self.loaded) and (self.encoder or self.share >= LARGE_SHARE)

    def describe(self) -> str:
        """Says in one sentence what has the weights and what is new."""
        total = len(self.loaded) + len(self.new)
        text = f"{len(self.loaded)} of {total} layers have these weights"
        if self.new:
            named = self.new[-NAMED_LAYERS:]  # the last one makes the logits
            text += f"; new and random: {', '.join(named)}"
            if len(self.new) > len(named):
                text += f" and {len(self.new) - len(named)} more"
        if self.adapted:
            text += f"; adapted to the channels of the images: {', '.join(self.adapted)}"
        unknown = len(set(self.left_out) - set(self.new))
        if unknown:
            text += f"; {unknown} layers of the weights have no counterpart"
        return text


def transfer(
    model: keras.Model,
    arrays: Mapping[str, Sequence[np.ndarray]],
    *,
    is_reversed: bool = False,
    new_classes: bool = False,
) -> Transfer:
    """Loads the weights of each layer whose name and shapes are the same in both models.

    The first convolution may have another number of channels.

    Args:
        model: The model. Nothing is loaded where too little fits to be useful.
        arrays: The weights of each layer by its name, in the order of `layer.weights`.
        is_reversed: Whether the encoder gets the channels in reversed order.
        new_classes: Whether the classes of the model are others, so that the layers with an output
            for each class stay random.

    Returns:
        What was loaded, or would have been.
    """
    layers = dict(layers_of(model))
    encoder = [
        name for part in model.layers if part.name == "encoder" for name, _ in layers_of(part)
    ]
    first = encoder[0] if encoder else ""
    channels = model.input_shape[-1]
    adapted: dict[str, Sequence[np.ndarray]] = {}
    if first in arrays and arrays[first][0].ndim == 4 and arrays[first][0].shape[2] != channels:
        kernel, *others = arrays[first]
        adapted[first] = [adapt_kernel(kernel, channels, is_reversed=is_reversed), *others]
    wanted = {**arrays, **adapted}
    fitting = {
        name: layer
        for name, layer in layers.items()
        if _fits(layer, wanted.get(name)) and not (new_classes and name.endswith(SCORES))
    }
    parameters = sum(layer.count_params() for layer in fitting.values())
    result = Transfer(
        loaded=tuple(fitting),
        new=tuple(name for name in layers if name not in fitting),
        left_out=tuple(name for name in arrays if name not in fitting),
        adapted=tuple(name for name in adapted if name in fitting),
        encoder=bool(encoder) and fitting.keys() >= set(encoder),
        share=parameters / model.count_params(),
    )
    if result.useful:
        for name, layer in fitting.items():
            layer.set_weights([np.asarray(array, np.float32) for array in wanted[name]])
    return result


def layers_of(model: keras.Model) -> Iterator[tuple[str, keras.Layer]]:
    """Lists the layers that have weights, those of the encoder included.

    Args:
        model: A model.

    Yields:
        The name of each layer and the layer, in the order of `model.weights`.
    """
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from layers_of(layer)
        elif layer.weights:
            yield layer.name, layer


def _fits(layer: keras.Layer, arrays: Sequence[np.ndarray] | None) -> bool:
    shapes = [tuple(weight.shape) for weight in layer.weights]
    return arrays is not None and [array.shape for array in arrays] == shapes
