"""boxbeam from and to gs://, on a server of its API: what S3 is tested with at length, on Google's side."""

import pathlib
from collections.abc import Callable

import pytest

from . import commands
from .chain import OUTPUTS, Scene, contents, run_chain
from .fetch import gcs_client
from .gcs import ENDPOINT, GcsServer
from .places import CACHE

pytestmark = pytest.mark.cluster

JOBS = ("convert", "infer", "evaluate")


def test_a_bucket_of_google_s_holds_what_one_machine_makes(
    gcs: GcsServer,
    scene: Scene,
    here: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    say: Callable[[str], None],
) -> None:
    monkeypatch.setenv(ENDPOINT, gcs.endpoint_url)
    monkeypatch.setattr(commands, "PYTHON_PATH", f"{commands.PYTHON_PATH}:{gcs_client(CACHE, say)}")
    bucket = gcs.new_bucket()
    gcs.upload(pathlib.Path(scene.folder), bucket, "scene/")
    there = Scene(f"gs://{bucket}/scene")
    run_chain(there, f"gs://{bucket}/out", [], logs=tmp_path / "logs", jobs=JOBS)
    gcs.download(bucket, "out/", tmp_path / "out")
    for job in JOBS:
        assert contents(tmp_path / "out" / OUTPUTS[job]) == contents(here / OUTPUTS[job])
    made = gcs.objects(bucket, "out/")
    assert {f"out/{OUTPUTS[job]}/manifest.json" for job in ("convert", "infer")} <= made
    assert not [name for name in made if "_work" in name or "tmp" in name or name.endswith("/")]
