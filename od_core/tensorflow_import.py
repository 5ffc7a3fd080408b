"""Importing TensorFlow without its start-up messages, and saying so in words when it is not there."""

import contextlib
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from od_core.errors import ModelError

_import_lock = threading.Lock()  # held while something that the whole process shares is changed

# TensorFlow's C++ logs lines such as "I0000 00:00:1795229401.734653    9684 port.cc:153] oneDNN custom operations …".
_CHATTER = re.compile(rb"[IWE]\d{4} |WARNING: All log messages before absl|To enable the following instructions")


def import_tensorflow() -> Any:
    """TensorFlow, without its start-up messages unless the user set TF_CPP_MIN_LOG_LEVEL.

    The whole package, not only its session modules: those alone import in 0.6 s instead of 1.5 s, but leave half a
    `tensorflow` behind for whatever in the process imports it next.

    Raises:
        ModelError: it is not installed.
    """
    with _import_lock:
        quiet = "tensorflow" not in sys.modules and "TF_CPP_MIN_LOG_LEVEL" not in os.environ
        if quiet:
            os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
        try:
            with _filtered_stderr() if quiet else contextlib.nullcontext():
                import tensorflow as tf
        except ImportError as error:
            raise ModelError(
                f"running a model needs TensorFlow, which cannot be imported ({error}): pip install tensorflow"
            ) from error
    return tf


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
    """Hold back file descriptor 2, then pass on what is not TensorFlow's chatter, and everything on failure.

    The level in the environment is read after the first messages are out, so they have to be caught here.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # a daemon without one
        yield
        return
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            held.seek(0)
            for line in held:
                if failed or not _CHATTER.match(line):
                    os.write(2, line)
            os.close(stderr)
