"""Parts of the data that an evaluation tells apart, and which of them a row of detections belongs to."""

import posixpath
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from od_core.annotations.ground_truth_set import GroundTruthSet
from od_core.closest_name import did_you_mean
from od_core.errors import UsageError
from pipelines.evaluate.detections import DetectionsSet, opened
from pipelines.evaluate.truth import WorkerTruth

FOLDER = "folder"
TOP, NONE, OTHER = "(top)", "(none)", "(other)"
"""The slice of keys without a folder, of rows without a value, and of keys that the expression does not match."""


class SliceBy(NamedTuple):
    """One way to tell parts apart.

    Attributes:
        word: as given: "folder", the name of a column, or a regular expression.
        column: the name of a column of the detections, or None.
        truth_column: the name of a column of the ground truth, or None.
    """

    word: str
    column: str | None = None
    truth_column: str | None = None

    def names(self, rows: pa.Table, places: npt.NDArray[np.int64], truth: WorkerTruth) -> list[str]:
        """The slice of every row of detections; `places`: of its frame in the ground truth."""
        if self.column is not None:
            values = rows.column(self.column).to_pylist()
            return [NONE if value is None else str(value) for value in values]
        if self.truth_column is not None:
            return [value or NONE for value in truth.column_at(self.truth_column, places)]
        keys = rows.column("key").to_pylist()
        if self.word == FOLDER:
            return [posixpath.dirname(key) or TOP for key in keys]
        expression = re.compile(self.word)
        return [_groups(expression, key) for key in keys]


def _groups(expression: re.Pattern[str], key: str) -> str:
    found = expression.search(key)
    return "/".join(group or "" for group in found.groups()) if found else OTHER


def columns_asked(words: Sequence[str]) -> list[str]:
    """Which words could be the name of a column."""
    return [word for word in dict.fromkeys(words) if word != FOLDER]


def slices_by(words: Sequence[str], detections: DetectionsSet, truth: GroundTruthSet) -> tuple[SliceBy, ...]:
    """What the words mean: a column of both is that of the detections.

    Args:
        words: as given.
        detections: the detections.
        truth: the ground truth, opened with `columns_asked` of the words.

    Raises:
        UsageError: neither a column nor a regular expression with a group.
    """
    if not words:
        return ()
    columns, truth_columns = _columns(detections), truth.columns
    return tuple(_slice_by(word, columns, truth_columns) for word in dict.fromkeys(words))


def _slice_by(word: str, columns: Sequence[str], truth_columns: Sequence[str]) -> SliceBy:
    if word == FOLDER:
        return SliceBy(word)
    if word in columns:
        return SliceBy(word, column=word)
    if word in truth_columns:
        return SliceBy(word, truth_column=word)
    try:
        expression = re.compile(word)
    except re.error as error:
        raise UsageError(f"--slice_by {word!r}: neither a column nor a regular expression ({error})") from error
    if not expression.groups:
        names = list(dict.fromkeys([*columns, *truth_columns]))
        guess = did_you_mean(word, [FOLDER, *names], otherwise=f"there are {', '.join(names) or 'none'}.")
        raise UsageError(
            f"--slice_by {word!r}: neither detections nor ground truth have such a column{guess} A regular expression"
            " for keys needs a group in round brackets, which names the slice: 'camera_([0-9]+)'"
        )
    return SliceBy(word)


def _columns(detections: DetectionsSet) -> list[str]:
    """Columns that all files have and that hold single values."""
    common: dict[str, int] = {}
    for path in detections.files:
        with opened(path) as file:
            for field in file.schema_arrow:
                if not pa.types.is_nested(field.type) and not pa.types.is_binary(field.type):
                    common[field.name] = common.get(field.name, 0) + 1
    return [name for name, count in common.items() if count == len(detections.files)]


def row_slices(
    rows: pa.Table, slicing: Sequence[SliceBy], places: npt.NDArray[np.int64], truth: WorkerTruth
) -> Iterator[tuple[str, ...]]:
    """The slices of every row, one for each way."""
    if not slicing:
        return (() for _ in range(rows.num_rows))
    return zip(*(way.names(rows, places, truth) for way in slicing), strict=True)
