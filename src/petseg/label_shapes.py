"""Checks that masks fit the logits that they are compared with, before anything is broadcast."""

from typing import Any

from keras import ops


def labels_for(masks: Any, logits: Any) -> Any:
    """Checks the shape of masks and removes a last axis of length 1.

    Args:
        masks: Labels `(..., H, W)` or `(..., H, W, 1)`, a tensor.
        logits: `(..., H, W, num_classes)`, a tensor.

    Returns:
        The labels `(..., H, W)`.

    Raises:
        ValueError: If there is one channel of logits, or the shapes do not fit. Sides that are not
            known yet, in a compiled function, fit any.
    """
    shape, wanted = tuple(masks.shape), tuple(logits.shape)
    if wanted[-1] is not None and wanted[-1] < 2:
        raise ValueError(
            "`y_pred` must be logits (..., num_classes) of two or more classes. "
            f"Received: shape {wanted}."
        )
    has_channel = len(shape) == len(wanted) and shape[-1] in (1, None)
    pixels = shape[:-1] if has_channel else shape
    if len(pixels) != len(wanted) - 1 or any(
        None not in sides and sides[0] != sides[1]
        for sides in zip(pixels, wanted[:-1], strict=True)
    ):
        raise ValueError(
            "`y_true` must be masks (N, H, W) or (N, H, W, 1) of integer labels that fit the "
            f"logits `y_pred`. Received: shape {shape} for logits of shape {wanted}."
        )
    return ops.squeeze(masks, -1) if has_channel else masks
