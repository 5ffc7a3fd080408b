"""boxbeam on a real Flink cluster: what one machine makes, made by the cluster's workers."""

import pathlib
from collections.abc import Set

import pytest

from beam_jobs import infer
from pipelines import data_files, finalize

from .chain import FRAMES, IMAGES, LONG_FRAMES, ODD_NAMES, LongVideo, Scene, contents, run_chain
from .commands import boxbeam, commits
from .flink import KEEP_WORKERS, TASK_MANAGERS, FlinkCluster
from .s3 import S3Server

pytestmark = pytest.mark.cluster

JOBS = {"convert": "records", "infer": "found", "render": "pictures"}


@pytest.fixture(scope="module")
def there(flink: FlinkCluster, scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The chain's outputs as the cluster makes them; what the launcher itself commits is noted in logs/witness/."""
    folder = tmp_path_factory.mktemp("there")
    run_chain(scene, str(folder / "out"), [*flink.options, KEEP_WORKERS], logs=folder / "logs")
    return folder / "out"


# The first two say what the others rest on; and what is started here has the time of three tests, not of one.


def test_one_machine_finds_the_ships(here: pathlib.Path) -> None:
    assert contents(here / "scores")["metrics.json"]["metrics"]["PascalBoxes_Precision/mAP@0.5IOU"] > 0.5


def test_the_cluster_has_its_task_managers(flink: FlinkCluster) -> None:
    assert [process.poll() for process in flink.task_managers] == [None] * TASK_MANAGERS


@pytest.mark.parametrize(
    ("output", "rows"),
    [("records", IMAGES), ("found", IMAGES + FRAMES + len(ODD_NAMES)), ("pictures", IMAGES + 1 + len(ODD_NAMES))],
)
def test_the_cluster_makes_what_one_machine_makes(
    here: pathlib.Path, there: pathlib.Path, output: str, rows: int
) -> None:
    expected = contents(here / output)
    assert contents(there / output) == expected
    assert len(expected["rows"]) == rows
    assert not (there / output / "_work").exists()


def test_the_cluster_evaluates_as_one_machine_does(
    flink: FlinkCluster, here: pathlib.Path, there: pathlib.Path
) -> None:
    """A worker of its joins the two by name: the launcher reads neither."""
    assert contents(there / "scores") == contents(here / "scores")
    assert not (there / "scores" / "_work").exists()
    work = f"{there / 'scores'}/_work/"
    by_launcher = set().union(*commits(there.parent / "logs" / "witness").values())
    assert not any(path.startswith(work) for path in by_launcher)
    by_workers = {path.rpartition("/")[2] for made in commits(flink.witness).values() for path in made if work in path}
    assert {"plan.json", "truth.parquet", "values.json"} <= by_workers


def test_shards_are_the_same_byte_for_byte(here: pathlib.Path, there: pathlib.Path) -> None:
    shards = {path.name: path.read_bytes() for path in (here / "records").glob("*.tfrecord")}
    assert len(shards) > 12
    assert {path.name: path.read_bytes() for path in (there / "records").glob("*.tfrecord")} == shards


@pytest.mark.parametrize("job", JOBS)
def test_items_are_done_by_the_task_managers_and_never_by_the_launcher(
    flink: FlinkCluster, there: pathlib.Path, job: str
) -> None:
    parts = f"{there / JOBS[job]}/_work/parts/"
    workers = {worker for worker, made in commits(flink.witness).items() if any(p.startswith(parts) for p in made)}
    assert workers <= {process.pid for process in flink.task_managers}
    if job == "convert":  # the others have so few items that one worker may get them all
        assert len(workers) == TASK_MANAGERS
    by_launcher = set().union(*commits(there.parent / "logs" / "witness").values())
    assert not any(path.startswith(parts) for path in by_launcher)
    assert str(there / JOBS[job] / "manifest.json") in by_launcher


def test_every_task_manager_works_on_a_long_video(
    flink: FlinkCluster, s3: S3Server, long_video: LongVideo, tmp_path: pathlib.Path
) -> None:
    """One video, in a bucket, of which each Python worker makes a copy; who does which range does not change."""
    bucket = s3.new_bucket()
    s3.upload(long_video.input, bucket, "input/")
    there = tmp_path / "there"
    remote = ("--input", f"s3://{bucket}/input", "--output", there, *flink.options, *s3.options)
    boxbeam("infer", *long_video.model, *remote, log=tmp_path / "there.log", witness=tmp_path / "launcher")

    found = contents(there)
    assert found == contents(long_video.here)
    assert [row["frame_index"] for row in found["rows"]] == list(range(LONG_FRAMES))
    assert not [log.name for log in flink.logs() if s3.secret_access_key.encode() in log.read_bytes()]
    parts = {worker: _parts(made, there) for worker, made in commits(flink.witness).items()}
    assert sum(map(len, parts.values())) == 4  # of ranges, each once; the video was not done as a whole
    assert {worker for worker, made in parts.items() if made} == {process.pid for process in flink.task_managers}


def test_the_data_files_of_a_large_run_are_written_by_the_task_managers(
    flink: FlinkCluster, scene: Scene, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a limit on, which is lowered here, no row passes through the launcher; the files are the same."""
    monkeypatch.setattr(finalize, "SPREAD_BYTES", 0)
    monkeypatch.setattr(data_files, "MAX_FILE_PIECES", 1)
    arguments = ["--model", scene.model[0], "--label_map", scene.model[1], "--input", f"{scene.data}/JPEGImages"]
    here, there = tmp_path / "here", tmp_path / "there"
    assert infer.main([*arguments, "--output", str(here)]) == 0
    assert infer.main([*arguments, "--output", str(there), *flink.options]) == 0
    files = {path.name: path.read_bytes() for path in here.glob("*.parquet")}
    assert len(files) == IMAGES
    assert {path.name: path.read_bytes() for path in there.glob("*.parquet")} == files
    assert (there / "manifest.json").read_bytes() == (here / "manifest.json").read_bytes()
    written = {
        worker: {p for p in made if p in {str(there / name) for name in files}}
        for worker, made in commits(flink.witness).items()
    }
    assert sum(map(len, written.values())) == IMAGES
    assert {worker for worker, made in written.items() if made} == {process.pid for process in flink.task_managers}


def _parts(paths: Set[str], output: pathlib.Path) -> list[str]:
    return [path for path in paths if path.startswith(f"{output}/_work/parts/")]
