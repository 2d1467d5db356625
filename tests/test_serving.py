"""`examples/serve.py` as a process without TensorFlow, with real clients."""

import io
import os
import re
import select
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from petseg_runtime import Runtime
from petseg_runtime.image_io import read_image

ROOT = Path(__file__).parents[1]
PHOTO = ROOT / "examples" / "chelsea.png"
MAX_BYTES = 20_000_000

START = """
import sys
sys.modules |= {name: None for name in ("keras", "tensorflow", "petseg")}
import uvicorn
uvicorn.main()
"""


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    return tmp_path_factory.mktemp("server") / "log.txt"


@pytest.fixture(scope="module")
def address(log):
    """Where the server listens, once it has opened its model."""
    command = [sys.executable, "-c", START, "--app-dir", ROOT / "examples", "serve:app"]
    environment = {name: value for name, value in os.environ.items() if name != "PETSEG_MODEL"}
    with (
        log.open("w") as file,
        subprocess.Popen([*command, "--port", "0"], stderr=file, env=environment) as server,
    ):
        try:
            yield wait_for_address(server, log)
        finally:
            server.terminate()
    assert "Application shutdown complete" in log.read_text()


def wait_for_address(server, log):
    for _ in range(600):
        found = re.search(r"running on (http://[\d.:]+)", log.read_text())
        if found:
            return found[1]
        assert server.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(f"the server did not start: {log.read_text()}")


@pytest.fixture(scope="module")
def client(address):
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def runtime():
    return Runtime.pretrained()


def mask_of(response):
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(response.content)) as picture:
        return np.asarray(picture)


def encoded(image, kind="JPEG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def test_health_tells_the_classes(client, runtime):
    response = client.get("/health")
    assert response.status_code == 200
    assert response.json() == {"classes": list(runtime.class_names)}


def test_concurrent_requests_get_the_masks_of_the_runtime(client, runtime, tmp_path):
    photo = Image.fromarray(read_image(PHOTO))
    uploads, wanted = [], []
    for index in range(16):
        path = tmp_path / f"{index}.{('jpg', 'png', 'webp')[index % 3]}"
        picture = photo.resize((160 + 9 * index, 120 + 5 * index))
        exif = Image.Exif()
        exif[0x0112] = 1 + index % 8  # upright, mirrored and turned
        picture.save(path, exif=exif)
        uploads.append(path.read_bytes())
        wanted.append(runtime.predict(path))
    with ThreadPoolExecutor(8) as pool:
        responses = list(pool.map(lambda body: client.post("/masks", content=body), uploads))
    for response, mask in zip(responses, wanted, strict=True):
        np.testing.assert_array_equal(mask_of(response), mask)


def refused():
    """Bodies that get no mask, each with the status and a part of the reason."""
    photo = Image.fromarray(read_image(PHOTO))
    jpeg = encoded(photo)
    bomb = encoded(Image.new("1", (9000, 9000)), "PNG")
    # The header alone promises more pixels than Pillow opens.
    huge = encoded(Image.new("1", (1, 1)), "BMP")
    huge = huge[:18] + (30_000).to_bytes(4, "little") * 2 + huge[26:]
    return {
        "empty": (b"", 422, "The body must be a photo"),
        "no image": (b"not an image", 422, "The body must be a photo (JPEG, PNG, WEBP)."),
        "truncated": (jpeg[: len(jpeg) // 2], 422, "The photo cannot be read as an image"),
        "format": (encoded(photo, "EPS"), 422, "The body must be a photo"),
        "huge": (huge, 422, "The body must be a photo"),
        "pixels": (bomb, 413, "at most 50000000 pixels"),
        "bytes": (bytes(MAX_BYTES + 1), 413, "at most 20000000 bytes"),
    }


def test_bad_uploads_are_refused_in_one_sentence(client, runtime):
    for name, (body, status, reason) in refused().items():
        response = client.post("/masks", content=body)
        assert response.status_code == status, name
        assert reason in response.json()["detail"], name
    # It still answers.
    response = client.post("/masks", content=PHOTO.read_bytes())
    np.testing.assert_array_equal(mask_of(response), runtime.predict(PHOTO))


@pytest.fixture
def connection(address):
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=60) as connection:
        yield connection


def test_a_body_without_a_length_is_refused_before_its_end(connection, client):
    connection.sendall(b"POST /masks HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    sent, chunk = 0, bytes(1_000_000)
    while not select.select([connection], [], [], 0)[0]:
        assert sent < 4 * MAX_BYTES, "no answer"
        connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
        sent += len(chunk)
    assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    assert sent >= MAX_BYTES
    assert client.get("/health").status_code == 200


def test_a_client_that_goes_away_is_no_fault(connection, client, log):
    connection.sendall(b"POST /masks HTTP/1.1\r\nHost: a\r\nContent-Length: 999\r\n\r\nabc")
    connection.close()
    assert client.get("/health").status_code == 200
    assert "Traceback" not in log.read_text()
