"""Which image goes into which split and shard: a pure function of names, sizes and options."""

import dataclasses
import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from od_core.errors import UsageError

DEFAULT_SHARD_BYTES = 128 << 20

# What a record weighs beside its image: names, checksums, a few boxes.
_BYTES_BESIDE_IMAGE = 1024
COMPRESSION = ("none", "gzip")
GZIP_EXTENSION = ".tfrecord.gz"

_NAME = re.compile(r"[A-Za-z0-9_]+")
_HASH_RANGE = 1 << 64
_USUAL = ("train", "trainval", "val", "valid", "validation", "test")


class Shard(NamedTuple):
    """One TFRecord file: its split, its name, and how many images were planned for it."""

    split: str
    name: str
    images: int


@dataclasses.dataclass(frozen=True)
class Layout:
    """How images are dealt out.

    Attributes:
        splits: share of the images by split; shares sum to 1. None: every image is in the split that the data set, or
            the command line, says.
        split_by: "image", "folder", or a regular expression found in the key: images for which it gives the same
            text (its first group, or all of it) stay together.
        seed: another seed, another split and another order.
        shard_bytes, images_per_shard, num_shards: how large a shard is; of the three one is given.
        shuffle: whether records are in an order that depends on `seed`; else they keep that of the input.
        compression: one of `COMPRESSION`, of whole shards.
    """

    splits: Mapping[str, float] | None
    split_by: str = "image"
    seed: int = 0
    shard_bytes: int | None = None
    images_per_shard: int | None = None
    num_shards: int | None = None
    shuffle: bool = True
    compression: str = "none"

    def __post_init__(self) -> None:
        if self.splits is None:
            if self.split_by != "image":
                raise UsageError(
                    f"--split_by {self.split_by} has nothing to divide where the splits are given; leave it out"
                )
            return
        wrong = [name for name in self.splits if not _NAME.fullmatch(name)]
        if wrong:
            raise UsageError(f"--splits: {wrong[0]!r} cannot be the name of a split: letters, digits and _ only")
        if not self.splits or any(not 0 < share <= 1 for share in self.splits.values()):
            raise UsageError("--splits: every share must be above 0 and at most 1, as in train=0.8,val=0.2")
        if not math.isclose(sum(self.splits.values()), 1, abs_tol=1e-6):
            total = sum(self.splits.values())
            raise UsageError(f"--splits: the shares must sum to 1, they sum to {total:g}; write train=0.8,val=0.2")
        if self.split_by not in ("image", "folder"):
            try:
                re.compile(self.split_by)
            except re.error as error:
                raise UsageError(
                    f"--split_by: expected image, folder or a regular expression, got {self.split_by!r} ({error})"
                ) from error

    @property
    def splits_text(self) -> str:
        """The splits as on the command line."""
        return "given" if self.splits is None else ",".join(f"{name}={share}" for name, share in self.splits.items())

    def refuse_one_group(self, keys: Sequence[str]) -> None:
        """Refuse a `split_by` by which there is nothing to be divided: everything would land in one split.

        Raises:
            UsageError: a regular expression that is found in no key, or one group although there are several splits.
        """
        if self.split_by == "image" or not keys:
            return
        if self.split_by != "folder" and not any(re.search(self.split_by, key) for key in keys):
            raise UsageError(
                f"--split_by: '{self.split_by}' is found in none of the {len(keys):,} image names, such as {keys[0]}"
            )
        groups = {self._group(key) for key in keys}
        if len(groups) == 1 and len(keys) > 1 and self.splits and len(self.splits) > 1:
            what = "are in one folder" if self.split_by == "folder" else f"agree in it: {groups.pop()!r}"
            raise UsageError(
                f"--split_by {self.split_by}: all {len(keys):,} images {what}, so they cannot be divided among"
                f" {', '.join(self.splits)}; choose another --split_by, or one split such as --splits train=1"
            )

    def split_of(self, key: str) -> str:
        """The split of an image; depends on its group, the seed and the shares alone.

        Raises:
            ValueError: the splits are given, not shares.
        """
        if self.splits is None:
            raise ValueError("there are no shares to divide by")
        place = _hashed("split", self.seed, self._group(key)) / _HASH_RANGE
        reached = 0.0
        for name, share in self.splits.items():
            reached += share
            if place < reached:
                return name
        return name  # rounding left a gap below 1

    def order_of(self, key: str) -> int:
        """Where an image stands within its split, 0 to 2^64 - 1: shuffled, and the same in every run."""
        return _hashed("order", self.seed, key)

    def shards(self, split: str, sizes: npt.ArrayLike) -> list[Shard]:
        """The shards of a split; its images go into them in order, in portions as even as can be.

        Args:
            sizes: bytes of the split's images, in their order.
        """
        weights = np.asarray(sizes, np.float64) + _BYTES_BESIDE_IMAGE
        if not len(weights):
            return []
        if self.num_shards is not None:
            count = min(self.num_shards, len(weights))
        elif self.images_per_shard is not None:
            count = math.ceil(len(weights) / self.images_per_shard)
        else:
            count = math.ceil(weights.sum() / (self.shard_bytes or math.inf)) or 1
        if self.shard_bytes is None:
            weights[:] = 1
        extension = GZIP_EXTENSION if self.compression == "gzip" else ".tfrecord"
        before = np.cumsum(weights) - weights / 2
        _, numbers = np.unique((before * count / weights.sum()).astype(np.int64), return_inverse=True)
        images = np.bincount(numbers)
        names = [f"{split}-{number:05d}-of-{len(images):05d}{extension}" for number in range(len(images))]
        return [Shard(split, name, int(n)) for name, n in zip(names, images, strict=True)]

    def _group(self, key: str) -> str:
        if self.split_by == "image":
            return key
        if self.split_by == "folder":
            return key.rpartition("/")[0]
        found = re.search(self.split_by, key)
        return key if found is None else found.group(1 if found.re.groups else 0) or ""


def given_order(splits: Iterable[str | None]) -> list[str]:
    """The splits that there are, each once: the usual ones in their usual order, then others by name.

    Raises:
        UsageError: one that cannot be part of a file name.
    """
    names = {split for split in splits if split is not None}
    wrong = sorted(name for name in names if not _NAME.fullmatch(name))
    if wrong:
        raise UsageError(
            f"the data set has a split called {wrong[0]!r}, which cannot be part of a file name: letters, digits and _"
            " only; rename it"
        )
    return sorted(names, key=lambda name: (_USUAL.index(name) if name in _USUAL else len(_USUAL), name))


def _hashed(purpose: str, seed: int, text: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{purpose}\0{seed}\0{text}".encode()).digest()[:8])
