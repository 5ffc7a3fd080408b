"""The programs the cluster tests run, fetched once by their ordinary clients into `.cache/` and kept there.

Beam's Flink runner         mvn, the coordinates in pom.xml       .cache/flink/repository
Beam's Spark runner, Spark  mvn, the coordinates in pom-spark.xml .cache/flink/repository
Flink                       pip, the wheel that carries its jars  .cache/flink/apache-flink-libraries-VERSION
versitygw, an S3 server     go install                            .cache/bin/versitygw-VERSION
fake-gcs-server, for gs://  go install                            .cache/bin/fake-gcs-server-VERSION
Google's client for gs://   pip                                   .cache/google-cloud-storage-VERSION
Hadoop's file system        mvn, the coordinates in pom-hdfs.xml  .cache/flink/repository
A client of WebHDFS         pip                                   .cache/hdfs-VERSION
Prism, a runner of Beam's   go install                            .cache/bin/prism-VERSION

    PYTHONPATH=tests python -m cluster.fetch

fetches all of it ahead of the tests.
"""

import contextlib
import fcntl
import hashlib
import pathlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence

from .places import CACHE, REPOSITORY
from .processes import run_to_end

_POM, _SPARK_POM, _HDFS_POM = (
    pathlib.Path(__file__).with_name(name) for name in ("pom.xml", "pom-spark.xml", "pom-hdfs.xml")
)
_FLINK = ("apache-flink-libraries", "1.19.3")
_GATEWAY = ("github.com/versity/versitygw/cmd/versitygw", "v1.8.0")
_GCS_CLIENT = ("google-cloud-storage==3.17.1", "grpcio-status")  # the latter for silence
_HDFS_CLIENT = ("hdfs==2.7.3",)
_GCS_SERVER = ("github.com/fsouza/fake-gcs-server", "v1.56.1")
_PRISM = ("github.com/apache/beam/sdks/v2/go/cmd/prism", "v2.77.0")

# Of Flink's own jars, the ones a job without tables and CSV files needs; log4j is what Flink logs with.
_FLINK_JARS = ("flink-dist-*.jar", "log4j-*.jar")

_TIMEOUT = 600  # seconds; a first resolve took 3 to 4 minutes on a good line

Say = Callable[[str], None]


class MissingToolError(Exception):
    """A program that is not installed on this machine."""


def tool(name: str, *, package: str, purpose: str) -> str:
    """The path of an installed program.

    Raises:
        MissingToolError: it is not there; says which Debian package has it.
    """
    path = shutil.which(name)
    if path is None:
        raise MissingToolError(f"no `{name}` on the PATH, needed to {purpose}: install the Debian package {package}")
    return path


def flink_class_path(cache: pathlib.Path, say: Say) -> list[pathlib.Path]:
    """The jars of Flink and of Beam's Flink runner, Flink's first: one class path for all three programs.

    Args:
        cache: the repository's `.cache`.
        say: shows a line to the person who waits.

    Raises:
        MissingToolError: they are not in the cache and maven is not installed.
        ProcessError: maven or pip failed.
    """
    folder = cache / "flink"
    folder.mkdir(parents=True, exist_ok=True)
    pins = _POM.read_bytes() + "==".join(_FLINK).encode()
    listing = folder / f"class-path-{hashlib.sha256(pins).hexdigest()[:12]}.txt"
    with _only_one(folder):
        jars = _listed(listing)
        if not jars:
            mvn = tool("mvn", package="maven", purpose="fetch Beam's Flink runner")
            flink = folder / "-".join(_FLINK)
            if not flink.exists():
                _fetch_flink(flink, say)
            jars = [jar for pattern in _FLINK_JARS for jar in sorted(flink.glob(f"pyflink/lib/{pattern}"))]
            jars += _resolve(mvn, _POM, "Beam's Flink runner", folder, say)
            # Written last: where it exists, all it lists was fetched.
            listing.write_text("".join(f"{jar.relative_to(folder)}\n" for jar in jars))
    return jars


def spark_class_path(cache: pathlib.Path, say: Say) -> list[pathlib.Path]:
    """The jars of Spark and of Beam's Spark runner; arguments and errors as for `flink_class_path`."""
    return _class_path("spark", _SPARK_POM, "Spark and Beam's runner for it", cache, say)


def hdfs_class_path(cache: pathlib.Path, say: Say) -> list[pathlib.Path]:
    """The jars of Hadoop's cluster for tests; arguments and errors as for `flink_class_path`."""
    return _class_path("hdfs", _HDFS_POM, "Hadoop's file system", cache, say)


def _class_path(name: str, pom: pathlib.Path, what: str, cache: pathlib.Path, say: Say) -> list[pathlib.Path]:
    folder = cache / "flink"
    folder.mkdir(parents=True, exist_ok=True)
    listing = folder / f"{name}-class-path-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}.txt"
    with _only_one(folder):
        jars = _listed(listing)
        if not jars:
            mvn = tool("mvn", package="maven", purpose=f"fetch {what}")
            jars = _resolve(mvn, pom, what, folder, say)
            listing.write_text("".join(f"{jar.relative_to(folder)}\n" for jar in jars))
    return jars


def _listed(listing: pathlib.Path) -> list[pathlib.Path]:
    """The jars in the listing; none at all when it, or one of them, is not there."""
    if not listing.exists():
        return []
    jars = [listing.parent / line for line in listing.read_text().splitlines()]
    return jars if all(jar.exists() for jar in jars) else []


def _fetch_flink(target: pathlib.Path, say: Say) -> None:
    requirement = "==".join(_FLINK)
    say(f"pip: fetching {requirement} (240 MB) into {target}")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="fetching-") as scratch:
        log, unpacked = pathlib.Path(scratch, "pip.log"), pathlib.Path(scratch, "unpacked")
        command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(unpacked), requirement]
        run_to_end(command, log=log, folder=target.parent, timeout=_TIMEOUT, every_15_s=_still("pip", say))
        unpacked.rename(target)


def _resolve(mvn: str, pom: pathlib.Path, what: str, folder: pathlib.Path, say: Say) -> list[pathlib.Path]:
    repository = folder / "repository"
    say(f"mvn: resolving {what} (70 to 270 MB, minutes the first time) into {repository}")
    with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-") as scratch:
        log, output = pathlib.Path(scratch, "mvn.log"), pathlib.Path(scratch, "class-path.txt")
        command = [
            *(mvn, "--batch-mode", "--no-transfer-progress", "--file", str(pom)),
            *(f"-Dmaven.repo.local={repository}", "dependency:build-classpath", f"-Dmdep.outputFile={output}"),
        ]
        run_to_end(command, log=log, folder=folder, timeout=_TIMEOUT, every_15_s=_still("mvn", say))
        return [pathlib.Path(jar) for jar in output.read_text().strip().split(":")]


def s3_gateway(cache: pathlib.Path, say: Say) -> pathlib.Path:
    """The program of an S3 server that keeps its objects as files; arguments as in `flink_class_path`.

    Raises:
        MissingToolError: it is not in the cache and Go is not installed.
        ProcessError: Go could not build it.
    """
    return _built(*_GATEWAY, "build the S3 server", cache, say)


def gcs_server_program(cache: pathlib.Path, say: Say) -> pathlib.Path:
    """The program of a server that speaks Google Cloud Storage's API; arguments and errors as for `s3_gateway`."""
    return _built(*_GCS_SERVER, "build the server of gs://", cache, say)


def gcs_client(cache: pathlib.Path, say: Say) -> pathlib.Path:
    """A folder for the import path with Google's client.

    Not among the packages of all tests: with it there, Beam's checks for Dataflow call Google.

    Raises:
        ProcessError: pip failed.
    """
    return _packages(_GCS_CLIENT, cache, say)


def hdfs_client(cache: pathlib.Path, say: Say) -> pathlib.Path:
    """A folder for the import path with a client of WebHDFS; errors as for `gcs_client`."""
    return _packages(_HDFS_CLIENT, cache, say)


def _packages(requirements: Sequence[str], cache: pathlib.Path, say: Say) -> pathlib.Path:
    """A folder with packages, in versions that go with those of all tests."""
    folder = cache / requirements[0].replace("==", "-")
    cache.mkdir(parents=True, exist_ok=True)
    with _only_one(cache):
        if not folder.exists():
            say(f"pip: fetching {requirements[0]} into {folder}")
            with tempfile.TemporaryDirectory(dir=cache, prefix="fetching-") as scratch:
                log, unpacked = pathlib.Path(scratch, "pip.log"), pathlib.Path(scratch, "unpacked")
                command = [sys.executable, "-m", "pip", "install", "--constraint", str(REPOSITORY / "requirements.txt")]
                command += ["--target", str(unpacked), *requirements]
                run_to_end(command, log=log, folder=cache, timeout=_TIMEOUT, every_15_s=_still("pip", say))
                unpacked.rename(folder)
    return folder


def prism(cache: pathlib.Path, say: Say) -> pathlib.Path:
    """The program of Beam's Prism; arguments and errors as for `s3_gateway`."""
    return _built(*_PRISM, "build Beam's Prism", cache, say)


def _built(module: str, version: str, purpose: str, cache: pathlib.Path, say: Say) -> pathlib.Path:
    folder, name = cache / "bin", module.rpartition("/")[2]
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / f"{name}-{version}"
    with _only_one(folder):
        if not program.exists():
            go = tool("go", package="golang-go", purpose=purpose)
            say(f"go: building {name} {version} (two minutes) into {program}")
            with tempfile.TemporaryDirectory(dir=folder, prefix="building-") as scratch:
                run_to_end(
                    [go, "install", f"{module}@{version}"],
                    log=pathlib.Path(scratch, "go.log"),
                    folder=folder,
                    env={"GOBIN": scratch},
                    timeout=_TIMEOUT,
                    every_15_s=_still("go", say),
                )
                pathlib.Path(scratch, name).rename(program)
    return program


def _still(name: str, say: Say) -> Callable[[float], None]:
    return lambda seconds: say(f"{name}: still at it after {seconds:.0f} s")


@contextlib.contextmanager
def _only_one(folder: pathlib.Path) -> Iterator[None]:
    """Let one test run at a time fetch into this folder; the others wait, then find everything there."""
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Fetch what is not there yet, showing what it is at."""
    for fetch in (
        flink_class_path,
        spark_class_path,
        s3_gateway,
        gcs_server_program,
        gcs_client,
        hdfs_class_path,
        hdfs_client,
        prism,
    ):
        fetch(CACHE, lambda line: print(line, flush=True))


if __name__ == "__main__":
    main()
