"""Which file system serves a path, and what is said of those that cannot."""

import pickle

import pytest

from od_core.errors import StorageError, UsageError
from od_core.storage import RemoteFiles
from pipelines.remote import file_systems
from pipelines.remote.beam_files import BeamFiles
from pipelines.remote.file_systems import FileSystems
from pipelines.remote.gcs_files import GcsFiles
from pipelines.remote.hdfs_files import HdfsFiles
from pipelines.remote.s3_files import S3Files, without_keys

OPTIONS = ("--s3_endpoint_url=http://127.0.0.1:9", "--s3_access_key_id=a", "--s3_secret_access_key=b")


@pytest.fixture
def all_installed(monkeypatch) -> None:
    monkeypatch.setattr(file_systems, "_is_installed", lambda module: True)


def test_object_stores_are_served_by_boxbeam_and_the_rest_by_beam(all_installed):
    files = FileSystems(OPTIONS)
    assert isinstance(files, RemoteFiles)
    assert isinstance(files._of("s3://b/a"), S3Files)
    assert isinstance(files._of("S3://b/a"), S3Files)
    assert isinstance(files._of("gs://b/a"), GcsFiles)
    assert isinstance(files._of("azfs://b/a"), BeamFiles)
    assert isinstance(files._of("hdfs://b/a"), HdfsFiles)
    assert files._of("hdfs://b/a") is files._of("hdfs://c/d")


def test_what_was_opened_stays_here_when_it_travels(all_installed):
    files = FileSystems(OPTIONS)
    files.check("s3://b/a")
    there = pickle.loads(pickle.dumps(files))
    assert isinstance(there._of("s3://b/a"), S3Files)
    assert there._of("s3://b/a") is not files._of("s3://b/a")


@pytest.mark.parametrize(
    ("path", "install"),
    [
        ("s3://b/a", "pip install boto3"),
        ("gs://b/a", "pip install google-cloud-storage"),
        ("hdfs://a", "pip install hdfs"),
        ("azfs://a/b/c", "pip install 'apache-beam[azure]'"),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_brings_it(monkeypatch, path, install):
    monkeypatch.setattr(file_systems, "_is_installed", lambda module: False)
    scheme = path.partition("://")[0]
    for use in (FileSystems().check, FileSystems().stat, lambda path: FileSystems().remove([path])):
        with pytest.raises(UsageError) as raised:
            use(path)
        assert str(raised.value) == f"{path}: {scheme}:// needs a package that is not installed: {install}"


def test_a_module_in_a_package_that_is_not_there_is_not_installed():
    assert not file_systems._is_installed("no_such_package.inner.module")
    assert file_systems._is_installed("apache_beam.io.filesystems")


def test_hdfs_without_its_options_is_refused(all_installed):
    with pytest.raises(UsageError, match="hdfs:// needs --hdfs_host, --hdfs_port"):
        FileSystems(["--hdfs_host=a"]).stat("hdfs://a/b")


def test_other_kinds_are_refused_unless_beam_plugins_may_bring_them():
    with pytest.raises(UsageError, match="ftp://a/b: no file system of this kind is known: there are local paths"):
        FileSystems().check("ftp://a/b")
    FileSystems(["--beam_plugins=my.module"]).check("ftp://a/b")


@pytest.mark.parametrize("options", [(), OPTIONS[:1], ("--s3_region_name", "eu-west-1")], ids=len)
def test_s3_without_credentials_is_refused_at_once(monkeypatch, tmp_path, options):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(UsageError, match="no credentials for S3 were found"):
        FileSystems(options).stat("s3://bucket/a")


@pytest.mark.parametrize("options", [(), ("--hdfs_host=a",), ("--hdfs_host", "a", "--hdfs_port", "1")], ids=len)
def test_hdfs_without_a_server_is_refused_at_once(all_installed, options):
    with pytest.raises(UsageError, match="hdfs:// needs --hdfs_host, --hdfs_port"):
        FileSystems(options).stat("hdfs://a/b")


class _AnsweringClient:
    """Of the package hdfs what a look at a path takes: the server answers with this word for what went wrong."""

    class AnswerError(Exception):
        def __init__(self, exception: str | None):
            super().__init__(exception or "500")
            self.exception = exception

    def __init__(self, exception: str | None):
        self._exception = exception

    def status(self, place: str, strict: bool = True) -> None:
        if strict:
            raise self.AnswerError(self._exception)


@pytest.mark.parametrize("exception", ["AccessControlException", "SafeModeException", "IOException", None])
def test_hdfs_that_refuses_to_answer_does_not_say_that_nothing_is_there(exception):
    files = HdfsFiles(["--hdfs_host=a", "--hdfs_port=1", "--hdfs_user=c"])
    files._opened = _AnsweringClient(exception)
    for look in (files.stat, lambda path: list(files.walk(path)), files.remove_leftovers):
        with pytest.raises(StorageError, match="hdfs://b/a: cannot be"):
            look("hdfs://b/a")


def test_hdfs_says_that_nothing_is_there():
    files = HdfsFiles(["--hdfs_host=a", "--hdfs_port=1", "--hdfs_user=c"])
    files._opened = _AnsweringClient("FileNotFoundException")
    assert files.stat("hdfs://b/a") is None
    assert list(files.walk("hdfs://b/a")) == []
    files.remove_leftovers("hdfs://b/a")


def test_keys_are_left_out_of_what_beam_gets():
    keys = ["--s3_access_key_id", "a", "--s3_secret_access_key=b", "--s3_session_token", "c"]
    assert without_keys(["--s3_region_name", "x", *keys, "--parallelism=2", "--flag"]) == [
        *("--s3_region_name", "x"),
        "--parallelism=2",
        "--flag",
    ]
    assert without_keys(keys) == without_keys([]) == []
