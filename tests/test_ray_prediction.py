"""Prediction on a Ray cluster of two nodes, whose processes are killed on the way."""

import io
import itertools
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from PIL import Image
from ray.cluster_utils import Cluster

import petseg
from benchmarks.speed.ray_prediction import wait_for_parts, workers
from petseg_cli import main
from petseg_runtime import ray_prediction
from petseg_runtime.output_notes import is_whole
from petseg_runtime.part_folders import only_process
from petseg_runtime.path_text import as_text
from petseg_runtime.prediction_index import PredictionIndex, name_of_part
from petseg_runtime.ray_prediction import predict_photos
from petseg_runtime.ray_worker import PHOTOS as COLUMNS
from petseg_runtime.ray_worker import Job, Worker
from petseg_runtime.work_marks import WorkMarks

# Ray sets options of its own that it has deprecated.
pytestmark = pytest.mark.filterwarnings(r"ignore::DeprecationWarning:ray\..*")

PETSEG = [sys.executable, "-c", "from petseg_cli import main; main()"]
PHOTOS = 60
SETTINGS = {"model": "0123", "scales": [1.0]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("ray")


@pytest.fixture(scope="module")
def cluster(folder):
    """Two nodes with one core each, to which this process is connected."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        paths = [str(Path(__file__).parent / "ray_workers"), os.environ.get("PYTHONPATH")]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        patch.setenv("PETSEG_FULL_DISK", str(folder / "full-disk"))
        nodes = Cluster(True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        nodes.add_node(num_cpus=1)
        ray.init(nodes.address, log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        yield nodes
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture(scope="module")
def photos(folder) -> Path:
    """Photos, two of the same name, one whose name is no UTF-8, and a damaged one."""
    rng = np.random.default_rng(0)
    photos = folder / "photos"
    (photos / "deep").mkdir(parents=True)
    names = [f"{number:02}.jpg" for number in range(PHOTOS - 2)] + ["deep/00.jpg"]
    for name in [*names, os.fsdecode(b"\xff.jpg")]:
        pixels = rng.integers(0, 256, (6, 8, 3), np.uint8)
        Image.fromarray(pixels).resize((160, 120)).save(photos / name)
    (photos / "damaged.jpg").write_bytes(b"no photo")
    return photos


@pytest.fixture(scope="module")
def expected(folder, photos) -> dict[str, bytes]:
    """What `petseg predict` writes without Ray."""
    out = folder / "expected"
    with pytest.raises(SystemExit):
        main(["predict", str(photos), "--out", str(out), "--no-overlay"])
    found = masks(out)
    assert len(found) == PHOTOS
    return found


def masks(out: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in out.glob("*_mask.png")}


def identities(out: Path) -> dict[str, tuple[int, int]]:
    """Tells whether a file was written again."""
    found = {file.name: file.stat() for file in out.glob("*_mask.png")}
    return {name: (status.st_ino, status.st_mtime_ns) for name, status in found.items()}


def check_index(index: Path, photos: Path, expected: dict[str, bytes]) -> None:
    """Each photo once, the masks of `petseg predict`, and nothing else."""
    rows = pq.read_table(index).to_pylist()
    paths = [row["path"] for row in rows]
    wanted = [photos / f"{name[:2]}.jpg" for name in expected if name[:2].isdecimal()]
    wanted += [photos / "deep" / "00.jpg", photos / "damaged.jpg", photos / r"\xff.jpg"]
    assert paths == sorted(set(map(str, wanted)))
    assert masks(index.parent) == expected
    assert sorted(row["mask"] for row in rows if row["mask"]) == sorted(
        name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        for name in expected
    )
    (failed,) = [row for row in rows if row["error"]]
    assert failed["path"] == str(photos / "damaged.jpg")
    assert "is not an image" in failed["error"]
    assert failed["mask"] is failed["height"] is failed["share_pet"] is None
    assert {path.name for path in index.parent.iterdir()} == {*expected, "index.parquet"}
    row = rows[0]
    mask = np.asarray(Image.open(index.parent / row["mask"]))
    assert (row["height"], row["width"]) == mask.shape == (120, 160)
    assert row["share_background"] == pytest.approx((mask == 1).mean(), abs=1e-4)
    assert sum(row[f"share_{n}"] for n in ("pet", "background", "border")) == pytest.approx(
        1, abs=1e-3
    )


def test_a_killed_worker_loses_nothing(cluster, folder, photos, expected):
    out = folder / "worker"
    killed = []

    def kill():
        wait_for_parts(out, 2)
        killed.append(workers(cluster)[0])
        os.kill(killed[0], signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    index = predict_photos(photos, out)
    thread.join()
    assert killed
    assert killed[0] not in workers(cluster)
    check_index(index, photos, expected)


def test_a_killed_driver_loses_and_repeats_nothing(cluster, folder, photos, expected):
    out = folder / "driver"
    words = ["predict", photos, "--out", out, "--ray", cluster.address]
    process = subprocess.Popen([*PETSEG, *map(str, words)], stderr=subprocess.DEVNULL)
    wait_for_parts(out, 2)
    process.kill()
    process.wait()
    parts = [pq.read_table(file) for file in (out / "index.parts").iterdir()]
    recorded = {name for part in parts for name in part["mask"].to_pylist() if name}
    assert 0 < len(recorded) < PHOTOS
    before = identities(out)
    assert recorded <= before.keys()

    done = subprocess.run([*PETSEG, *map(str, words)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 1, done.stderr
    assert done.stdout == f"{out / 'index.parquet'}: {PHOTOS} masks, 1 errors\n"
    assert done.stderr.splitlines()[-1].startswith(
        f"petseg: {photos / 'damaged.jpg'} is not an image"
    )
    check_index(out / "index.parquet", photos, expected)
    after = identities(out)
    assert {name: after[name] for name in before} == before


@pytest.mark.usefixtures("cluster")
def test_a_photo_that_kills_its_worker_is_named(folder, photos, expected, monkeypatch):
    poisoned = folder / "poisoned"
    poisoned.mkdir()
    for number in range(9):
        shutil.copy(photos / f"{number:02}.jpg", poisoned)
    shutil.copy(photos / "09.jpg", poisoned / "poison.jpg")
    out = folder / "poisoned-masks"
    monkeypatch.setattr(ray_prediction, "LEAST_BATCHES", 1)  # the photo has others in its batch
    rows = pq.read_table(predict_photos(poisoned, out)).to_pylist()
    assert len(rows) == 10
    (failed,) = [row for row in rows if row["error"]]
    assert failed["path"] == str(poisoned / "poison.jpg")
    assert "ended 2 times at this photo" in failed["error"]
    found = masks(out)
    assert len(found) == 9
    for name, mask in found.items():
        wanted = Image.open(io.BytesIO(expected[name]))
        np.testing.assert_array_equal(Image.open(io.BytesIO(mask)), wanted)
    assert {path.name for path in out.iterdir()} == {*found, "index.parquet"}


@pytest.mark.usefixtures("cluster")
def test_a_full_disk_is_one_error_and_the_job_can_be_resumed(folder, photos, expected):
    out = folder / "full-disk"
    (folder / "full").touch()
    with pytest.raises(OSError, match="No space left on device") as error:
        predict_photos(photos, out)
    assert str(out) in str(error.value)
    before = identities(out)
    assert 0 < len(before) < PHOTOS
    assert all(is_whole(out / name) for name in before)
    assert {path.name for path in out.iterdir()} - before.keys() <= {"index.parts"}

    (folder / "full").unlink()
    check_index(predict_photos(photos, out), photos, expected)
    after = identities(out)
    assert {name: after[name] for name in before} == before


@pytest.mark.usefixtures("cluster")
def test_photos_in_parquet_files(folder, photos, expected):
    table = pa.table({"path": ["00.jpg", "x/01.jpg", "02.jpg"], "label": [1, 2, 3]})
    data = [(photos / "00.jpg").read_bytes(), (photos / "01.jpg").read_bytes(), b"no photo"]
    pq.write_table(
        table.append_column("bytes", [data]), folder / "encoded.parquet", row_group_size=1
    )
    out = folder / "encoded"
    index = predict_photos(folder / "encoded.parquet", out)
    rows = pq.read_table(index).to_pylist()
    assert [(row["path"], row["mask"]) for row in rows] == [
        ("00.jpg", "00_mask.png"),
        ("02.jpg", None),
        ("x/01.jpg", "01_mask.png"),
    ]
    assert rows[1]["error"].startswith("02.jpg is not an image")
    before = identities(out)

    # The damaged photo is repaired, and there is another one.
    table = pa.table({"path": ["02.jpg", "00.jpg", "y/01.jpg"]})
    data = [(photos / f"{name}.jpg").read_bytes() for name in ("02", "00", "03")]
    pq.write_table(table.append_column("bytes", [data]), folder / "more.parquet")
    rows = pq.read_table(predict_photos([folder / "more.parquet"], out)).to_pylist()
    assert [(row["path"], row["mask"], row["error"]) for row in rows] == [
        ("00.jpg", "00_mask.png", None),
        ("02.jpg", "02_mask.png", None),
        ("x/01.jpg", "01_mask.png", None),
        ("y/01.jpg", "01-2_mask.png", None),
    ]
    assert {name: identities(out)[name] for name in before} == before
    for name, like in (("00", "00"), ("01", "01"), ("02", "02"), ("01-2", "03")):
        wanted = Image.open(io.BytesIO(expected[f"{like}_mask.png"]))
        np.testing.assert_array_equal(Image.open(out / f"{name}_mask.png"), wanted)


@pytest.mark.usefixtures("cluster")
def test_a_folder_of_arrays_is_predicted_by_a_model_of_their_channels(tmp_path):
    model = petseg.fcn32(
        2, backbone="mobilenetv3small", weights=None, image_shape=(None, None, 4), decoder_filters=8
    )
    path = petseg.export(model, tmp_path / "model.onnx")
    bands = np.random.default_rng(0).integers(0, 256, (40, 64, 4), "uint8")
    (tmp_path / "fields").mkdir()
    np.save(tmp_path / "fields" / "north.npy", bands)
    index = predict_photos(tmp_path / "fields", tmp_path / "out", path)
    assert pq.read_table(index)["error"].to_pylist() == [None]
    with Image.open(tmp_path / "out" / "north_mask.png") as mask:
        np.testing.assert_array_equal(np.asarray(mask), petseg.predict(model, bands))


@pytest.mark.usefixtures("cluster")
def test_parquet_files_of_paths_are_like_the_photos(folder, photos, expected):
    paths = [str(photos / "00.jpg"), str(photos / "01.jpg"), str(photos / "missing.jpg")]
    pq.write_table(pa.table({"path": [*paths, paths[0]]}), folder / "paths.parquet")
    out = folder / "paths"
    shutil.copytree(folder / "expected", out)
    (out / "01_mask.png").write_bytes(expected["01_mask.png"][:-20])  # cut off
    before = identities(out)
    rows = pq.read_table(predict_photos(folder / "paths.parquet", out)).to_pylist()
    assert [row["path"] for row in rows] == paths
    assert "No such file" in rows[2]["error"]
    assert masks(out) == expected
    after = identities(out)
    assert {name for name in after if after[name] != before[name]} == {"01_mask.png"}


@pytest.mark.usefixtures("cluster")
def test_foreign_files_are_kept_and_errors_have_names_that_are_no_utf_8(folder, photos):
    out = folder / "foreign"
    out.mkdir()
    asked = [
        photos / "00.jpg",
        photos / os.fsdecode(b"\xff.jpg"),
        folder / os.fsdecode(b"\xfe.jpg"),
    ]
    asked[2].write_bytes(b"no photo")
    Image.new("L", (3, 3)).save(out / "00_mask.png")
    shutil.copy(out / "00_mask.png", out / os.fsdecode(b"\xff_mask.png"))
    own = masks(out)
    table = pq.read_table(predict_photos(asked, out))
    rows = dict(zip(table["path"].to_pylist(), table["error"].to_pylist(), strict=True))
    assert f"{out}/00_mask.png is in the way: petseg did not write it" in rows.pop(str(asked[0]))
    assert rf"{out}/\xff_mask.png is in the way" in rows.pop(rf"{photos}/\xff.jpg")
    assert rf"{folder}/\xfe.jpg is not an image" in rows.pop(rf"{folder}/\xfe.jpg")
    assert not rows
    assert masks(out) == own


@pytest.mark.usefixtures("cluster")
def test_masks_are_made_again_and_old_errors_are_forgotten(folder, photos):
    out = folder / "again"
    asked = [photos / "00.jpg", photos / "01.jpg", photos / "damaged.jpg"]
    rows = pq.read_table(predict_photos(asked, out)).to_pylist()
    assert [row["mask"] for row in rows] == ["00_mask.png", "01_mask.png", None]
    before = identities(out)
    own = (out / "00_mask.png").read_bytes()
    (out / "00_mask.png").unlink()
    assert pq.read_table(predict_photos(asked[:1], out)).to_pylist() == rows[:2]
    assert (out / "00_mask.png").read_bytes() == own
    assert identities(out)["01_mask.png"] == before["01_mask.png"]


def test_two_jobs_in_one_folder_are_refused(cluster, photos, tmp_path):
    (tmp_path / "index.parts").mkdir()
    with only_process(tmp_path / "index.parts"):
        words = ["predict", photos, "--out", tmp_path, "--ray", cluster.address]
        done = subprocess.run([*PETSEG, *map(str, words)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "is in use by another process of petseg" in done.stderr


# --- What needs no cluster ---


def row(path, mask=None, error=None):
    return {"path": path, "mask": mask, "height": 2, "width": 3, "share_a": 0.5, "error": error}


def index_in(folder, *parts):
    """An index with parts."""
    index = PredictionIndex(folder, ("a",), SETTINGS)
    index.parts.mkdir(exist_ok=True)
    for rows in parts:
        file = index.part([row["path"] for row in rows])
        pq.write_table(pa.Table.from_pylist(rows, schema=index.schema), file)
    return index


def test_the_index_has_one_row_for_each_photo(tmp_path):
    for name in "ab":
        (tmp_path / f"{name}.png").touch()
    photos = {"a", "b", "c", "d"}
    index = index_in(
        tmp_path, [row("b", "b.png"), row("a", error="damaged")], [row("c", error="x")]
    )
    index.merge(photos)
    assert not index.parts.exists()
    index = index_in(tmp_path, [row("a", "a.png"), row("b", "b.png")], [row("c", error="y")])
    rows = pq.read_table(index.merge(photos)).to_pylist()
    assert rows == [row("a", "a.png"), row("b", "b.png"), row("c", error="y")]


def test_the_index_has_no_errors_of_other_photos_and_no_masks_that_are_gone(tmp_path):
    for name in ("a.png", "b.png", "c.png"):
        (tmp_path / name).touch()
    rows = [row("a", "a.png"), row("b", "b.png"), row("c", "c.png"), row("d", error="damaged")]
    assert pq.read_table(index_in(tmp_path, rows).merge({"d"})).to_pylist() == rows
    (tmp_path / "b.png").unlink()
    (tmp_path / "c.png").unlink()
    index = index_in(tmp_path, [row("b", error="removed")])
    assert pq.read_table(index.merge({"a", "b"})).to_pylist() == [
        row("a", "a.png"),
        row("b", error="removed"),
    ]


def test_a_part_of_the_same_photos_has_the_same_name(tmp_path):
    index = PredictionIndex(tmp_path, ("a",), SETTINGS)
    assert index.part(["a", "b"]) == index.part(["a", "b"]) != index.part(["ab"])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (b"\xc3\xa9 a\\b\\n.jpg", "\u00e9 a\\b\\n.jpg"),
        (b"\xe9.jpg", r"\xe9.jpg"),
        (rb"\xe9.jpg", r"\\xe9.jpg"),
        (rb"\\xe9.jpg", r"\\\\xe9.jpg"),
        (b"\\\xe9.jpg", r"\\\xe9.jpg"),
        (b"\\a\xe9.jpg", r"\\a\xe9.jpg"),
    ],
)
def test_different_names_are_different_texts(name, text):
    assert as_text(os.fsdecode(name)) == text


def test_no_two_names_have_the_same_text():
    signs = (b"\\", b"x", b"e9", b"\xe9", b"\xc3")
    names = {
        b"".join(some) for length in range(7) for some in itertools.product(signs, repeat=length)
    }
    assert len({as_text(os.fsdecode(name)) for name in names}) == len(names)


def test_other_settings_are_refused(photos, tmp_path):
    index_in(tmp_path, [row("a", "a.png")])
    with pytest.raises(ValueError, match=r"was made with other settings \(model, .*scales"):
        predict_photos(photos, tmp_path)
    assert pq.read_table(next((tmp_path / "index.parts").iterdir())).num_rows == 1


def test_a_damaged_part_is_named(photos, tmp_path):
    (tmp_path / "index.parts").mkdir()
    (tmp_path / "index.parts" / "1.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"1\.parquet is no index of petseg, or is damaged"):
        predict_photos(photos, tmp_path)


def test_a_model_that_kills_workers_stops_the_job(tmp_path):
    paths = ["a.jpg", "b.jpg"]
    batch = pa.Table.from_pylist([{"path": path} for path in paths], schema=COLUMNS)
    marks = WorkMarks(tmp_path, name_of_part(paths))
    job = Job(tmp_path, "unet", "", None, False, None, "auto", parts=tmp_path)
    with ExitStack() as left:
        for work in ("batch", "model"):
            for _ in range(2):
                left.enter_context(marks.of(work))
        (report,) = Worker(job)(batch).to_pylist()
    with pytest.raises(MemoryError, match="ended 2 times while it opened the model"):
        raise pickle.loads(report["failure"])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"file": ["a"]}, "must have a column `path`"),
        ({"path": ["a", None]}, "must name each photo"),
        ({"path": ["a//b", "a/b"], "bytes": [b"", b""]}, "another name for each photo"),
    ],
)
def test_parquet_files_without_the_columns_are_refused(columns, message, tmp_path):
    pq.write_table(pa.table(columns), tmp_path / "photos.parquet")
    with pytest.raises(ValueError, match=message):
        predict_photos(tmp_path / "photos.parquet", tmp_path / "out")


def test_arguments_are_checked_before_the_work(photos, tmp_path):
    (tmp_path / "photos.parquet").touch()
    with pytest.raises(ValueError, match="must hold Parquet files alone, or none"):
        predict_photos([photos, tmp_path / "photos.parquet"], tmp_path / "out")
    with pytest.raises(ValueError, match=r"`model` must be the name .* or an ONNX file"):
        predict_photos(photos, tmp_path / "out", "model.keras")
    with pytest.raises(ValueError, match="that of a pretrained model"):
        predict_photos(photos, tmp_path / "out", "unets")
    with pytest.raises(ValueError, match="`tile` must"):
        predict_photos(photos, tmp_path / "out", tile=3)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--overlay --json x.json", "Leave out --overlay, --json."),
        ("--cutout --crop", "Leave out --cutout, --crop."),
        ("clip.mp4", "It is for photos. Received: clip.mp4."),
    ],
)
def test_options_that_ray_does_not_have_are_refused(
    cli, photos, tmp_path, monkeypatch, options, message
):
    monkeypatch.chdir(tmp_path)
    Path("clip.mp4").touch()
    code, _, err = cli("predict", photos, *options.split(), "--ray", "local")
    assert code == 2
    assert message in " ".join(err.replace("│", "").split())
    assert not Path("predictions").exists()


@pytest.mark.parametrize(
    "address", ["foo", "127.0.0.1:x", ":6379", "127.0.0.1:0", "ray://127.0.0.1:10001"]
)
def test_addresses_that_are_none_are_refused(cli, photos, tmp_path, address):
    code, _, err = cli("predict", photos, "--out", tmp_path / "out", "--ray", address)
    assert code == 2
    text = " ".join(err.replace("│", "").split())
    assert "Invalid value for --ray: It must be local, auto or HOST:PORT" in text
    assert f"Received: {address}." in text
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "[::1]:1", "a..b:1"])
def test_a_cluster_that_is_not_there_is_one_error(cli, photos, tmp_path, address):
    code, _, err = cli("predict", photos, "--out", tmp_path / "out", "--ray", address)
    assert code == 1
    assert err.startswith(
        f"petseg: error: --ray must be the address of a Ray cluster. Received: {address}, which "
        "failed: "
    )
    assert err.endswith(" or use --ray local.\n")
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_without_ray_the_error_names_the_extra(photos, tmp_path):
    (tmp_path / "ray.py").write_text("raise ImportError")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    words = [*PETSEG, "predict", str(photos), "--out", str(tmp_path / "out"), "--ray", "local"]
    done = subprocess.run(words, capture_output=True, text=True, env=environment)
    assert done.returncode == 1
    assert done.stderr.endswith('Install it with `pip install "petseg[ray]"`.\n')
