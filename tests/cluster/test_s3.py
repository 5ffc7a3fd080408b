"""boxbeam from and to an S3 bucket, on a real S3 server: every path a command takes may lie there."""

import os
import pathlib
import signal

import pytest

from pipelines.remote.s3_files import S3Files

from .chain import FRAMES, IMAGES, ODD_NAMES, OUTPUTS, Scene, contents, job_arguments, run_chain
from .commands import boxbeam, command, environment
from .processes import run_to_end, running, wait_until
from .s3 import S3Server

pytestmark = pytest.mark.cluster


class Bucket:
    """A bucket with the scene in it, and the chain's outputs as a run made them from there to there."""

    def __init__(self, s3: S3Server, scene: Scene, folder: pathlib.Path):
        self.name, self.logs, self.out = s3.new_bucket(), folder / "logs", folder / "out"
        s3.upload(pathlib.Path(scene.folder), self.name, "scene/")
        # What a run that was killed in the middle of an upload leaves, of which a bucket shows nothing.
        with s3.client() as client:
            for key in ("out/found/_work/parts/half.parquet", "elsewhere/half.parquet"):
                client.create_multipart_upload(Bucket=self.name, Key=key)
        self.scene, self.place = Scene(f"s3://{self.name}/scene"), f"s3://{self.name}/out"
        run_chain(self.scene, self.place, s3.options, logs=self.logs)
        s3.download(self.name, "out/", self.out)


@pytest.fixture(scope="module")
def bucket(s3: S3Server, scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Bucket:
    """The chain, run once."""
    return Bucket(s3, scene, tmp_path_factory.mktemp("bucket"))


@pytest.mark.parametrize("output", OUTPUTS.values())
def test_a_bucket_holds_what_one_machine_makes(here: pathlib.Path, bucket: Bucket, output: str) -> None:
    expected = contents(here / output)
    assert contents(bucket.out / output) == expected
    rows = {"records": IMAGES, "found": IMAGES + FRAMES + len(ODD_NAMES), "pictures": IMAGES + len(ODD_NAMES) + 1}
    assert len(expected["rows"]) == rows.get(output, len(expected["rows"]))


def test_nothing_is_left_in_a_bucket_that_does_not_belong_there(s3: S3Server, bucket: Bucket) -> None:
    made = {key.removeprefix("out/") for key in s3.objects(bucket.name, "out/")}
    assert not [key for key in made if "_work" in key or "tmp" in key or key.endswith("/")]
    assert {key for key in made if key.startswith("found/") and not key.endswith(".parquet")} == {
        "found/manifest.json",
        "found/run.json",
    }
    assert s3.unfinished_uploads(bucket.name) == ["elsewhere/half.parquet"]


def test_the_password_is_in_no_file(s3: S3Server, bucket: Bucket) -> None:
    files = [path for folder in (bucket.out, bucket.logs) for path in folder.rglob("*") if path.is_file()]
    assert len(files) > 40
    assert [path.name for path in files if s3.secret_access_key.encode() in path.read_bytes()] == []


def test_a_finished_output_in_a_bucket_is_left_alone(s3: S3Server, bucket: Bucket) -> None:
    before = s3.objects(bucket.name, "out/found/")
    model, label_map = bucket.scene.model
    arguments = ("--model", model, "--label_map", label_map, "--input", bucket.scene.data)
    output = ("--output", f"{bucket.place}/found", *s3.options)
    said = boxbeam("infer", *arguments, *output, log=bucket.logs / "again.log", witness=bucket.logs / "witness")
    assert "nothing to do" in said
    assert s3.objects(bucket.name, "out/found/") == before


def test_a_killed_run_into_a_bucket_is_continued(
    s3: S3Server, bucket: Bucket, here: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    arguments = (*job_arguments(bucket.scene, bucket.place, "convert"), *s3.options)
    output, log = f"killed-{bucket.name}", tmp_path / "convert.log"
    convert = command("convert", *arguments, "--output", f"s3://{bucket.name}/{output}")
    with running(convert, log=log, folder=tmp_path, env=environment(tmp_path / "witness")) as process:
        shards = f"{output}/_work/shards/"
        wait_until(lambda: bool(s3.objects(bucket.name, shards)), process, what="convert, to make a shard", log=log)
        os.killpg(process.pid, signal.SIGKILL)
    assert f"{output}/manifest.json" not in s3.objects(bucket.name, output)
    run_to_end(convert, log=log, folder=tmp_path, env=environment(tmp_path / "witness"), timeout=200)
    s3.download(bucket.name, f"{output}/", tmp_path / "out")
    assert contents(tmp_path / "out") == contents(here / "records")
    assert not (tmp_path / "out" / "_work").exists()


@pytest.mark.parametrize(
    ("job", "arguments", "said"),
    [
        ("inspect", "{place}/records", "record dataset, valid"),
        ("inspect", "{place}/found", "detections dataset, valid"),
        ("inspect", "{scene}/model.pb", "a detector boxbeam can run"),
        ("inspect", "{scene}/data/harbour.mp4 --decode", f"decoded: {FRAMES} frames"),
        ("export", "--detections {place}/found --format coco --output {place}/coco.json", "detections in"),
        ("export", "--detections {place}/found --format yolo --output {logs}/yolo", "detections in"),
        ("review", "--detections {place}/found --output {logs}/pages", "open"),
    ],
)
def test_single_passes_read_a_bucket(s3: S3Server, bucket: Bucket, job: str, arguments: str, said: str) -> None:
    words = arguments.format(place=bucket.place, scene=bucket.scene.folder, logs=bucket.logs).split()
    log = bucket.logs / f"{job}.log"
    assert said in boxbeam(job, *words, *s3.options, log=log, witness=bucket.logs / "witness")


# The file system itself


@pytest.fixture
def files(s3: S3Server) -> S3Files:
    """What serves s3:// in a run."""
    return S3Files(s3.options)


def test_what_is_not_there_is_said(s3: S3Server, files: S3Files, tmp_path: pathlib.Path) -> None:
    bucket = s3.new_bucket()
    assert files.stat(f"s3://{bucket}/gone") is None
    assert list(files.walk(f"s3://{bucket}/gone")) == []
    with pytest.raises(FileNotFoundError):
        files.open(f"s3://{bucket}/gone")
    with pytest.raises(Exception, match="there is no bucket 'not-made'"):
        list(files.walk("s3://not-made/in"))
    stranger = S3Files([option for option in s3.options if "secret" not in option] + ["--s3_secret_access_key=wrong"])
    with pytest.raises(PermissionError):
        stranger.open(f"s3://{bucket}/gone")
    with pytest.raises(Exception, match="does not permit it with these credentials"):
        list(stranger.walk(f"s3://{bucket}"))
