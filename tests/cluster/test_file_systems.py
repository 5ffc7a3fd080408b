"""boxbeam from and to gs:// and hdfs://, on servers that speak their protocols. S3 has tests of its own, at length."""

import pathlib
from collections.abc import Callable, Sequence

import pytest

from . import commands
from .chain import OUTPUTS, Scene, contents, run_chain
from .fetch import gcs_client, hdfs_client
from .gcs import ENDPOINT, GcsServer
from .hdfs import HdfsServer
from .places import CACHE

pytestmark = pytest.mark.cluster


@pytest.mark.parametrize(("scheme", "jobs"), [("gs", ("convert", "infer", "evaluate")), ("hdfs", ("infer",))])
def test_a_file_system_holds_what_one_machine_makes(
    scheme: str,
    jobs: Sequence[str],
    request: pytest.FixtureRequest,
    scene: Scene,
    here: pathlib.Path,
    tmp_path: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    say: Callable[[str], None],
) -> None:
    server: GcsServer | HdfsServer = request.getfixturevalue("gcs" if scheme == "gs" else "hdfs")
    if isinstance(server, GcsServer):
        monkeypatch.setenv(ENDPOINT, server.endpoint_url)
    client = gcs_client(CACHE, say) if scheme == "gs" else hdfs_client(CACHE, say)
    monkeypatch.setattr(commands, "PYTHON_PATH", f"{commands.PYTHON_PATH}:{client}")
    bucket = server.new_bucket()
    server.upload(pathlib.Path(scene.folder), bucket, "scene/")
    place = f"{scheme}://{bucket}"
    run_chain(Scene(f"{place}/scene"), f"{place}/out", server.options, logs=tmp_path / "logs", jobs=jobs)
    server.download(bucket, "out/", tmp_path / "out")
    for job in jobs:
        assert contents(tmp_path / "out" / OUTPUTS[job]) == contents(here / OUTPUTS[job])
    made = server.objects(bucket, "out/")
    assert "out/found/manifest.json" in made
    assert not [name for name in made if "_work" in name or "tmp" in name or ".boxbeam" in name or name.endswith("/")]
