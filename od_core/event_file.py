"""TensorBoard event files, written without TensorFlow or TensorBoard: scalars and images of one step, a file a step.

An event file is TFRecords (`od_core.records.tfrecord`) of tensorflow/core/util/event.proto, the first of which names
the version "brain.Event:2". TensorBoard reads the files of a folder, which it calls a run, in the order of their names,
and only ever forward. So a step is a file of its own, named so that names sort as steps do, and committed whole:

- nothing is ever appended, so neither a crash nor a reader that looks meanwhile meets half a record;
- a step that is written already is not written again, and one below the last is refused (`EventFolder.write`), so steps
  only grow, whoever writes after whatever restart. TensorBoard discards points where they do not ("Detected out of
  order event.step").

The messages are written by protobuf over a descriptor in a pool of our own. The writer of the package tensorboard does
the same, but brings a web server, gRPC and Markdown with it; TensorFlow's takes seconds to import.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from od_core import storage
from od_core.images import ImageArray, encode_png
from od_core.records.tfrecord import write_record

_NAME = re.compile(r"^events\.out\.tfevents\.(\d{20})\.boxbeam$")
_MAX_STEP = 2**63 - 1
_PNG_LEVEL = 6


class EventFolder:
    """One run of TensorBoard: a folder of event files.

    Args:
        path: of the folder, which need not be there.
    """

    def __init__(self, path: str):
        self.path = path

    def last_step(self) -> int | None:
        """The highest step that is written, or None."""
        if not storage.is_folder(self.path):
            return None
        return max(
            (int(match[1]) for name in storage.names_in(self.path) if (match := _NAME.match(name))), default=None
        )

    def write(
        self, step: int, wall_time_s: float, scalars: Mapping[str, float], images: Mapping[str, ImageArray]
    ) -> bool:
        """Commit the numbers and images of a step.

        Args:
            step: 0 to 2^63 - 1.
            wall_time_s: when it was, in seconds since 1970: what TensorBoard's "relative" and "wall" axes show.
            scalars: tag -> number; one that is not finite is left out.
            images: tag -> uint8 (H, W, 3) RGB, kept as PNG.

        Returns:
            Whether it was written: not if this step, or a higher one, was written before.

        Raises:
            ValueError: a step that TensorBoard cannot hold.
            StorageError: it cannot be written there.
        """
        if not 0 <= step <= _MAX_STEP:
            raise ValueError(f"step must be from 0 to {_MAX_STEP}, got {step}")
        last = self.last_step()
        if last is not None and step <= last:
            return False
        version, event = _Event(wall_time=wall_time_s, file_version="brain.Event:2"), _Event(wall_time=wall_time_s)
        event.step = step
        for tag, number in scalars.items():
            if math.isfinite(number):
                event.summary.value.add(tag=tag, simple_value=number)
        for tag, image in images.items():
            height, width = image.shape[:2]
            value = event.summary.value.add(tag=tag)
            value.image.height, value.image.width, value.image.colorspace = height, width, 3
            value.image.encoded_image_string = encode_png(image, _PNG_LEVEL)
        with storage.commit(storage.join(self.path, f"events.out.tfevents.{step:020d}.boxbeam")) as temporary:
            with temporary.open("wb") as file:
                for one in (version, event):
                    write_record(file, one.SerializeToString(deterministic=True))
        return True


_FILE = text_format.Parse(
    """
    name: "tensorflow/core/util/event.proto" package: "tensorflow" syntax: "proto3"
    message_type { name: "Summary"
      nested_type { name: "Image"
        field { name: "height" number: 1 type: TYPE_INT32 label: LABEL_OPTIONAL }
        field { name: "width" number: 2 type: TYPE_INT32 label: LABEL_OPTIONAL }
        field { name: "colorspace" number: 3 type: TYPE_INT32 label: LABEL_OPTIONAL }
        field { name: "encoded_image_string" number: 4 type: TYPE_BYTES label: LABEL_OPTIONAL } }
      nested_type { name: "Value"
        oneof_decl { name: "value" }
        field { name: "tag" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
        field { name: "simple_value" number: 2 oneof_index: 0 type: TYPE_FLOAT label: LABEL_OPTIONAL }
        field { name: "image" number: 4 oneof_index: 0
                type: TYPE_MESSAGE type_name: "Image" label: LABEL_OPTIONAL } }
      field { name: "value" number: 1 type: TYPE_MESSAGE type_name: "Value" label: LABEL_REPEATED } }
    message_type { name: "Event"
      oneof_decl { name: "what" }
      field { name: "wall_time" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
      field { name: "step" number: 2 type: TYPE_INT64 label: LABEL_OPTIONAL }
      field { name: "file_version" number: 3 oneof_index: 0 type: TYPE_STRING label: LABEL_OPTIONAL }
      field { name: "summary" number: 5 oneof_index: 0
              type: TYPE_MESSAGE type_name: "Summary" label: LABEL_OPTIONAL } }
    """,
    descriptor_pb2.FileDescriptorProto(),
)
_POOL = descriptor_pool.DescriptorPool()
_POOL.Add(_FILE)
_Event: Any = message_factory.GetMessageClass(_POOL.FindMessageTypeByName("tensorflow.Event"))
