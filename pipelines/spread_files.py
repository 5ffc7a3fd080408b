"""Data files written by the workers of a cluster: no row of a large run passes through the launcher.

Which rows go into which file lies in files of the output's work folder, beside which a worker notes what it wrote: what
travels through Beam is their numbers.
"""

# No `from __future__ import annotations` here: Beam reads the type hints when the graph is built.

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.transforms.util import ReshufflePerKey

from od_core import storage
from od_core.errors import StorageError
from pipelines.data_files import Layout, WriteFiles, write_data_file
from pipelines.dataset import Dataset
from pipelines.engine import Engine, run_graph
from pipelines.executor import Work
from pipelines.manifest import DataFile


def spread_files(work: Work, engine: Engine) -> WriteFiles:
    """Write data files with the workers of an engine."""
    folder = storage.join(Dataset(work.ask.output).work, "layouts")

    def write(provenance: Mapping[str, object], files: Iterable[Layout]) -> list[DataFile]:
        storage.remove_folder(folder)  # of a run that was stopped here
        names: list[str] = []
        for layout in files:
            storage.write_text(_layout_path(folder, len(names)), json.dumps(layout.to_json()))
            names.append(layout.name)
        run_graph(engine, lambda root: _build(root, work, folder, len(names), provenance))
        return [_written(folder, name, work.ask.output) for name in names]

    return write


def _layout_path(folder: str, number: int) -> str:
    return storage.join(folder, f"{number:06d}.json")


def _note_path(folder: str, name: str) -> str:
    """Where it is noted that a data file is written; by its name, which is a digest of what it covers.

    By their numbers, a worker that outlived a run before this one could pass a file of that run for one of this.
    """
    return storage.join(folder, f"{name}.json")


def _written(folder: str, name: str, output: str) -> DataFile:
    path = _note_path(folder, name)
    if storage.stat(path) is None:
        raise StorageError(
            f"{output}: a data file was not written: a worker was lost. Repeat the command, it continues"
        )
    return DataFile(**json.loads(storage.read_bytes(path)))


def _build(root: beam.Pipeline, work: Work, folder: str, count: int, provenance: Mapping[str, object]) -> Any:
    return (
        root
        | beam.Impulse()
        | "Number" >> beam.FlatMap(_numbers, count).with_output_types(tuple[str, int])
        | "SpreadFiles" >> ReshufflePerKey()  # not at random: done again, each worker writes what it wrote before
        | "DropKey" >> beam.Values().with_output_types(int)
        | "WriteFiles" >> beam.ParDo(_WriteFn(work, folder, dict(provenance)))
    )


def _numbers(_: bytes, count: int) -> Iterator[tuple[str, int]]:
    return ((f"file {number}", number) for number in range(count))


class _WriteFn(beam.DoFn):
    def __init__(self, work: Work, folder: str, provenance: Mapping[str, object]):
        self._work = work
        self._folder = folder
        self._provenance = provenance

    def setup(self) -> None:
        self._work.enter_process()

    def process(self, number: int) -> Iterator[int]:
        layout = Layout.from_json(json.loads(storage.read_bytes(_layout_path(self._folder, number))))
        note = _note_path(self._folder, layout.name)
        if storage.stat(note) is None:  # a runner that repeats a stage repeats finished files too
            file = write_data_file(self._work.ask.output, self._work.job, self._provenance, layout)
            storage.write_text(note, json.dumps(file._asdict()))
        yield number
