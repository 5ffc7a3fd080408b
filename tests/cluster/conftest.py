"""What the cluster tests share: a Flink cluster and an S3 server, started on first use and stopped at the end.

Without Java, maven or Go the tests that need them are skipped, saying so; with BOXBEAM_REQUIRE_CLUSTER=1 they fail.
"""

import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Generator, Iterator

import pytest

from beam_jobs import infer

from .chain import LongVideo, Scene, draw_scene, many_data_files, run_chain, write_long_video
from .fetch import (
    MissingToolError,
    flink_class_path,
    gcs_client,
    gcs_server_program,
    hdfs_class_path,
    hdfs_client,
    s3_gateway,
    tool,
)
from .flink import FlinkCluster, flink_cluster
from .gcs import GcsServer, gcs_server
from .hdfs import HdfsServer, hdfs_server
from .places import CACHE
from .processes import tail
from .s3 import S3Server, s3_server

_LOG_FOLDERS = pytest.StashKey[dict[str, pathlib.Path]]()


@pytest.fixture(scope="session")
def say(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Shows a line to the person, or the CI, that waits: past pytest's capturing."""
    capture = pytestconfig.pluginmanager.getplugin("capturemanager")

    def show(line: str) -> None:
        with capture.global_and_fixture_disabled() if capture else contextlib.nullcontext():
            print(f"\n{line}", end="", flush=True)

    return show


@contextlib.contextmanager
def skipped_without_tools() -> Iterator[None]:
    """Skip the test when a program is not installed; fail it where that is forbidden."""
    try:
        yield
    except MissingToolError as missing:
        if os.environ.get("BOXBEAM_REQUIRE_CLUSTER") == "1":
            pytest.fail(f"{missing} (BOXBEAM_REQUIRE_CLUSTER=1 forbids skipping)", pytrace=False)
        pytest.skip(str(missing))


@pytest.fixture(scope="session")
def flink(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]
) -> Iterator[FlinkCluster]:
    """A running Flink cluster; `flink.options` are the pipeline options that run a job on it."""
    with skipped_without_tools():
        java = tool("java", package="openjdk-17-jre-headless", purpose="run Flink")
        class_path = flink_class_path(CACHE, say)
    folder = tmp_path_factory.mktemp("flink")
    pytestconfig.stash.setdefault(_LOG_FOLDERS, {})["flink"] = folder
    with flink_cluster(class_path, java=java, folder=folder) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def s3(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]
) -> Iterator[S3Server]:
    """A running S3 server; `s3.options` are the pipeline options that reach it."""
    with skipped_without_tools():
        program = s3_gateway(CACHE, say)
    folder = tmp_path_factory.mktemp("s3")
    pytestconfig.stash.setdefault(_LOG_FOLDERS, {})["s3"] = folder
    with s3_server(program, folder=folder) as server:
        yield server


@pytest.fixture(scope="session")
def gcs(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]
) -> Iterator[GcsServer]:
    """A running server of gs://; clients find it by `ENDPOINT` in their environment."""
    with skipped_without_tools():
        program, client = gcs_server_program(CACHE, say), gcs_client(CACHE, say)
    sys.path.append(str(client))
    folder = tmp_path_factory.mktemp("gcs")
    pytestconfig.stash.setdefault(_LOG_FOLDERS, {})["gcs"] = folder
    with gcs_server(program, folder=folder) as server:
        yield server


@pytest.fixture(scope="session")
def hdfs(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory, say: Callable[[str], None]
) -> Iterator[HdfsServer]:
    """A running HDFS; `hdfs.options` are the pipeline options that reach it."""
    with skipped_without_tools():
        java = tool("java", package="openjdk-17-jre-headless", purpose="run HDFS")
        class_path, client = hdfs_class_path(CACHE, say), hdfs_client(CACHE, say)
    sys.path.append(str(client))
    folder = tmp_path_factory.mktemp("hdfs")
    pytestconfig.stash.setdefault(_LOG_FOLDERS, {})["hdfs"] = folder
    with hdfs_server(class_path, java=java, folder=folder) as server:
        yield server


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Harbours."""
    return draw_scene(tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="session")
def here(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """The chain's outputs as one machine makes them."""
    folder = tmp_path_factory.mktemp("here")
    run_chain(scene, str(folder / "out"), [], logs=folder / "logs")
    return folder / "out"


@pytest.fixture(scope="session")
def long_video(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> LongVideo:
    """A long video, and what one machine finds in it."""
    folder = tmp_path_factory.mktemp("long")
    (folder / "input").mkdir()
    write_long_video(folder / "input" / "long.mkv", scene)
    model = ("--model", scene.model[0], "--label_map", scene.model[1])
    video = LongVideo(folder / "input", folder / "here", model)
    with many_data_files():
        assert infer.main([*model, "--input", str(video.input), "--output", str(video.here)]) == 0
    return video


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put the ends of the logs of the servers that a failed test used under its report."""
    report = yield
    if report.failed:
        used = set(getattr(item, "fixturenames", ()))
        for name, folder in item.config.stash.get(_LOG_FOLDERS, {}).items():
            if name in used:
                report.sections += [(log.name, tail(log)) for log in sorted(folder.glob("*.log"))]
    return report
