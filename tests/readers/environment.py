"""Where the readers of other projects are kept, and how they are run: never in this process, always with an end.

    python -m tests.readers.environment

fetches them ahead of the tests.
"""

import functools
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

HERE = pathlib.Path(__file__).parent
REPOSITORY = HERE.parents[1]
CACHE = REPOSITORY / ".cache" / "readers"

_FETCH_SECONDS = 600
_RUN_SECONDS = 60
_ENVIRONMENT = HERE / "requirements.txt"
_PACKAGES = HERE / "packages.txt"


class Readers(NamedTuple):
    """Other projects' readers.

    Attributes:
        python: of an environment with supervision and datumaro.
        packages: a folder with the packages that are used without their requirements.
    """

    python: pathlib.Path
    packages: pathlib.Path

    def run(self, script: str, *arguments: object) -> Any:
        """What a script of this folder prints, as JSON, in the readers' environment."""
        return self._answer(self.python, script, arguments)

    def run_with_tensorflow(self, script: str, *arguments: object) -> Any:
        """The same in boxbeam's own environment, which has TensorFlow."""
        return self._answer(pathlib.Path(sys.executable), script, arguments)

    def _answer(self, python: pathlib.Path, script: str, arguments: Sequence[object]) -> Any:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, (REPOSITORY, self.packages))),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        command = [str(python), "-W", "ignore", str(HERE / script), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_RUN_SECONDS, env=environment)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])


def fetch() -> Readers:
    """The readers, made by pip the first time: from pinned lists, half a minute, 1 GB."""
    readers = CACHE / _digest()
    made = Readers(readers / "venv/bin/python", readers / "packages")
    is_ready = readers / "ready"
    if is_ready.exists():
        return made
    shutil.rmtree(CACHE, ignore_errors=True)  # what other lists were made of, and what was begun
    readers.mkdir(parents=True)
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    ways = ["--no-deps", "--no-build-isolation", "--target", str(made.packages)]
    _fetch([sys.executable, *pip, *ways, "--requirement", str(_PACKAGES)])
    _fetch([sys.executable, "-m", "venv", str(readers / "venv")])
    _fetch([str(made.python), *pip, "--requirement", str(_ENVIRONMENT)])
    is_ready.touch()
    return made


@functools.cache
def _digest() -> str:
    content = b"".join(path.read_bytes() for path in (_ENVIRONMENT, _PACKAGES)) + sys.version.encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _fetch(command: Sequence[str]) -> None:
    fetched = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_SECONDS)
    assert fetched.returncode == 0, fetched.stderr


if __name__ == "__main__":
    fetch()
