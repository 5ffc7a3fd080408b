"""The toy job as a command of its own, for tests that kill it: INPUT OUTPUT [JSON].

The JSON holds fields of ToyJob (`job`), of Engine (`runner`, `beam_options`), and settings of `toy_work`.
"""

import json
import logging
import sys

from od_core.errors import BoxbeamError, RunStoppedError
from pipelines.engine import LOCAL_RUNNER, Engine
from pipelines.observer import Silent
from pipelines.work import run
from tests.pipelines.toy_job import ToyJob, toy_work


class _Told(Silent):
    def finished(self, report: object) -> None:
        print("finished", flush=True)


def main(folder: str, output: str, fields: str = "{}") -> int:
    logging.basicConfig(level=logging.ERROR)
    settings = json.loads(fields)
    beam_options = settings.pop("beam_options", [])
    engine = Engine(settings.pop("runner", LOCAL_RUNNER), beam_options)
    work = toy_work([folder], output, ToyJob(**settings.pop("job", {})), **settings)
    try:
        result = run(work, engine, _Told(), max_failed_ratio=1.0)
    except RunStoppedError as error:
        print(f"stopped by {error}", flush=True)
        return 130
    except BoxbeamError as error:
        print(f"{type(error).__name__}: {error}", flush=True)
        return 1
    print(json.dumps({"planned": result.planned_inputs, **result.finished.manifest.counts}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
