"""boxbeam on a real Flink cluster: what one machine makes, made by the cluster's workers."""

import pathlib

import pytest

from beam_jobs import infer
from pipelines import finalize

from .chain import (
    FRAMES,
    IMAGES,
    LONG_FRAMES,
    ODD_NAMES,
    LongVideo,
    Scene,
    contents,
    data_files_of,
    many_data_files,
    run_chain,
)
from .commands import commits
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


def test_every_task_manager_works_on_a_long_video_and_writes_data_files(
    flink: FlinkCluster, s3: S3Server, long_video: LongVideo, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One video, in a bucket, of which each Python worker makes a copy; who does which range does not change.

    From a limit on, which is lowered here, data files are the workers' work, too: they are those of one machine.
    """
    bucket, there = s3.new_bucket(), tmp_path / "there"
    s3.upload(long_video.input, bucket, "input/")
    monkeypatch.setattr(finalize, "SPREAD_BYTES", 0)
    remote = ("--input", f"s3://{bucket}/input", "--output", str(there), *flink.options, *s3.options)
    with many_data_files():
        assert infer.main([*long_video.model, *remote]) == 0

    assert len(data_files_of(there)) == 4
    assert data_files_of(there) == data_files_of(long_video.here)
    found = contents(there)
    assert found == contents(long_video.here)
    assert [row["frame_index"] for row in found["rows"]] == list(range(LONG_FRAMES))
    assert not [log.name for log in flink.logs() if s3.secret_access_key.encode() in log.read_bytes()]
    every_worker = {process.pid for process in flink.task_managers}
    for committed in (f"{there}/_work/parts/", f"{there}/detections-"):
        made = {
            worker: [p for p in paths if p.startswith(committed)] for worker, paths in commits(flink.witness).items()
        }
        assert sum(map(len, made.values())) == 4  # each once; the video was not done as a whole
        assert {worker for worker, paths in made.items() if paths} == every_worker
