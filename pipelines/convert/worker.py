"""The item side of convert: one shard at a time, one image of it in memory."""

import contextlib
import functools
from collections.abc import Mapping

from od_core import storage
from od_core.images import quiet_pillow
from od_core.schemas import FrameError
from pipelines.convert import remarks as convert_remarks
from pipelines.convert.index import ShardIndex
from pipelines.convert.plan import ShardPlans
from pipelines.convert.record import RecordMaker
from pipelines.convert.rules import RecordRules
from pipelines.convert.shards import ShardWriter, note_shard, plan_path, shards_folder
from pipelines.items import Item
from pipelines.job import Watch
from pipelines.parts import RowWriter

# So many small records the kernel takes in half the time that it needs for them one by one. Records of large images are
# larger: they go into the file as they are, without being copied into the buffer.
_BUFFER_BYTES = 1 << 18


class ConvertWorker:
    """Writes shards as a plan says, which it reads at the first item: on a cluster it opens before there is a plan."""

    def __init__(self, rules: RecordRules, output: str):
        self._rules = rules
        self._output = output
        self._opened = contextlib.ExitStack()

    @functools.cached_property
    def _plans(self) -> ShardPlans:
        return self._opened.enter_context(contextlib.closing(ShardPlans(plan_path(self._output))))

    @functools.cached_property
    def _labels(self) -> Mapping[int, str]:
        label_map = self._plans.header.label_map
        return label_map.labels if label_map else {}

    @functools.cached_property
    def _records(self) -> RecordMaker:
        return self._opened.enter_context(contextlib.closing(RecordMaker(self._rules, self._plans.header)))

    @property
    def provenance(self) -> Mapping[str, object]:
        """Nothing that the job does not know."""
        return {}

    def run(self, item: Item, rows: RowWriter, watch: Watch) -> None:
        """Write the shard of an item, then its note, then the index rows of its images, in the order of their keys."""
        shard = item.pieces[0].source.kind
        pieces = {piece.source.key: piece for piece in item.pieces}
        condemned = {piece.source.key: FrameError(*failure) for piece, failure in item.condemned}
        index = ShardIndex(shard, self._labels)
        with (
            storage.commit(storage.join(shards_folder(self._output), shard)) as temporary,
            open(temporary, "wb", _BUFFER_BYTES) as file,
            quiet_pillow,
        ):
            writer = ShardWriter(file, shard)
            for planned in self._plans.images(shard):
                if planned.key in condemned:
                    failure = condemned[planned.key]
                    index.add(self._records.failed(planned, failure, convert_remarks.IMAGE_GIVEN_UP), None)
                    continue
                piece = pieces[planned.key]
                watch.begin(piece)
                made = self._records.convert(planned, writer.records)
                index.add(made, None if made.payload is None else writer.add(made.payload))
                watch.advance(made.counts, piece.weight)
                watch.end(piece)
            shard_file = writer.finish()
        note_shard(self._output, shard_file)
        index.write(item.pieces, rows)

    def close(self) -> None:
        """Close the plan and the annotations."""
        self._opened.close()
