"""A server on this machine that speaks Google Cloud Storage's API, its buckets the folders of a temporary directory."""

import contextlib
import dataclasses
import importlib
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any

from .processes import free_ports, listens, running, wait_until

ENDPOINT = "STORAGE_EMULATOR_HOST"
"""The variable in which Google's clients look for a server other than theirs."""


@dataclasses.dataclass(frozen=True)
class GcsServer:
    """Where a running server is: `http://127.0.0.1:PORT`."""

    endpoint_url: str

    @property
    def options(self) -> list[str]:
        """Beam's pipeline options for this server: none, see `ENDPOINT`."""
        return []

    @property
    def _client(self) -> Any:
        storage = importlib.import_module("google.cloud.storage")
        anonymous = importlib.import_module("google.auth.credentials").AnonymousCredentials()
        return storage.Client("boxbeam", anonymous, client_options={"api_endpoint": self.endpoint_url})

    def new_bucket(self) -> str:
        """Make an empty bucket, and give its name."""
        name = f"boxbeam-{secrets.token_hex(4)}"
        self._client.create_bucket(name)
        return name

    def upload(self, folder: pathlib.Path, bucket: str, prefix: str) -> None:
        """Copy every file below a folder to `prefix` in a bucket."""
        there = self._client.bucket(bucket)
        for path in folder.rglob("*"):
            if path.is_file():
                there.blob(prefix + path.relative_to(folder).as_posix()).upload_from_filename(str(path))

    def download(self, bucket: str, prefix: str, folder: pathlib.Path) -> None:
        """Copy every object whose name starts with `prefix` to a folder, under the rest of its name."""
        for blob in self._client.list_blobs(bucket, prefix=prefix):
            path = folder / blob.name.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            blob.download_to_filename(str(path))

    def objects(self, bucket: str, prefix: str) -> set[str]:
        """The names of the objects that start with `prefix`."""
        return {blob.name for blob in self._client.list_blobs(bucket, prefix=prefix)}


@contextlib.contextmanager
def gcs_server(program: pathlib.Path, *, folder: pathlib.Path) -> Iterator[GcsServer]:
    """A server for as long as the block lasts.

    Args:
        program: fake-gcs-server.
        folder: an empty folder for the objects and the log.

    Raises:
        ProcessError: it did not come up.
    """
    (port,) = free_ports(1)
    server, log = GcsServer(f"http://127.0.0.1:{port}"), folder / "gcs-server.log"
    arguments = {
        "scheme": "http",
        "host": "127.0.0.1",
        "port": str(port),
        "backend": "filesystem",
        "filesystem-root": str(folder / "objects"),
        "public-host": f"127.0.0.1:{port}",
        "external-url": server.endpoint_url,
        "log-level": "warn",
    }
    command = [str(program), *(word for name, value in arguments.items() for word in (f"-{name}", value))]
    with running(command, log=log, folder=folder) as process:
        wait_until(lambda: listens(port), process, what="the server of gs://, to listen on its port", log=log)
        yield server
