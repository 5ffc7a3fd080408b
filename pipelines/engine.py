"""Where a Beam graph executes, and running one there."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from od_core.errors import BoxbeamError, StorageError
from pipelines.remote.s3_files import without_keys

LOCAL_RUNNER = "DirectRunner"


@dataclasses.dataclass(frozen=True)
class Engine:
    """Where a run executes: Beam's runner, and the options that are Beam's."""

    runner: str = LOCAL_RUNNER
    beam_options: Sequence[str] = ()

    @property
    def is_local(self) -> bool:
        """Whether the graph runs in this process."""
        return self.runner == LOCAL_RUNNER


def run_graph(engine: Engine, build: Callable[[Any], object]) -> None:
    """Build a graph and run it to its end.

    Args:
        engine: where.
        build: adds the graph to the pipeline it is given.

    Raises:
        StorageError: the runner gave up; says why in a line.
        BoxbeamError: what the graph raised in this process.
    """
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    if engine.is_local:
        from apache_beam.runners.portability.fn_api_runner import FnApiRunner

        # Named, because today's DirectRunner first tries to download another runner.
        pipeline = beam.Pipeline(runner=FnApiRunner(), options=PipelineOptions(list(engine.beam_options)))
    else:
        # boxbeam's own graphs carry their keys to S3 themselves.
        options = PipelineOptions(without_keys(engine.beam_options), runner=engine.runner)
        pipeline = beam.Pipeline(options=options)
    build(pipeline)
    try:
        result = pipeline.run()
        try:
            state = result.wait_until_finish()
        except KeyboardInterrupt:
            result.cancel()
            raise
    except BoxbeamError:
        raise
    except Exception as error:
        raise StorageError(f"{engine.runner} gave the job up: {_telling_line(error)}") from error
    if state not in (None, "DONE"):
        raise StorageError(f"{engine.runner} ended the job as {state}; repeat the command, it continues")


def _telling_line(error: Exception) -> str:
    """The line of an error that came through Beam, which appends its own tracebacks, that says what happened."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error" in line and not line.startswith(("File ", "Traceback"))]
    return (telling or lines or [type(error).__name__])[-1]
