"""Runs as TensorBoard's own code reads them. It is told that there is no TensorFlow, whose import takes seconds."""

import pathlib
import sys
import types

sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("tensorboard.compat.notf"))

from tensorboard.backend.event_processing.event_multiplexer import EventMultiplexer  # noqa: E402
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator  # noqa: E402

__all__ = ["EventAccumulator", "EventMultiplexer", "accumulated"]


def accumulated(run: pathlib.Path | str) -> EventAccumulator:
    """All that there is in the folder of a run."""
    accumulator = EventAccumulator(str(run), size_guidance={"tensors": 0})
    accumulator.Reload()
    return accumulator
