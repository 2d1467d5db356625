"""The built site in Chromium: every page opens whole, and "Try it" predicts as petseg does.

`PETSEG_SITE` names the folder that `mkdocs build` wrote; without it there is nothing to open.
"""

import base64
import functools
import http.server
import io
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.pretrained import read_card, pretrained_models
from petseg_runtime.overlays import COLOURS

SITE = os.environ.get("PETSEG_SITE")
CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.skipif(not SITE, reason="PETSEG_SITE names no built site"),
    pytest.mark.skipif(not CHROMIUM, reason="Chromium is not installed"),
]


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def address():
    """Where the site is served from."""
    handler = functools.partial(QuietHandler, directory=SITE)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def browser():
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--use-fake-device-for-media-stream"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser, address):
    """A page whose every complaint, missing file or request to another machine fails the test."""
    faults = []
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.on("console", lambda said: said.type == "error" and faults.append(said.text))
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("response", lambda got: got.status >= 400 and faults.append(f"{got.status} {got.url}"))
    page.on(
        "request",
        lambda asked: asked.url.startswith(("blob:", "data:", address)) or faults.append(asked.url),
    )
    yield page
    page.close()
    assert faults == []


def pages():
    return sorted(path.relative_to(SITE).as_posix() for path in Path(SITE or ".").rglob("*.html"))


def test_every_page_opens_whole(page, address):
    names = [name for name in pages() if name != "404.html"]
    assert len(names) > 10
    seen = {f"{address}/{name}" for name in names}
    links = set()
    for name in names:
        page.goto(f"{address}/{name}", wait_until="load")
        assert page.locator("article h1").count() == 1, name
        missing = "all => all.filter(i => !(i.complete && i.naturalWidth)).map(i => i.src)"
        assert page.locator("article img").evaluate_all(missing) == [], name
        wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 1, f"{name} scrolls sideways on a phone"
        links |= set(page.locator("a[href]").evaluate_all("all => all.map(a => a.href)"))
    for link in links:
        target, _, anchor = link.partition("#")
        if not target.startswith(address):
            continue
        target += "index.html" if target.endswith("/") else ""
        assert target in seen or Path(SITE, target[len(address) + 1 :]).is_file(), link
        if anchor and target in seen:
            page.goto(target)
            assert page.locator(f"[id='{anchor}']").count() == 1, link


def picture_of(data_url):
    """RGBA `(H, W, 4)` of a PNG in a link."""
    with Image.open(io.BytesIO(base64.b64decode(data_url.partition(",")[2]))) as picture:
        return np.asarray(picture.convert("RGBA")).astype(int)


def files(photos, folder):
    """The photos at different sizes, in files: each file and what is in it."""
    for index, (photo, scale) in enumerate(zip(photos, (1, 0.5, 1.7, 1.2, 2.3), strict=True)):
        image = Image.fromarray(photo)
        image = image.resize((round(scale * image.width), round(0.8 * scale * image.height)))
        path = folder / f"{index}.png"
        image.save(path)
        yield path, np.asarray(image)


@pytest.mark.parametrize("name", pretrained_models())
def test_its_masks_are_those_of_python(page, address, name, photos_and_masks, tmp_path):
    page.goto(f"{address}/try/")
    page.wait_for_function("document.getElementById('status').textContent == 'Ready.'")
    labels = page.locator("#network option").all_inner_texts()
    assert sorted(label.split()[0] for label in labels) == pretrained_models()
    page.select_option("#network", next(text for text in labels if text.split()[0] == name))
    card = read_card(name)
    model = petseg.MODELS[name](backbone=card["backbone"], weights="pets")
    palette = np.array(COLOURS[: len(card["class_names"])])
    page.locator("#result").evaluate("element => element.hidden = false")
    page.get_by_role("radio", name="Mask").check()
    for path, image in files(photos_and_masks[0], tmp_path):
        page.locator("#status").evaluate("element => element.textContent = ''")
        page.set_input_files("#photo", path)
        page.wait_for_function("document.getElementById('status').textContent.includes(' ms')")
        data = page.locator("#canvas").evaluate("canvas => canvas.toDataURL()")
        found = np.abs(picture_of(data)[:, :, np.newaxis, :3] - palette).sum(-1)
        assert (found.min(-1) == 0).all()
        expected = petseg.predict(model, image, image_size=tuple(card["image_size"]))
        assert (found.argmin(-1) == expected).mean() > 0.99
        assert int(page.locator("#status").inner_text().split()[0]) < 1000


def test_it_works_by_keyboard_and_refuses_what_is_no_picture(page, address, tmp_path):
    page.goto(f"{address}/try/")
    page.wait_for_function("document.getElementById('status').textContent == 'Ready.'")
    page.locator("#samples button").first.focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('status').textContent.includes(' ms')")
    assert page.locator("#canvas").evaluate("canvas => [canvas.width, canvas.height]") == [192, 192]
    before = page.locator("#canvas").evaluate("canvas => canvas.toDataURL()")
    page.locator("#opacity").focus()
    page.keyboard.press("End")
    assert page.locator("#canvas").evaluate("canvas => canvas.toDataURL()") != before
    page.get_by_role("radio", name="Cut-out").check()
    clear = "c => c.getContext('2d').getImageData(0, 0, c.width, c.height).data"
    alpha = page.locator("#canvas").evaluate(
        f"c => Array.from(({clear})(c)).filter((_, i) => i % 4 == 3)"
    )
    assert set(alpha) == {0, 255}
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").click()
    assert download.value.suggested_filename == "cutout.png"
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    page.set_input_files("#photo", notes)
    page.wait_for_function("document.getElementById('status').textContent.includes('cannot be')")
