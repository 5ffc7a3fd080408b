"""boxbeam from and to an S3 bucket, on a real S3 server."""

import pathlib

import pytest

from .material import LocalRun, infer, rows
from .s3 import S3Server

pytestmark = pytest.mark.cluster


def test_infer_from_a_bucket_to_a_bucket(s3: S3Server, local_run: LocalRun, tmp_path: pathlib.Path) -> None:
    bucket = s3.new_bucket()
    s3.upload(local_run.material.inputs, bucket, "in/")
    command = (f"--input=s3://{bucket}/in", f"--output=s3://{bucket}/out", *s3.options)

    infer(local_run.material, *command, log=tmp_path / "first.log", witness=tmp_path / "first")

    made = s3.objects(bucket, "out/")
    data_files = {key for key in made if key.endswith(".parquet")}
    assert made.keys() - data_files == {"out/manifest.json", "out/run.json"}
    assert s3.unfinished_uploads(bucket) == []
    s3.download(bucket, "out/", tmp_path / "out")
    assert rows(tmp_path / "out") == local_run.rows
    for path in (tmp_path / "out").iterdir():
        assert s3.secret_access_key.encode() not in path.read_bytes(), f"the S3 password was written to {path.name}"

    assert "nothing to do" in infer(
        local_run.material, *command, log=tmp_path / "second.log", witness=tmp_path / "second"
    )
    again = s3.objects(bucket, "out/")
    assert again.keys() == made.keys()
    assert {key: again[key] for key in data_files} == {key: made[key] for key in data_files}
