"""s3:// behind od_core.storage: a thin layer on boto3, with one client per process.

Apache Beam's own S3 file system makes a client for every call (50 to 130 ms each), and has to be imported with Beam;
item processes do without. The options are Beam's (`--s3_endpoint_url` and so on), so that a command needs them once.
"""

import contextlib
import errno
import io
import pathlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO, NamedTuple, NoReturn, cast

from od_core.errors import BoxbeamError, StorageError, UsageError
from od_core.storage import FileInfo
from pipelines.option_values import option_values
from pipelines.remote.errors import writing
from pipelines.remote.range_reader import Fetched, RangeReader

_KEYS = ("--s3_access_key_id", "--s3_secret_access_key", "--s3_session_token")
_PART_BYTES = 64 << 20  # of an upload in parts: 10,000 of them are the most there may be
_COPIED_AT_ONCE = 4 << 30
_REMOVED_AT_ONCE = 1000
_CONNECTIONS = 32
_TRIES = 3
_GONE = ("404", "NoSuchKey", "NotFound")
_REPLACED = ("412", "PreconditionFailed", "409", "ConditionalRequestConflict")
_UNKNOWN = ("501", "NotImplemented")  # by servers that compare nothing
_FORBIDDEN = ("401", "403", "AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken")


class S3Files:
    """Paths `s3://BUCKET/KEY`; see storage.RemoteFiles for what the methods promise. For all threads of a process.

    Args:
        options: the run's pipeline options, of which those that begin with --s3_ count.
    """

    def __init__(self, options: Sequence[str]):
        self._settings = _settings(options)
        self._opened: Any = None
        self._lock = threading.Lock()

    @property
    def _client(self) -> Any:
        with self._lock:
            if self._opened is None:
                self._opened = _client(self._settings)
            return self._opened

    def stat(self, path: str) -> FileInfo | None:
        """See storage.RemoteFiles."""
        bucket, key = _place(path)
        if not key:
            return None
        try:
            head = self._client.head_object(Bucket=bucket, Key=key)
        except Exception as error:
            if _code(error) in _GONE:
                return None
            _refuse(path, "read", error)
        return FileInfo(path, head["ContentLength"], _milliseconds(head["LastModified"]))

    def walk(self, folder: str) -> Iterator[FileInfo]:
        """See storage.RemoteFiles."""
        bucket, key = _place(folder)
        prefix = key.rstrip("/") + "/" if key.rstrip("/") else ""
        try:
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
                for each in page.get("Contents", []):
                    if not each["Key"].endswith("/"):  # what some tools leave in place of a folder
                        path = f"s3://{bucket}/{each['Key']}"
                        yield FileInfo(path, each["Size"], _milliseconds(each["LastModified"]))
        except Exception as error:
            _refuse(folder, "listed", error)

    def open(self, path: str) -> BinaryIO:
        """See storage.RemoteFiles: read by ranges, a few large ones where it is read from end to end.

        Raises:
            OSError: missing, or not permitted.
        """
        bucket, key = _place(path)
        return cast(BinaryIO, io.BufferedReader(RangeReader(_Ranges(self._client, bucket, key, path), path), 64 << 10))

    def upload(self, local: pathlib.Path, path: str) -> None:
        """See storage.RemoteFiles: an object appears when its upload is complete, its checksum checked."""
        from boto3.s3.transfer import TransferConfig

        bucket, key = _place(path)
        config = TransferConfig(
            multipart_threshold=_PART_BYTES, multipart_chunksize=_PART_BYTES, use_threads=False, max_concurrency=1
        )
        with writing(path):
            self._client.upload_file(str(local), bucket, key, Config=config)

    def move(self, source: str, target: str) -> None:
        """See storage.RemoteFiles: copied by the server, then removed."""
        from boto3.s3.transfer import TransferConfig

        (from_bucket, from_key), (bucket, key) = _place(source), _place(target)
        config = TransferConfig(multipart_threshold=_COPIED_AT_ONCE, multipart_chunksize=_COPIED_AT_ONCE)
        with writing(target):
            self._client.copy({"Bucket": from_bucket, "Key": from_key}, bucket, key, Config=config)
            self._client.delete_object(Bucket=from_bucket, Key=from_key)

    def remove(self, paths: list[str]) -> None:
        """See storage.RemoteFiles."""
        by_bucket: dict[str, list[str]] = {}
        for path in paths:
            bucket, key = _place(path)
            by_bucket.setdefault(bucket, []).append(key)
        for bucket, keys in by_bucket.items():
            for at in range(0, len(keys), _REMOVED_AT_ONCE):
                some = [{"Key": key} for key in keys[at : at + _REMOVED_AT_ONCE]]
                with writing(f"s3://{bucket}/{some[0]['Key']}", "removed"):
                    answer = self._client.delete_objects(Bucket=bucket, Delete={"Objects": some, "Quiet": True})
                    for failed in answer.get("Errors", []):
                        raise OSError(f"{failed['Key']}: {failed.get('Message') or failed.get('Code')}")

    def read_versioned(self, path: str) -> tuple[bytes, str] | None:
        """See storage.RemoteFiles."""
        bucket, key = _place(path)
        try:
            answer = self._client.get_object(Bucket=bucket, Key=key)
            return answer["Body"].read(), answer["ETag"]
        except Exception as error:
            if _code(error) in _GONE:
                return None
            _refuse(path, "read", error)

    def replace(self, path: str, content: bytes, version: str | None) -> str | None:
        """See storage.RemoteFiles: the server compares."""
        bucket, key = _place(path)
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        with writing(path):
            try:
                return str(self._client.put_object(Bucket=bucket, Key=key, Body=content, **condition)["ETag"])
            except Exception as error:
                if _code(error) in _REPLACED or (version is not None and _code(error) in _GONE):
                    return None
                if _code(error) not in _UNKNOWN:
                    raise
            return str(self._client.put_object(Bucket=bucket, Key=key, Body=content)["ETag"])

    def remove_leftovers(self, folder: str) -> None:
        """See storage.RemoteFiles: uploads in parts that were killed: they cost money, and nobody sees them."""
        bucket, key = _place(folder)
        prefix = key.rstrip("/") + "/"
        pages = self._client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix)
        with contextlib.suppress(*_client_errors()):  # not everybody may list them
            for each in [upload for page in pages for upload in page.get("Uploads", [])]:
                self._client.abort_multipart_upload(Bucket=bucket, Key=each["Key"], UploadId=each["UploadId"])


class _Ranges:
    """Fetches ranges of an object, all of them of the same version of it; see `RangeReader`."""

    def __init__(self, client: Any, bucket: str, key: str, path: str):
        self._client, self._bucket, self._key, self._path = client, bucket, key, path
        self._etag: str | None = None

    def __call__(self, start: int, count: int) -> Fetched:
        wanted = {"Bucket": self._bucket, "Key": self._key, "Range": f"bytes={start}-{start + count - 1}"}
        if self._etag is not None:
            wanted["IfMatch"] = self._etag
        for tries_left in reversed(range(_TRIES)):
            try:
                answer = self._client.get_object(**wanted)
                block: bytes = answer["Body"].read()
                break
            except Exception as error:
                if _code(error) in ("416", "InvalidRange") and start == 0:  # an empty object has no ranges
                    return Fetched(b"", 0, 0)
                if tries_left and not _code(error) and isinstance(error, _client_errors()):
                    continue  # the connection broke in the middle, which the client itself does not mend
                raise self._as_os_error(error) from error
        self._etag = answer.get("ETag")
        if "ContentRange" not in answer:  # a server that does not do ranges
            return Fetched(block, 0, len(block))
        return Fetched(block, start, int(answer["ContentRange"].rpartition("/")[2]))

    def _as_os_error(self, error: Exception) -> OSError:
        code = _code(error)
        if code in _GONE:
            return FileNotFoundError(errno.ENOENT, "no such object", self._path)
        if code in _FORBIDDEN:
            return PermissionError(errno.EACCES, "S3 does not permit it with these credentials", self._path)
        if code in ("412", "PreconditionFailed"):
            return OSError(errno.ESTALE, "it was replaced while it was read", self._path)
        return OSError(errno.EIO, str(error), self._path)


def without_keys(options: Sequence[str]) -> list[str]:
    """The options of a run without the keys to S3: Beam's workers write the options they get into their logs."""
    kept: list[str] = []
    is_key = False
    for option in options:
        name, equals, _ = option.partition("=")
        if is_key and not option.startswith("--"):
            is_key = False
            continue
        is_key = name in _KEYS
        if not is_key:
            kept.append(option)
        is_key = is_key and not equals
    return kept


class _Settings(NamedTuple):
    """Beam's S3Options."""

    access_key_id: str | None = None
    secret_access_key: str | None = None
    session_token: str | None = None
    endpoint_url: str | None = None
    region_name: str | None = None
    api_version: str | None = None
    verify: str | None = None
    disable_ssl: str | None = None


def _settings(options: Sequence[str]) -> _Settings:
    """Those among the options of a run, written as --s3_NAME=VALUE or in two words."""
    found = {name: value for name, value in option_values(options, "--s3_").items() if name in _Settings._fields}
    if "disable_ssl" in found:  # a flag
        found["disable_ssl"] = "true"
    return _Settings(**found)


def _client(settings: _Settings) -> Any:
    """A client of these settings; a run without credentials is refused before it tries for minutes."""
    import boto3
    from botocore.config import Config  # type: ignore[import-untyped]

    session = boto3.Session(
        aws_access_key_id=settings.access_key_id,
        aws_secret_access_key=settings.secret_access_key,
        aws_session_token=settings.session_token,
    )
    if session.get_credentials() is None:
        raise UsageError(
            "s3://: no credentials for S3 were found (looked at --s3_access_key_id, the environment, ~/.aws and the"
            " machine's role). Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the options"
        )
    verify = {"true": True, "false": False}.get((settings.verify or "").lower(), settings.verify)
    return session.client(
        "s3",
        region_name=settings.region_name,
        api_version=settings.api_version,
        use_ssl=not settings.disable_ssl,
        verify=verify,
        endpoint_url=settings.endpoint_url,
        config=Config(
            max_pool_connections=_CONNECTIONS,
            connect_timeout=10,
            retries={"mode": "standard", "total_max_attempts": 5},
        ),
    )


def _place(path: str) -> tuple[str, str]:
    """Bucket and key."""
    bucket, _, key = path.partition("://")[2].partition("/")
    return bucket, key


def _milliseconds(moment: Any) -> int:
    """Whole seconds, as headers have them; listings of some servers are more precise."""
    return 1000 * int(moment.timestamp())


def _client_errors() -> tuple[type[Exception], ...]:
    from botocore.exceptions import BotoCoreError, ClientError  # type: ignore[import-untyped]

    return (BotoCoreError, ClientError)


def _code(error: Exception) -> str:
    """S3's word for what went wrong; "" for other errors."""
    answer = getattr(error, "response", None)
    return str(answer.get("Error", {}).get("Code", "")) if isinstance(answer, dict) else ""


def _refuse(path: str, what: str, error: Exception) -> NoReturn:
    """Raise what stops a run for an answer, or silence, of the server."""
    if isinstance(error, BoxbeamError):
        raise error
    if _code(error) == "NoSuchBucket":
        raise UsageError(f"{path}: there is no bucket {_place(path)[0]!r}") from error
    if _code(error) in _FORBIDDEN:
        raise UsageError(f"{path}: cannot be {what}: S3 does not permit it with these credentials ({error})") from error
    raise StorageError(f"{path}: cannot be {what} ({error})") from error
