"""What a person can say about annotations that they do not say themselves."""

import dataclasses
import posixpath
from collections.abc import Mapping

from od_core.errors import UsageError


@dataclasses.dataclass(frozen=True)
class ReadingOptions:
    """How annotations are to be read; each option is for one format.

    Attributes:
        csv_columns: which column of a table means what, see `csv_columns`; empty: columns have their own names.
        csv_boxes: in which units the boxes of a table are, one of `csv_table.BOX_UNITS`.
        class_descriptions: Open Images' table of what classes are called; None for the one beside the boxes.
        image_labels: Open Images' table of classes of whole images; None for the one beside the boxes.
        dont_care: what KITTI's DontCare regions do, one of `kitti.DONT_CARE`; None for the first.
        min_score: detections with a lower score are no annotations; None for `pseudo_labels.DEFAULT_MIN_SCORE`.
    """

    csv_columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    csv_boxes: str = "auto"
    class_descriptions: str | None = None
    image_labels: str | None = None
    dont_care: str | None = None
    min_score: float | None = None

    def given(self) -> dict[str, str]:
        """The options that were given, as they are written on the command line; of files only their names."""
        columns = ",".join(f"{mine}={theirs}" for mine, theirs in self.csv_columns.items())
        written = {
            "--csv_columns": columns or None,
            "--csv_boxes": None if self.csv_boxes == "auto" else self.csv_boxes,
            "--class_descriptions": self.class_descriptions and posixpath.basename(self.class_descriptions),
            "--image_labels": self.image_labels and posixpath.basename(self.image_labels),
            "--dont_care": self.dont_care,
            "--min_score": None if self.min_score is None else f"{self.min_score:g}",
        }
        return {option: value for option, value in written.items() if value is not None}

    def refuse_others(self, path: str, format: str) -> None:
        """Raise UsageError if an option was given that is for another format than these annotations have."""
        for option in self.given():
            if _FORMATS[option] != format:
                raise UsageError(
                    f"{option} is for annotations of the format {_FORMATS[option]}, and {path} is {format}; leave it"
                    f" out, or say --format {_FORMATS[option]} if that is what it is"
                )


_FORMATS = {
    "--csv_columns": "csv",
    "--csv_boxes": "csv",
    "--class_descriptions": "open_images",
    "--image_labels": "open_images",
    "--dont_care": "kitti",
    "--min_score": "detections",
}
