"""Large images in tiles: overlapping squares whose logits are blended."""

import math
from collections.abc import Callable, Iterator

import numpy as np


def logits_in_bands(
    image: np.ndarray,
    tile: int,
    num_classes: int,
    run: Callable[[np.ndarray], np.ndarray],
    *,
    at_once: int,
) -> Iterator[np.ndarray]:
    """Computes the logits of an image in tiles.

    The tiles are squares that overlap by half or more, each weighted down towards its edges.

    Args:
        image: The image `(H, W, 3)`, both sides at least `tile`.
        tile: Side of the tiles in pixels.
        num_classes: Number of classes.
        run: Maps tiles `(N, tile, tile, 3)`, float32, to logits `(N, tile, tile, num_classes)`.
        at_once: Number of tiles that `run` gets at once.

    Yields:
        The logits of the image in bands of whole rows, from top to bottom.
    """
    height, width = image.shape[:2]
    rise = np.minimum(np.arange(1, tile + 1), np.arange(tile, 0, -1)).astype(np.float32)
    window = np.outer(rise, rise)[..., np.newaxis]
    total = np.zeros((tile, width, num_classes), np.float32)
    weight = np.zeros((tile, width, 1), np.float32)
    top = 0  # of the rows that `total` holds
    for y, x, logits in _tiles(image, tile, run, at_once):
        if y > top:  # the tiles come in rows: no later one reaches above this one
            done = y - top
            yield total[:done] / weight[:done]
            for held in (total, weight):
                held[:-done] = held[done:].copy()
                held[-done:] = 0
            top = y
        total[:, x : x + tile] += window * logits
        weight[:, x : x + tile] += window
    yield total[: height - top] / weight[: height - top]


def _tiles(
    image: np.ndarray, tile: int, run: Callable[[np.ndarray], np.ndarray], at_once: int
) -> Iterator[tuple[int, int, np.ndarray]]:
    """Yields the top, the left and the logits of each tile, row by row."""
    height, width = image.shape[:2]
    corners = [(y, x) for y in _starts(height, tile) for x in _starts(width, tile)]
    for begin in range(0, len(corners), at_once):
        some = corners[begin : begin + at_once]
        squares = np.stack([image[y : y + tile, x : x + tile] for y, x in some])
        for (y, x), logits in zip(some, run(squares.astype(np.float32)), strict=True):
            yield y, x, logits


def _starts(length: int, tile: int) -> list[int]:
    """Where tiles begin that cover `length`, neighbours overlapping by half or more."""
    count = 1 + math.ceil((length - tile) / (tile / 2))
    return [round(start) for start in np.linspace(0, length - tile, count)]
