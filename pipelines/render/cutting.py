"""How originals are cut into pieces: by their size alone, so that any number of workers makes the same."""

from collections.abc import Sequence

from pipelines.grouping import on_grid
from pipelines.items import Piece, Source
from pipelines.render.choices import RenderChoices
from pipelines.render.sources import is_compressed

_RECORD_BYTES_PER_PIECE = 64 << 20


def pieces_of(source: Source, choices: RenderChoices) -> Sequence[Piece]:
    """Record files and long videos are cut on a grid of bytes.

    A piece of records is the records that begin in its range; a range of a video, see `od_core.video.ranges`.
    """
    if source.kind == "record" and source.size > _RECORD_BYTES_PER_PIECE and not is_compressed(source):
        return on_grid(source, _RECORD_BYTES_PER_PIECE)
    if source.kind == "video" and source.size > choices.range_bytes and not choices.crops:
        return on_grid(source, choices.range_bytes)
    return [Piece(source)]


def is_range(piece: Piece) -> bool:
    """Whether it is a range of a video: a video of its own in the work folder, which the whole video's item joins."""
    return piece.source.kind == "video" and piece.total > 1
