"""A real S3 server on this machine, its buckets the folders of a temporary directory."""

import contextlib
import dataclasses
import datetime
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any

import boto3  # type: ignore[import-untyped]

from .processes import free_ports, listens, running, wait_until

_REGION = "us-east-1"


@dataclasses.dataclass(frozen=True)
class S3Server:
    """Where a running server is and how to get in.

    Attributes:
        endpoint_url: `http://127.0.0.1:PORT`.
        access_key_id: the one account there is.
        secret_access_key: its password.
    """

    endpoint_url: str
    access_key_id: str
    secret_access_key: str

    @property
    def options(self) -> list[str]:
        """Beam's pipeline options for this server."""
        return [
            f"--s3_endpoint_url={self.endpoint_url}",
            f"--s3_access_key_id={self.access_key_id}",
            f"--s3_secret_access_key={self.secret_access_key}",
            f"--s3_region_name={_REGION}",
        ]

    @contextlib.contextmanager
    def client(self) -> Iterator[Any]:
        """A boto3 client of it."""
        client = boto3.client(
            "s3",
            endpoint_url=self.endpoint_url,
            aws_access_key_id=self.access_key_id,
            aws_secret_access_key=self.secret_access_key,
            region_name=_REGION,
        )
        with contextlib.closing(client):
            yield client

    def new_bucket(self) -> str:
        """Make an empty bucket, and give its name."""
        name = f"boxbeam-{secrets.token_hex(4)}"
        with self.client() as client:
            client.create_bucket(Bucket=name)
        return name

    def upload(self, folder: pathlib.Path, bucket: str, prefix: str) -> None:
        """Copy every file below a folder to `prefix` in a bucket."""
        with self.client() as client:
            for path in folder.rglob("*"):
                if path.is_file():
                    client.upload_file(str(path), bucket, prefix + path.relative_to(folder).as_posix())

    def download(self, bucket: str, prefix: str, folder: pathlib.Path) -> None:
        """Copy every object whose name starts with `prefix` to a folder, under the rest of its name."""
        with self.client() as client:
            for key in self.objects(bucket, prefix):
                path = folder / key.removeprefix(prefix)
                path.parent.mkdir(parents=True, exist_ok=True)
                client.download_file(bucket, key, str(path))

    def objects(self, bucket: str, prefix: str) -> dict[str, datetime.datetime]:
        """When each object whose name starts with `prefix` was last written."""
        with self.client() as client:
            pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
            return {each["Key"]: each["LastModified"] for page in pages for each in page.get("Contents", [])}

    def unfinished_uploads(self, bucket: str) -> list[str]:
        """The names of objects that somebody began to upload and neither finished nor gave up."""
        with self.client() as client:
            return [each["Key"] for each in client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])]


@contextlib.contextmanager
def s3_server(program: pathlib.Path, *, folder: pathlib.Path) -> Iterator[S3Server]:
    """A server for as long as the block lasts.

    Args:
        program: versitygw.
        folder: an empty folder for the objects and the log.

    Raises:
        ProcessError: it did not come up.
    """
    (port,) = free_ports(1)
    server = S3Server(f"http://127.0.0.1:{port}", "boxbeam", secrets.token_hex(16))
    objects, metadata, log = folder / "objects", folder / "metadata", folder / "versitygw.log"
    objects.mkdir()
    metadata.mkdir()
    # Metadata in files of its own: not every temporary folder is on a file system with extended attributes.
    command = [str(program), "--port", f"127.0.0.1:{port}", "posix", "--sidecar", str(metadata), str(objects)]
    env = {"ROOT_ACCESS_KEY": server.access_key_id, "ROOT_SECRET_KEY": server.secret_access_key}
    with running(command, log=log, folder=folder, env=env) as process:
        wait_until(lambda: listens(port), process, what="versitygw, to listen on its port", log=log)
        yield server
