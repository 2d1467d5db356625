"""Serve masks over HTTP with FastAPI and ONNX Runtime. The server needs no TensorFlow.

    pip install --no-deps petseg && pip install numpy pillow onnxruntime fastapi uvicorn
    uvicorn --app-dir examples serve:app --limit-concurrency 64

    curl --fail-with-body --data-binary @cat.jpg http://127.0.0.1:8000/masks --output mask.png
    curl http://127.0.0.1:8000/health

The answer is a PNG file as large as the photo, whose pixels are classes. PETSEG_MODEL is the path
of an ONNX file that `petseg.export` wrote; by default, the pretrained U-Net is served. Anybody may
send requests: put a proxy with TLS, authentication and timeouts in front of the server.
"""

import io
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, HTTPException, Request, Response
from PIL import Image
from starlette.requests import ClientDisconnect

from petseg_runtime import Runtime
from petseg_runtime.image_io import decode_image

MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
# Pillow knows many more, some of which start other programs.
FORMATS = ("JPEG", "PNG", "WEBP")
# One photo is read while the model, on all cores, computes the mask of another.
THREADS = 2


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Opens the model before the server takes requests."""
    path = os.environ.get("PETSEG_MODEL")
    app.state.runtime = Runtime(path) if path else Runtime.pretrained()
    app.state.threads = CapacityLimiter(THREADS)
    yield


app = FastAPI(title="petseg", lifespan=lifespan)


@app.get("/health")
async def health(request: Request) -> dict[str, tuple[str, ...]]:
    """Tells that the server is up, and the name of each class."""
    return {"classes": request.app.state.runtime.class_names}


@app.post(
    "/masks",
    response_class=Response,
    responses={200: {"content": {"image/png": {}}}},
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {"image/*": {"schema": {"type": "string", "format": "binary"}}},
        }
    },
)
async def mask(request: Request) -> Response:
    """Returns the mask of the photo in the body."""
    body = await read_body(request)
    state = request.app.state
    png = await to_thread.run_sync(mask_png, state.runtime, body, limiter=state.threads)
    return Response(png, media_type="image/png")


async def read_body(request: Request) -> bytes:
    """Reads the body, and stops where it is too large: its length may be missing or wrong."""
    body = bytearray()
    try:
        async for part in request.stream():
            body += part
            if len(body) > MAX_BYTES:
                raise HTTPException(413, f"The photo must have at most {MAX_BYTES} bytes.")
    except ClientDisconnect as error:
        raise HTTPException(400, "The body ended too early.") from error
    return bytes(body)


def mask_png(runtime: Runtime, body: bytes) -> bytes:
    file = io.BytesIO()
    Image.fromarray(runtime.predict(read_photo(body))).save(file, "PNG")
    return file.getvalue()


def read_photo(body: bytes) -> np.ndarray:
    """Reads a photo as `petseg.predict` does, upright, if it is safe to open."""
    try:
        with Image.open(io.BytesIO(body), formats=FORMATS) as image:
            pixels = image.width * image.height
    except Image.DecompressionBombError:
        pixels = MAX_PIXELS + 1
    except Exception as error:  # Pillow raises nearly anything on a damaged file
        allowed = ", ".join(FORMATS)
        raise HTTPException(422, f"The body must be a photo ({allowed}).") from error
    if pixels > MAX_PIXELS:
        raise HTTPException(413, f"The photo must have at most {MAX_PIXELS} pixels.")
    try:
        return decode_image(io.BytesIO(body), "The photo")
    except ValueError as error:
        raise HTTPException(422, str(error)) from error
