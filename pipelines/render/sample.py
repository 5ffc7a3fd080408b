"""A sample of the pictures: those whose keys have the smallest keyed hashes.

More inputs take the place of a few of them, and leave the others in it.
"""

import dataclasses
import hashlib
import heapq
import json
from collections.abc import Iterable

from od_core import storage
from pipelines.dataset import Dataset

_FILE = "render_sample.json"


@dataclasses.dataclass(frozen=True)
class Sample:
    """Which pictures are in a sample.

    Attributes:
        seed: another seed, another sample.
        last: the largest rank that is in it.
    """

    seed: int
    last: int

    @classmethod
    def of(cls, keys: Iterable[str], size: int, seed: int) -> "Sample":
        """The sample of `size` of these keys; all of them where they are fewer."""
        ranks = heapq.nsmallest(size, (_rank(key, seed) for key in keys))
        return cls(seed, ranks[-1] if ranks else -1)

    def takes(self, key: str) -> bool:
        """Whether the picture of this key is in the sample."""
        return _rank(key, self.seed) <= self.last

    def write(self, output: str) -> None:
        """Leave it for workers."""
        storage.write_text(storage.join(Dataset(output).work, _FILE), json.dumps(dataclasses.asdict(self)))

    @classmethod
    def read(cls, output: str) -> "Sample":
        """The one that `write` left."""
        return cls(**json.loads(storage.read_bytes(storage.join(Dataset(output).work, _FILE))))


def _rank(key: str, seed: int) -> int:
    """Where a key stands in the order of this seed: a number of 64 bits."""
    return int.from_bytes(hashlib.sha256(f"sample\0{seed}\0{key}".encode("utf-8", "surrogateescape")).digest()[:8])
