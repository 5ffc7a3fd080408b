"""Measurements in interpreters of their own: a fresh process, one JSON object on its last line of output."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[1]
"""Where the three packages lie, and this one."""


_LIMIT_SECONDS = 600.0


class BenchmarkError(Exception):
    """Something to measure is not there or did not run; the message is for a person."""


def measure(module: str, *arguments: object, environment: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Run `python -m benchmarks.MODULE ARGUMENTS...` and return the object it printed.

    Raises:
        BenchmarkError: it failed, or did not end in ten minutes; shows the end of what it wrote.
    """
    command = [sys.executable, "-m", f"benchmarks.{module}", *map(str, arguments)]
    variables = {**os.environ, **(environment or {})}
    try:
        ended = subprocess.run(
            command, cwd=ROOT, env=variables, capture_output=True, text=True, timeout=_LIMIT_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise BenchmarkError(f"{' '.join(command)}: not done after {_LIMIT_SECONDS:.0f} s") from error
    if ended.returncode:
        raise BenchmarkError(f"{' '.join(command)}: exit {ended.returncode}\n{ended.stderr[-2000:]}")
    answer: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return answer


def answer(result: dict[str, Any]) -> None:
    """The child's side of `measure`."""
    print(json.dumps(result), flush=True)


def positive(text: str) -> float:
    """An argparse type: a number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e6:
        raise argparse.ArgumentTypeError(f"must be a number above 0, got {text!r}")
    return number


def whole(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return int(text)


def import_tensorflow() -> Any:
    """TensorFlow, without its chatter; for the children only: the process that samples memory must not map it."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    return tf
