"""A real HDFS on this machine: Hadoop's own cluster for tests, a NameNode and a DataNode in one process."""

import contextlib
import dataclasses
import importlib
import pathlib
import secrets
import urllib.request
from collections.abc import Iterator, Sequence
from typing import Any

from .java import java_program
from .processes import free_ports, running, wait_until


@dataclasses.dataclass(frozen=True)
class HdfsServer:
    """A running server: the port on which it speaks WebHDFS."""

    port: int

    @property
    def options(self) -> list[str]:
        """Beam's pipeline options for this server."""
        return ["--hdfs_host=localhost", f"--hdfs_port={self.port}", "--hdfs_user=root"]

    @property
    def _client(self) -> Any:
        return importlib.import_module("hdfs").InsecureClient(f"http://localhost:{self.port}", user="root")

    def new_bucket(self) -> str:
        """Make an empty folder, and give its name."""
        name = f"boxbeam-{secrets.token_hex(4)}"
        self._client.makedirs(f"/{name}")
        return name

    def upload(self, folder: pathlib.Path, bucket: str, prefix: str) -> None:
        """Copy every file below a folder to `prefix` below one of the server's."""
        for path in folder.rglob("*"):
            if path.is_file():
                place = f"/{bucket}/{prefix}{path.relative_to(folder).as_posix()}"
                self._client.write(place, data=path.read_bytes(), overwrite=True)

    def download(self, bucket: str, prefix: str, folder: pathlib.Path) -> None:
        """Copy every file whose path starts with `prefix` to a folder, under the rest of its path."""
        for name in self.objects(bucket, prefix):
            path = folder / name.removeprefix(prefix)
            path.parent.mkdir(parents=True, exist_ok=True)
            with self._client.read(f"/{bucket}/{name}") as file:
                path.write_bytes(file.read())

    def objects(self, bucket: str, prefix: str) -> set[str]:
        """The paths of the files that start with `prefix`."""
        found = self._client.walk(f"/{bucket}")
        paths = {f"{folder}/{name}".removeprefix(f"/{bucket}/") for folder, _, files in found for name in files}
        return {path for path in paths if path.startswith(prefix)}


@contextlib.contextmanager
def hdfs_server(class_path: Sequence[pathlib.Path], *, java: str, folder: pathlib.Path) -> Iterator[HdfsServer]:
    """A server for as long as the block lasts.

    Args:
        class_path: Hadoop.
        java: the program, version 11 or 17.
        folder: an empty folder for blocks, temporary files and the log.

    Raises:
        ProcessError: it did not come up.
    """
    (port,) = free_ports(1)
    (folder / "tmp").mkdir()
    command = [
        *java_program(java, class_path, folder),
        "org.apache.hadoop.test.MiniDFSClusterManager",
        *("-format", "-datanodes", "1", "-httpport", str(port)),
        *("-D", f"hdfs.minidfs.basedir={folder / 'blocks'}", "-D", "dfs.permissions.enabled=false"),
    ]
    log = folder / "hdfs.log"
    with running(command, log=log, folder=folder) as process:
        wait_until(lambda: _has_data_node(port), process, what="HDFS, to have its DataNode", log=log)
        yield HdfsServer(port)


def _has_data_node(port: int) -> bool:
    question = f"http://localhost:{port}/jmx?qry=Hadoop:service=NameNode,name=FSNamesystemState"
    try:
        with urllib.request.urlopen(question, timeout=5) as answer:
            return b'"NumLiveDataNodes" : 1' in answer.read()
    except OSError:
        return False
