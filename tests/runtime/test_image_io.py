import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from memory import run_python
from PIL import Image

from petseg_runtime.image_io import checked_pixels, find_images, is_image_name, read_image


def save(image, path, **options):
    image.save(path, **options)
    return path


def test_the_exif_orientation_turns_the_image_upright(tmp_path):
    # Left half black, right half white; orientation 6 says: turn a quarter clockwise.
    pixels = np.zeros((8, 16), np.uint8)
    pixels[:, 8:] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(Image.fromarray(pixels), tmp_path / "photo.png", exif=exif)

    image = read_image(path)

    assert image.shape == (16, 8, 3)
    assert (image[:8] == 0).all()
    assert (image[8:] == 255).all()


def test_grey_becomes_rgb(tmp_path):
    path = save(Image.new("L", (3, 2), 70), tmp_path / "grey.png")
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.shape == (2, 3, 3)
    assert (image == 70).all()


def test_black_and_white_becomes_rgb(tmp_path):
    path = save(Image.new("1", (3, 2), 1), tmp_path / "bits.png")
    assert (read_image(path) == 255).all()


def test_a_palette_becomes_its_colours(tmp_path):
    image = Image.new("P", (3, 2), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    path = save(image, tmp_path / "palette.png")
    assert (read_image(path) == (10, 20, 30)).all()


def test_transparent_pixels_show_white(tmp_path):
    pixels = np.zeros((1, 3, 4), np.uint8)
    pixels[0, :, 3] = (0, 51, 255)  # transparent, a fifth opaque, opaque: all black
    path = save(Image.fromarray(pixels), tmp_path / "alpha.png")
    assert read_image(path)[0, :, 0].tolist() == [255, 204, 0]


def test_a_palette_with_a_transparent_entry_shows_white(tmp_path):
    image = Image.new("P", (3, 2), 0)
    image.putpalette([10, 20, 30])
    path = save(image, tmp_path / "palette.png", transparency=bytes([0]))
    assert (read_image(path) == 255).all()


def test_16_bits_are_scaled_to_8(tmp_path):
    pixels = np.array([[0, 257, 32896, 65535]], np.uint16)
    path = save(Image.fromarray(pixels), tmp_path / "deep.png")
    assert read_image(path)[0, :, 1].tolist() == [0, 1, 128, 255]


def test_cmyk_becomes_rgb(tmp_path):
    path = save(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), tmp_path / "print.jpg", quality=95)
    red, green, blue = read_image(path)[4, 4]
    assert red > 200
    assert max(green, blue) < 60


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    path = save(frames[0], tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert (read_image(path) == (255, 0, 0)).all()


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_image_is_named(tmp_path, content):
    path = tmp_path / "cat.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"cat\.jpg is not an image"):
        read_image(path)


def test_a_truncated_image_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    path = save(Image.fromarray(noise), tmp_path / "cat.jpg")
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(ValueError, match=r"cat\.jpg cannot be read as an image"):
        read_image(path)


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 2), np.float32), np.full((2, 2), 70_000, np.int32)]
)
def test_values_of_no_known_range_are_refused(tmp_path, pixels):
    path = save(Image.fromarray(pixels), tmp_path / "depth.tif")
    with pytest.raises(ValueError, match=r"depth\.tif .* save it with 8 bits"):
        read_image(path)


@pytest.mark.parametrize("limit", [60, 40])  # Pillow warns of 100 pixels, then refuses them.
def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch, limit):
    path = save(Image.new("RGB", (10, 10)), tmp_path / "bomb.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ValueError, match=r"bomb\.png has too many pixels"):
        read_image(path)


READ_DAMAGED = """
import io, struct, sys, zlib
from pathlib import Path
import numpy as np
from memory import peak_memory
from PIL import Image
from petseg_runtime.image_io import read_image

rng = np.random.default_rng(0)
photo = Image.fromarray(rng.integers(0, 256, (48, 64, 3), np.uint8))
whole = {}
for suffix, kind in {"jpg": "JPEG", "png": "PNG", "gif": "GIF", "bmp": "BMP", "tif": "TIFF",
                     "webp": "WEBP"}.items():
    file = io.BytesIO()
    photo.save(file, kind)
    whole[suffix] = file.getvalue()


def truncated(data):
    return data[: rng.integers(len(data))]


def flipped(data):
    data = bytearray(data)
    for _ in range(rng.integers(1, 20)):
        data[rng.integers(len(data))] ^= 1 << rng.integers(8)
    return bytes(data)


def other_header(data):
    data = bytearray(data)
    for _ in range(rng.integers(1, 6)):
        data[rng.integers(min(len(data), 120))] = rng.integers(256)
    return bytes(data)


def noise(data):
    return rng.bytes(rng.integers(500))


def huge(data):
    header = b"IHDR" + struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    png = bytearray(whole["png"])
    png[12:33] = header + struct.pack(">I", zlib.crc32(header))
    return bytes(png)


path, named, read = Path(sys.argv[1]), 0, 0
for number in range(1000):
    suffix = list(whole)[number % 6]
    damage = (truncated, flipped, other_header, noise, huge)[number % 5]
    file = path / f"{number}.{suffix}"
    file.write_bytes(damage(whole[suffix]))
    try:
        image = read_image(file)
    except ValueError as error:
        assert file.name in str(error), error
        named += 1
    else:
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
        assert damage in (flipped, other_header, truncated), (damage, suffix)
        read += 1
    file.unlink()
print(named, read, peak_memory() // 2**20 if sys.platform == "linux" else 0)
"""


def test_a_thousand_damaged_files_end_in_a_named_error_or_an_image(tmp_path):
    named, read, mib = map(int, run_python("-c", READ_DAMAGED, tmp_path).stdout.split())
    assert named + read == 1000
    assert named > 600  # some flipped bits leave another image
    assert mib < 1200  # two copies of the largest image that Pillow opens


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"cat\.jpg"):
        read_image(tmp_path / "cat.jpg")


@pytest.fixture
def folder(tmp_path):
    for name in ("b.JPG", "a.png", "inner/c.webp", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "is_image"),
    [("a.jpg", True), ("a.TIFF", True), (".a.jpg", False), ("a.txt", False), ("jpg", False)],
)
def test_images_are_told_by_their_names(name, is_image):
    assert is_image_name(Path("folder") / name) is is_image


def test_hidden_files_are_left_out(folder):
    (folder / ".hidden.png").touch()
    assert ".hidden.png" not in [path.name for path in find_images(folder)]


def test_images_are_found_in_subfolders_and_sorted(folder):
    names = [path.relative_to(folder).as_posix() for path in find_images(folder)]
    assert names == ["a.png", "b.JPG", "inner/c.webp"]


def test_images_are_found_by_pattern(folder):
    assert [path.name for path in find_images(folder / "*.p*")] == ["a.png"]
    assert [path.name for path in find_images(str(folder / "**" / "*.webp"))] == ["c.webp"]


def test_a_folder_without_images_is_named(folder):
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="empty"):
        find_images(folder / "empty")


def test_pixels_keep_uint8_and_become_float32_otherwise():
    assert checked_pixels(np.zeros((2, 2, 3), np.uint8), "image", (3,)).dtype == np.uint8
    assert checked_pixels(np.zeros((2, 2, 3), np.int64), "image", (3,)).dtype == np.float32


def test_the_rounding_error_of_a_resize_is_clipped():
    assert checked_pixels(np.full((2, 2, 3), 255.00002), "image", (3,)).max() == 255


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 2)), r"\(H, W, 3\) or \(N, H, W, 3\).*\(2, 2\)"),
        (np.zeros((2, 2, 4)), r"\(2, 2, 4\)"),
        (np.zeros((0, 2, 3)), r"\(0, 2, 3\)"),
        (np.zeros((2, 2, 3), bool), "bool"),
        (np.full((2, 2, 3), -1.0), "-1.0"),
        (np.full((2, 2, 3), 256), "256"),
        (np.full((2, 2, 3), np.nan), "nan"),
        (np.full((2, 2, 3), 0.5), "Multiply it by 255"),
    ],
)
def test_what_are_no_pixels_is_refused(images, message):
    with pytest.raises(ValueError, match=f"`photos` .*{message}"):
        checked_pixels(images, "photos", (3, 4))


def test_a_subfolder_that_cannot_be_listed_is_reported(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    (tmp_path / "closed").mkdir(mode=0)
    code = (
        "import sys; from petseg_runtime.image_io import find_images; errors = []\n"
        "print(len(find_images(sys.argv[1], on_error=errors.append)), errors[0].filename)\n"
        "find_images(sys.argv[1])"
    )
    # The superuser may list every folder, unless it gives up that right.
    without_rights = ["setpriv", "--bounding-set=-all"] if os.geteuid() == 0 else []
    ran = subprocess.run(
        [*without_rights, sys.executable, "-c", code, tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout == f"1 {tmp_path / 'closed'}\n"
    assert "PermissionError" in ran.stderr.splitlines()[-1]
