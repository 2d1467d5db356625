"""The built site in Chromium: every page opens whole, and "Try it" predicts as petseg does.

`PETSEG_SITE` names the folder that `mkdocs build` wrote; without it there is nothing to open.
"""

import base64
import functools
import http.server
import importlib
import io
import os
import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg_runtime.palette import class_colours
from petseg_runtime.pretrained import pretrained_models, read_card

SITE = os.environ.get("PETSEG_SITE")
CHROMIUM = shutil.which("chromium")

# Pages of every kind, each checked on a phone and on a desktop, in light and in dark.
KINDS = ("", "tutorials/pets/", "models/", "benchmark/", "api/", "try/")
PHONE, DESKTOP = {"width": 390, "height": 844}, {"width": 1280, "height": 800}
WCAG = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]

pytestmark = pytest.mark.skipif(not SITE, reason="PETSEG_SITE names no built site")


def missing(what):
    """Skips the test where a tool is not installed; in CI it has to be, and the test fails."""
    reason = f"{what} is not installed"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def required(module):
    try:
        return importlib.import_module(module)
    except ImportError:
        return missing(module)


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
    api = required("playwright.sync_api")
    if not CHROMIUM:
        missing("Chromium")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--use-fake-device-for-media-stream"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def open_page(browser, address):
    """Opens pages whose every complaint, missing file or request to another machine is a fault."""
    faults, opened = [], []

    def open_one(path="", viewport=PHONE, scheme="light"):
        page = browser.new_page(viewport=viewport, color_scheme=scheme)
        opened.append(page)
        page.on("console", lambda said: said.type == "error" and faults.append(said.text))
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "response", lambda got: got.status >= 400 and faults.append(f"{got.status} {got.url}")
        )
        page.on(
            "request",
            lambda asked: (
                asked.url.startswith(("blob:", "data:", address)) or faults.append(asked.url)
            ),
        )
        page.goto(f"{address}/{path}", wait_until="load")
        return page

    yield open_one
    for page in opened:
        page.close()
    assert faults == []


@pytest.fixture
def page(open_page):
    return open_page()


def pages():
    return sorted(path.relative_to(SITE).as_posix() for path in Path(SITE or ".").rglob("*.html"))


def test_every_page_opens_whole(page, address):
    names = [name for name in pages() if name != "404.html"]
    assert len(names) > 10
    links, anchors = set(), {}
    for name in names:
        page.goto(f"{address}/{name}", wait_until="load")
        assert page.locator("article h1").count() == 1, name
        missing = "all => all.filter(i => !(i.complete && i.naturalWidth)).map(i => i.src)"
        assert page.locator("article img").evaluate_all(missing) == [], name
        wide = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 1, f"{name} scrolls sideways on a phone"
        links |= set(page.locator("a[href]").evaluate_all("all => all.map(a => a.href)"))
        ids = page.locator("[id]").evaluate_all("all => all.map(element => element.id)")
        anchors[f"{address}/{name}"] = ids
    for link in links:
        target, _, anchor = link.partition("#")
        if not target.startswith(address):
            continue
        target += "index.html" if target.endswith("/") else ""
        assert target in anchors or Path(SITE, target[len(address) + 1 :]).is_file(), link
        if anchor and target in anchors:
            assert anchors[target].count(anchor) == 1, link


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
@pytest.mark.parametrize("path", KINDS)
def test_axe_finds_no_violation(open_page, path, viewport, scheme):
    axe = required("axe_playwright_python.sync_playwright").Axe()
    page = open_page(path, viewport, scheme)
    if path == "try/":
        ready(page)
    options = {"runOnly": {"type": "tag", "values": WCAG}}
    found = axe.run(page, options=options).response["violations"]
    where = {rule["id"]: [node["target"] for node in rule["nodes"]] for rule in found}
    assert where == {}


def test_navigation_is_visible_on_a_desktop(open_page):
    for path in KINDS:
        tabs = open_page(path, DESKTOP).locator("nav.md-tabs")
        for name in ("Home", "Try it", "Installation", "Tutorials", "Models", "Reference"):
            link = tabs.get_by_role("link", name=name, exact=True)
            assert link.is_visible(), (path, name)
    names = [text.strip() for text in tabs.locator("a").all_inner_texts()]
    assert names[:2] == ["Home", "Try it"]


def test_navigation_opens_on_a_phone(open_page):
    for path in KINDS:
        page = open_page(path, PHONE)
        drawer = page.locator("nav.md-nav--primary")
        link = drawer.get_by_role("link", name="Try it", exact=True)
        inside = "a => a.getBoundingClientRect().left >= 0"
        assert not link.evaluate(inside), path
        page.locator("label.md-header__button[for='__drawer']").click()
        page.wait_for_timeout(500)  # it slides in
        assert link.is_visible(), path
        assert link.evaluate(inside), path
    link.click()
    page.wait_for_url("**/try/")
    # And by keyboard.
    button = page.locator("label.md-header__button[for='__drawer']")
    button.focus()
    page.keyboard.press("Enter")
    page.wait_for_timeout(500)
    assert page.locator("nav.md-nav--primary a").first.evaluate(inside)


def test_wide_tables_scroll_in_their_box_beside_their_first_column(open_page):
    page = open_page("benchmark/", PHONE)
    box = page.locator(".md-typeset__scrollwrap").first
    assert box.evaluate("box => box.scrollWidth > box.clientWidth")
    assert box.get_attribute("tabindex") == "0"
    assert box.get_attribute("role") == "region"
    assert box.get_attribute("aria-label") == "Table: Pretrained models"
    first, second = (box.locator(f"tbody tr:first-child td:nth-child({n})") for n in (1, 2))
    left = "cell => Math.round(cell.getBoundingClientRect().left)"
    edge = box.evaluate("box => Math.round(box.getBoundingClientRect().right)")
    assert second.evaluate("cell => Math.round(cell.getBoundingClientRect().right)") <= edge
    before = [cell.evaluate(left) for cell in (first, second)]
    box.focus()
    page.keyboard.press("End")
    box.evaluate("box => box.scrollLeft = 150")
    after = [cell.evaluate(left) for cell in (first, second)]
    assert abs(after[0] - before[0]) <= 1
    assert after[1] < before[1] - 100


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


def state_of(page):
    return page.locator("#try").get_attribute("data-state")


def ready(page):
    """Waits for the mask of the photo that the page shows."""
    page.wait_for_function("document.getElementById('try').dataset.state == 'ready'")


@pytest.mark.parametrize("name", pretrained_models())
def test_its_masks_are_those_of_python(page, address, name, photos_and_masks, tmp_path):
    page.goto(f"{address}/try/")
    ready(page)
    labels = page.locator("#model option").all_inner_texts()
    card = read_card(name)
    assert sorted(label.split(",")[0] for label in labels) == pretrained_models()
    page.select_option("#model", next(text for text in labels if text.split(",")[0] == name))
    model = petseg.MODELS[card["architecture"]](backbone=card["backbone"], weights="pets")
    palette = np.array(class_colours(card["class_names"]))
    page.get_by_text("Mask", exact=True).click()
    looks = set()
    for path, image in files(photos_and_masks[0], tmp_path):
        page.set_input_files("#photo", path)
        ready(page)
        data = page.locator("#canvas").evaluate("canvas => canvas.toDataURL()")
        found = np.abs(picture_of(data)[:, :, np.newaxis, :3] - palette).sum(-1)
        assert (found.min(-1) == 0).all()
        expected = petseg.predict(model, image, image_size=tuple(card["image_size"]))
        assert (found.argmin(-1) == expected).mean() > 0.99
        height, width = card["image_size"]
        status = page.locator("#status").inner_text()
        assert status.partition(" ms at ")[2].startswith(f"{width} x {height}")
        looks.add("and" in status)
    assert looks == {False, True}  # photos with much and with little foreground


def test_its_cut_outs_are_those_of_python(page, address):
    page.goto(f"{address}/try/")
    ready(page)
    with Image.open(Path(SITE, "try", "samples", "english_setter_58.jpg")) as sample:
        photo = np.asarray(sample.convert("RGB"))
    runtime = petseg.Runtime.pretrained()
    mask, names = runtime.predict(photo), runtime.class_names

    def shown():
        return picture_of(page.locator("#canvas").evaluate("canvas => canvas.toDataURL()"))

    page.get_by_text("Cut-out", exact=True).click()
    expected = petseg.cutout(photo, mask, class_names=names).astype(int)
    difference = np.abs(shown()[..., 3] - expected[..., 3])
    assert difference.mean() < 1
    assert (difference > 16).mean() < 0.01
    for choice in ("white", "blur", "colour"):
        page.select_option("#behind", choice)
        if choice == "blur":  # the worker makes it
            page.wait_for_function("document.getElementById('canvas').dataset.behind == 'blur'")
        onto = "#ff8800" if choice == "colour" else choice
        expected = petseg.cutout(photo, mask, class_names=names, onto=onto).astype(int)
        assert np.abs(shown()[..., :3] - expected).mean() < 2, choice
    assert page.locator("#colour").is_visible()


def test_it_shows_what_the_record_of_a_model_says(browser, address):
    """Two classes of other names, one of them ignored, in other colours: the page shows these."""
    page = browser.new_page(viewport=PHONE)
    page.route("**/built/unet-*.json", lambda route: route.fulfill(json=changed(route)))

    def changed(route):
        record = route.fetch().json()
        record["info"]["class_names"] = ["animal", "ground", "edge"]
        record["info"]["ignore_class"] = 2
        record["colours"] = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
        return record

    page.goto(f"{address}/try/")
    ready(page)
    names = [text.rpartition(" ")[0] for text in page.locator("#legend li").all_inner_texts()]
    assert [name.rpartition(" ")[0] for name in names] == ["animal", "ground", "edge (ignored)"]
    assert not page.locator("#cutout").is_visible()  # no class is the background
    page.get_by_text("Mask", exact=True).click()
    data = page.locator("#canvas").evaluate("canvas => canvas.toDataURL()")
    colours = {tuple(colour) for colour in picture_of(data)[..., :3].reshape(-1, 3)}
    assert {(1, 2, 3), (4, 5, 6), (128, 128, 128)} <= colours
    assert (7, 8, 9) not in colours
    page.close()


def test_it_reports_progress_and_stays_responsive(browser, address):
    page = browser.new_page(viewport=PHONE)
    seen = []
    page.expose_function("report", lambda text: seen.append(text))
    page.add_init_script(
        """addEventListener("DOMContentLoaded", () => {
          const doing = document.getElementById("doing");
          const watch = new MutationObserver(() => report(doing.textContent));
          watch.observe(doing, { childList: true });
        });"""
    )
    page.goto(f"{address}/try/")
    # The photo is there before the model is, and the page answers while the model runs.
    assert state_of(page) in ("busy", "ready")
    ready(page)
    assert any(text.startswith("Loading the model: ") and "MB" in text for text in seen), seen
    assert not page.locator("#busy").is_visible()
    slowest = page.evaluate(
        """async () => {
          document.getElementById("model").selectedIndex = 1;
          document.getElementById("model").dispatchEvent(new Event("change"));
          let [slowest, last] = [0, performance.now()];
          do {
            await new Promise((resolve) => setTimeout(resolve, 10));
            const now = performance.now();
            [slowest, last] = [Math.max(slowest, now - last), now];
          } while (document.getElementById("try").dataset.state === "busy");
          return slowest;
        }"""
    )
    assert slowest < 300
    page.close()


def test_the_result_is_above_the_controls_on_a_phone(open_page):
    page = open_page("try/", PHONE)
    ready(page)
    canvas, controls = (page.locator(name).bounding_box() for name in ("#canvas", ".try-controls"))
    assert canvas["y"] + canvas["height"] <= min(controls["y"], PHONE["height"])
    page = open_page("try/", DESKTOP)
    canvas, controls = (page.locator(name).bounding_box() for name in ("#canvas", ".try-controls"))
    assert canvas["x"] + canvas["width"] <= controls["x"]


def test_it_works_by_keyboard_and_refuses_what_is_no_picture(page, address, tmp_path):
    page.goto(f"{address}/try/")
    ready(page)
    page.locator("#samples button").nth(3).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("document.getElementById('canvas').height == 254")
    ready(page)
    before = page.locator("#canvas").evaluate("canvas => canvas.toDataURL()")
    page.locator("#opacity").focus()
    page.keyboard.press("End")
    assert page.locator("#canvas").evaluate("canvas => canvas.toDataURL()") != before
    page.get_by_role("radio", name="Overlay").focus()
    page.keyboard.press("ArrowLeft")  # to the last
    assert page.get_by_role("radio", name="Cut-out").is_checked()
    alpha = picture_of(page.locator("#canvas").evaluate("canvas => canvas.toDataURL()"))[..., 3]
    assert {0, 255} < set(alpha.ravel())
    with page.expect_download() as download:
        page.get_by_role("button", name="Save the picture").click()
    assert download.value.suggested_filename == "cutout.png"
    notes = tmp_path / "notes.txt"
    notes.write_text("no picture")
    page.set_input_files("#photo", notes)
    page.wait_for_function("document.getElementById('try').dataset.state == 'failed'")
    assert "cannot be read as an image" in page.locator("#status").inner_text()
