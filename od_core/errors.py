"""Every error boxbeam raises on purpose, as one tree.

    BoxbeamError
      UsageError         the command cannot run as given: a flag, a path, two options that exclude each other
        LabelMapError    a label map that cannot be read or does not make sense
        ModelError       not a detector that boxbeam can run
        OutputError      the output folder holds something else, is locked, or was made with other options
      InputError         one input that cannot be used: the job records it as failed and goes on
        ImageError       not an image, damaged, or too large
        VideoError       no decodable video stream
        RecordError      a damaged TFRecord or tf.train.Example
        DetectError      the model failed on this image
      StorageError       reading or writing failed for a reason that would stop every item: disk full, no permission
      ItemError          an item of work that crashed, hung or outgrew its memory
      TooManyFailedError more inputs failed than the run may take
      RunStoppedError    the user or the system asked the run to stop

`UsageError`, `StorageError` and `TooManyFailedError` end a run; `InputError` and `ItemError` become failed rows.
Messages are one paragraph for a person: what was expected, what was found, where, and the way out.
"""


class BoxbeamError(Exception):
    """Base of all errors that boxbeam raises on purpose."""


class UsageError(BoxbeamError):
    """The command cannot run as given."""


class LabelMapError(UsageError):
    """A label map that cannot be read or does not make sense."""


class ModelError(UsageError):
    """Not a detector that boxbeam can run."""


class OutputError(UsageError):
    """The output folder cannot take this run."""


class InputError(BoxbeamError):
    """One input that cannot be used; `stage` says at which step it failed."""

    stage = "read"


class ImageError(InputError):
    """Not an image, damaged, or too large."""

    stage = "decode"


class VideoError(InputError):
    """No decodable video stream, or a stretch of it that cannot be decoded."""

    stage = "decode"


class RecordError(InputError):
    """A damaged TFRecord or tf.train.Example."""

    stage = "read"


class AnnotationError(InputError):
    """An annotation that cannot be used."""

    stage = "read"


class DetectError(InputError):
    """The model failed on this image."""

    stage = "detect"


class StorageError(BoxbeamError):
    """Reading or writing failed for a reason that would stop every item."""


class ItemError(BoxbeamError):
    """An item of work that crashed, hung or outgrew its memory."""


class TooManyFailedError(BoxbeamError):
    """More inputs failed than the run may take."""


class RunStoppedError(BoxbeamError):
    """The user or the system asked the run to stop."""
