"""An output folder: its manifest, its parts in the making, and which inputs they already cover."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from od_core import storage
from od_core.errors import OutputError
from pipelines.items import Outcome
from pipelines.job import Job
from pipelines.manifest import MANIFEST as MANIFEST
from pipelines.manifest import DataFile as DataFile
from pipelines.manifest import Manifest as Manifest
from pipelines.parts import OPTIONS, PROVENANCE, SCHEMA, read_footer

RUN_REPORT = "run.json"


class Part(NamedTuple):
    """One part file: its path, provenance and outcomes."""

    path: str
    provenance: Mapping[str, Any]
    outcomes: list[Outcome]


def fingerprint(job: Job) -> str:
    """The options that change the result, as text."""
    return json.dumps({"job": job.name, "schema": job.schema_version, **job.options}, sort_keys=True)


def metadata(job: Job, provenance: Mapping[str, object]) -> dict[bytes, bytes]:
    """What every row file of this job says about itself; `provenance` is added to the job's own."""
    return {
        SCHEMA: job.schema_version.encode(),
        OPTIONS: fingerprint(job).encode(),
        PROVENANCE: json.dumps({**job.provenance, **provenance}, sort_keys=True).encode(),
    }


class Dataset:
    """The files of one output folder. Reads afresh at each call; holds nothing open."""

    def __init__(self, path: str):
        self.path = path
        self.work = storage.join(path, "_work")
        self.parts = storage.join(self.work, "parts")
        self.inventory = storage.join(self.work, "inventory.parquet")
        self.work_options = storage.join(self.work, "options.json")

    def part_path(self, name: str) -> str:
        """Where the part of an item lies."""
        return storage.join(self.parts, f"{name}.parquet")

    def part_paths(self) -> list[str]:
        """Every part there is, sorted."""
        if not storage.is_folder(self.parts):
            return []
        return sorted(info.path for info in storage.walk(self.parts) if info.path.endswith(".parquet"))

    def manifest(self) -> Manifest | None:
        """The manifest, or None while there is no finished dataset.

        Raises:
            OutputError: the file is there but is not boxbeam's.
        """
        path = storage.join(self.path, MANIFEST)
        if storage.stat(path) is None:
            return None
        try:
            return Manifest.from_text(storage.read_bytes(path).decode())
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise OutputError(
                f"{path}: not a manifest that this boxbeam wrote ({error}); choose another --output, or remove the file"
                " if the folder is meant to be replaced"
            ) from error

    def options_at_work(self) -> Mapping[str, str] | None:
        """The options of the run whose parts lie in `_work`, or None."""
        if storage.stat(self.work_options) is None:
            return None
        options: Mapping[str, str] = json.loads(storage.read_bytes(self.work_options))
        return options

    def data_path(self, file: DataFile) -> str:
        """Where a data file lies."""
        return storage.join(self.path, file.name)

    def parts_of(self, job: Job) -> Iterator[Part]:
        """The parts that this job made with its present options."""
        wanted = fingerprint(job).encode()
        for path in self.part_paths():
            footer = read_footer(path)
            if footer is not None and footer[0].get(OPTIONS) == wanted:
                yield Part(path, json.loads(footer[0][PROVENANCE]), footer[1])


def refuse_other_use(dataset: Dataset, job: Job) -> None:
    """Refuse an output that holds something else than what this job, with these options, makes.

    Raises:
        OutputError: names what differs, and the way out.
    """
    manifest = dataset.manifest()
    if manifest is not None and (manifest.job, manifest.schema) != (job.name, job.schema_version):
        raise OutputError(
            f"{dataset.path}: holds the output of boxbeam {manifest.job} ({manifest.schema}), not of {job.name}"
            f" ({job.schema_version}); choose another --output, or replace it with --overwrite"
        )
    # Options of a run that committed nothing bind nobody: a wrong label map, say, may have ended it at once.
    before = manifest.options if manifest else dataset.options_at_work() if dataset.part_paths() else None
    if before is None or dict(before) == dict(job.options):
        return
    names = sorted(set(before) | set(job.options))
    changes = [
        f"{name} was {before.get(name, 'not there')}, now {job.options.get(name, 'not there')}"
        for name in names
        if before.get(name) != job.options.get(name)
    ]
    raise OutputError(
        f"{dataset.path}: was made with other options: {'; '.join(changes)}. Rows of both would not belong together:"
        " choose another --output, repeat the former options, or start anew with --overwrite"
    )
