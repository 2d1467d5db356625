"""`petseg predict` on videos."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import petseg
from petseg.data import draw_pet
from petseg_runtime.output_notes import is_whole, read_note

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


def test_frames_of_one_pixel_stop_no_other_video(predict, clip, tmp_path):
    thin = tmp_path / "thin.mkv"
    with av.open(str(thin), "w") as written:
        stream = written.add_stream("ffv1", rate=10)
        stream.height, stream.width, stream.pix_fmt = 1, 8, "bgr0"
        frame = av.VideoFrame.from_ndarray(np.zeros((1, 8, 3), np.uint8), "rgb24")
        written.mux(stream.encode(frame))
        written.mux(stream.encode())
    code, told, err = predict(thin, clip, "--out", tmp_path / "out")
    assert code == 1
    assert "thin.mkv cannot be read as a video: its frames are one pixel wide or high." in err
    assert "clip_overlay.mp4" in told


def matrices():
    """The display matrix of each way to turn and mirror, and what it does to an array."""
    one = 1 << 16
    for transposed in (False, True):
        for across in (1, -1):
            for down in (1, -1):
                corners = (0, down * one, 0, across * one, 0)
                if not transposed:
                    corners = (across * one, 0, 0, 0, down * one)
                yield (*corners, 0, 0, 0, 1 << 30), transposed, across, down


def quarters_of(picture: np.ndarray) -> dict[tuple[int, ...], np.ndarray]:
    halves = np.array_split(picture, 2)
    return {
        (row, column): np.array_split(halves[row], 2, axis=1)[column]
        for row, column in np.ndindex(2, 2)
    }


@pytest.mark.parametrize(("matrix", "transposed", "across", "down"), list(matrices()))
def test_frames_are_upright(predict, tmp_path, matrix, transposed, across, down):
    image = np.zeros((64, 96, 3), np.uint8)
    image[:32, :48] = 255  # in the upper left corner
    clip = tmp_path / "clip.mp4"
    with av.open(str(clip), "w") as written:
        stream = written.add_stream("libx264", rate=10)
        stream.height, stream.width = 64, 96
        stream.set_display_matrix(matrix)
        written.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        written.mux(stream.encode())
    assert predict(clip, "--out", tmp_path / "out")[0] == 0
    with av.open(str(tmp_path / "out" / "clip_overlay.mp4")) as read:
        shown = next(read.decode(video=0)).to_ndarray(format="rgb24")
    expected = image.swapaxes(0, 1) if transposed else image
    expected = expected[::down, ::across]
    assert shown.shape == expected.shape
    # The masks lie over it, but the white corner stays the brightest.
    brightest = [
        max(np.ndindex(2, 2), key=lambda place: quarters[place].mean())
        for quarters in (quarters_of(shown), quarters_of(expected))
    ]
    assert brightest[0] == brightest[1]


def test_sound_is_kept(predict, tmp_path, image):
    clip = tmp_path / "clip.mkv"
    with av.open(str(clip), "w") as written:
        video = written.add_stream("libx264", rate=10)
        video.height, video.width = image.shape[:2]
        sound = written.add_stream("pcm_s16le", rate=16000, layout="mono")  # not for MP4
        for index in range(10):
            frame = av.VideoFrame.from_ndarray(image, "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            written.mux(video.encode(frame))
            tone = np.sin(np.arange(1600) * 2 * np.pi * 440 / 16000)
            heard = av.AudioFrame.from_ndarray(
                (8000 * tone).astype(np.int16)[np.newaxis], format="s16", layout="mono"
            )
            heard.sample_rate, heard.pts = 16000, 1600 * index
            heard.time_base = Fraction(1, 16000)
            written.mux(sound.encode(heard))
        written.mux(video.encode())
    assert predict(clip, "--out", tmp_path / "out")[0] == 0
    with av.open(str(tmp_path / "out" / "clip_overlay.mp4")) as read:
        assert read.streams.audio[0].codec_context.name == "aac"
        samples = np.concatenate([f.to_ndarray().mean(0) for f in read.decode(audio=0)])
    assert len(samples) == pytest.approx(16000, abs=2048)
    spectrum = np.abs(np.fft.rfft(samples))
    assert spectrum.argmax() * 16000 / len(samples) == pytest.approx(440, abs=3)


def test_a_video_whose_times_begin_late_is_whole(predict, tmp_path, image):
    late = write_clip(tmp_path / "late.mkv", image, [100_000, 100_100, 100_200])
    assert predict(late, "--out", tmp_path / "out")[0] == 0
