"""The manifest: what a finished output folder holds."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any, NamedTuple

MANIFEST = "manifest.json"


class DataFile(NamedTuple):
    """One data file of a finished dataset; `inputs` counts the pieces it covers."""

    name: str
    rows: int
    bytes: int
    sha256: str
    inputs: int


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What a finished output folder holds; a folder without one is not finished. `details` are the job's own."""

    job: str
    schema: str
    options: Mapping[str, str]
    provenance: Mapping[str, Any]
    counts: Mapping[str, int]
    files: tuple[DataFile, ...]
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def to_text(self) -> str:
        """JSON for people and programs; the same dataset gives the same text."""
        fields = {**dataclasses.asdict(self), "files": [file._asdict() for file in self.files]}
        return json.dumps({"boxbeam": "manifest/1", **fields}, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_text(cls, text: str) -> "Manifest":
        """The reverse of `to_text`. Raises ValueError, KeyError or TypeError for anything else."""
        fields = json.loads(text)
        if fields.pop("boxbeam") != "manifest/1":
            raise ValueError("not a manifest of version 1")
        files = tuple(DataFile(**file) for file in fields.pop("files"))
        return cls(files=files, **fields)
