"""What a person can say about annotations that they do not say themselves."""

import dataclasses
from collections.abc import Mapping

from od_core.errors import UsageError


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """How annotations are to be read; each option is for one format.

    Attributes:
        csv_columns: which column of a table means what, see `csv_columns`; empty: columns have their own names.
        csv_boxes: in which units the boxes of a table are, one of `csv_table.BOX_UNITS`.
    """

    csv_columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    csv_boxes: str = "auto"

    def given(self) -> dict[str, str]:
        """The options that were given, as they are written on the command line."""
        given = {}
        if self.csv_columns:
            given["--csv_columns"] = ",".join(f"{mine}={theirs}" for mine, theirs in self.csv_columns.items())
        if self.csv_boxes != "auto":
            given["--csv_boxes"] = self.csv_boxes
        return given

    def refuse_others(self, path: str, format: str) -> None:
        """Raise UsageError if an option was given that is for another format than these annotations have."""
        for option in self.given():
            if _FORMATS[option] != format:
                raise UsageError(
                    f"{option} is for annotations of the format {_FORMATS[option]}, and {path} is {format}; leave it"
                    f" out, or say --format {_FORMATS[option]} if that is what it is"
                )


_FORMATS = {"--csv_columns": "csv", "--csv_boxes": "csv"}
