"""Beam's Spark job server on this machine, with Spark itself inside it."""

import contextlib
import pathlib
from collections.abc import Iterator, Sequence

from .java import java_program
from .processes import free_ports, listens, running, wait_until


@contextlib.contextmanager
def spark_job_server(class_path: Sequence[pathlib.Path], *, java: str, folder: pathlib.Path) -> Iterator[list[str]]:
    """A job server for as long as the block lasts; gives the pipeline options that run a job on it.

    Spark runs two tasks at a time, in threads of the job server; Python code runs in the launcher (LOOPBACK).

    Args:
        class_path: Spark and Beam's runner.
        java: the program, version 11 or 17.
        folder: an empty folder for temporary files and the log.

    Raises:
        ProcessError: it did not come up.
    """
    (port,) = free_ports(1)
    temporary, log = folder / "tmp", folder / "sparkjobserver.log"
    temporary.mkdir()
    command = [
        *java_program(java, class_path, folder, heap="768m"),
        "org.apache.beam.runners.spark.SparkJobServerDriver",
        "--spark-master-url=local[2]",
        "--job-host=localhost",
        f"--job-port={port}",
        "--artifact-port=0",
        "--expansion-port=0",
        f"--artifacts-dir={temporary / 'artifacts'}",
    ]
    with running(command, log=log, folder=temporary) as process:
        wait_until(lambda: listens(port), process, what="Spark's job server, to listen on its port", log=log)
        yield ["--runner=PortableRunner", f"--job_endpoint=localhost:{port}", "--environment_type=LOOPBACK"]
