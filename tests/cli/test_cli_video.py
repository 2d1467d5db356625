"""`petseg predict` on videos."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.data import draw_pet
from petseg_cli.output_notes import is_whole, read_note

av = pytest.importorskip("av")


def write_clip(path: Path, shown: np.ndarray, times: list[int], **options: str) -> Path:
    """A video that shows one image, or one each, at some milliseconds, as phones record."""
    images = np.broadcast_to(shown, (len(times), *shown.shape[-3:]))
    with av.open(str(path), "w", options=options) as written:
        stream = written.add_stream("libx264", rate=10)
        stream.height, stream.width = shown.shape[-3:-1]
        stream.codec_context.time_base = Fraction(1, 1000)
        for milliseconds, image in zip(times, images, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), "rgb24")
            frame.pts, frame.time_base = milliseconds, Fraction(1, 1000)
            written.mux(stream.encode(frame))
        written.mux(stream.encode())
    return path


@pytest.fixture
def image() -> np.ndarray:
    return np.ascontiguousarray(draw_pet(1)[0][:96, :96])


@pytest.fixture
def clip(tmp_path, image) -> Path:
    return write_clip(tmp_path / "clip.mp4", image, [0, 33, 66, 100, 400, 500, 600])


def test_a_video_gets_its_masks_laid_over(cli, photos_and_masks, tmp_path):
    image = photos_and_masks[0][3]
    clip = write_clip(tmp_path / "clip.mp4", image, [0, 33, 66, 100, 400, 500, 600])
    code, told, err = cli("predict", clip, "--out", tmp_path / "out")
    assert (code, err) == (0, "")
    assert told == f"{clip} -> clip_overlay.mp4\n"
    with av.open(str(tmp_path / "out" / "clip_overlay.mp4")) as read:
        decoded = list(read.decode(video=0))
    assert [round(1000 * frame.time) for frame in decoded] == [0, 33, 66, 100, 400, 500, 600]
    shown = decoded[0].to_ndarray(format="rgb24")
    mask = petseg.predict(petseg.unet(weights="pets"), image)
    expected = petseg.overlay(image, mask, class_names=petseg.PET_CLASSES, legend=True)
    # Compressed, a frame is still much nearer to the overlay than to what was there before.
    wanted, before = (np.abs(shown - picture.astype(float)).mean() for picture in (expected, image))
    assert wanted < before / 4


def test_a_video_that_is_done_is_skipped(predict, clip, tmp_path):
    out = tmp_path / "out"
    assert predict(clip, "--out", out)[0] == 0
    before = (out / "clip_overlay.mp4").stat().st_mtime_ns
    assert predict(clip, "--out", out)[1] == f"Already in {out}: clip.mp4\n"
    assert (out / "clip_overlay.mp4").stat().st_mtime_ns == before
    assert "Already" not in predict(clip, "--out", out, "--tta")[1]


def test_half_a_result_is_not_taken_as_done(predict, clip, tmp_path):
    out = tmp_path / "out"
    assert predict(clip, "--out", out)[0] == 0
    written = out / "clip_overlay.mp4"
    whole = written.read_bytes()
    assert is_whole(written)
    for length in (len(whole) // 2, len(whole) - 1):
        written.write_bytes(whole[:length])
        assert not is_whole(written)
        assert read_note(written)
        code, told, err = predict(clip, "--out", out)
        assert (code, err) == (0, "")
        assert "Already" not in told
        assert is_whole(written)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_half_a_video_is_refused(predict, tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 255, (40, 96, 96, 3), dtype=np.uint8)
    options = {"movflags": "faststart"} if suffix in (".mp4", ".mov") else {}
    times = list(range(0, 4000, 100))
    clip = write_clip(tmp_path / f"clip{suffix}", noise, times, **options)
    assert predict(clip, "--out", tmp_path / "whole")[0] == 0
    half = clip.read_bytes()[: clip.stat().st_size // 2]
    clip.write_bytes(half)
    code, told, err = predict(clip, "--out", tmp_path / "half")
    assert (code, told) == (1, "")
    assert err.startswith(f"petseg: {clip} cannot be read as a video: ")
    assert err.count("\n") == 1
    assert not list((tmp_path / "half").iterdir())


def test_a_file_of_the_user_is_never_replaced(predict, clip, tmp_path, image):
    out = tmp_path / "out"
    out.mkdir()
    own = write_clip(out / "clip_overlay.mp4", image, [0, 100])
    before = own.read_bytes()
    code, _, err = predict(clip, "--out", out)
    assert code == 1
    assert "petseg did not write it" in err
    assert own.read_bytes() == before


def test_videos_of_the_same_name_keep_their_own_results(predict, clip, tmp_path, image):
    other = tmp_path / "other"
    other.mkdir()
    second = write_clip(other / "clip.mp4", image, [0, 100, 200])
    out = tmp_path / "out"
    assert predict(clip, "--out", out)[0] == 0
    before = (out / "clip_overlay.mp4").read_bytes()
    assert predict(second, "--out", out)[1] == f"{second} -> clip-2_overlay.mp4\n"
    assert (out / "clip_overlay.mp4").read_bytes() == before
    assert predict(second, clip, "--out", out)[1] == (
        f"Already in {out}: clip.mp4\nAlready in {out}: clip.mp4\n"
    )


def test_a_name_that_is_not_utf_8(predict, clip, tmp_path):
    import os

    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.mp4"))
    clip.rename(odd)
    out = tmp_path / "out"
    code, told, err = predict(odd, "--out", out)
    assert (code, err) == (0, "")
    assert r"caf\xe9.mp4 -> caf\xe9_overlay.mp4" in told
    assert predict(odd, "--out", out)[1] == rf"Already in {out}: caf\xe9.mp4" + "\n"


def test_what_is_no_video_stops_no_other(predict, clip, tmp_path, photos):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    sound = tmp_path / "empty.mp4"
    sound.touch()
    out = tmp_path / "out"
    code, told, err = predict(broken, sound, photos / "a.png", clip, "--out", out)
    assert code == 1
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [
        f"{broken} cannot be read as a video",
        f"{sound} cannot be read as a video",
    ]
    assert len(told.splitlines()) == 2
    with Image.open(out / "a_mask.png") as mask:
        mask.load()
    assert {path.name for path in out.iterdir()} == {
        "a_mask.png",
        "a_overlay.png",
        "clip_overlay.mp4",
    }
