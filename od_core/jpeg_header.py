"""The size of a JPEG, read from its header without Pillow, which takes ten times as long.

Only headers as almost all files have them are understood. What is unusual in any way (metadata that could hold an
orientation, bytes between segments, damage) is left to Pillow, so that there is one judge of what is a JPEG.
"""

# Markers: the second byte, after 0xFF (ITU-T T.81, table B.1). Baseline, extended and progressive frames.
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))
_SCAN = 0xDA
_TABLES = 0xDB
# Huffman tables, restart interval, APP0 (JFIF), APP2 (colour profile), APP14 (Adobe), comment.
_OF_NO_INTEREST = frozenset((0xC4, 0xDD, 0xE0, 0xE2, 0xEE, 0xFE))


def plain_jpeg_size(encoded: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG that has 8 bits a channel and no EXIF or XMP before its first scan; else None."""
    if not encoded.startswith(b"\xff\xd8"):
        return None
    size = None
    place = 2
    end = len(encoded) - 4
    while place < end and encoded[place] == 0xFF:
        marker = encoded[place + 1]
        length = encoded[place + 2] << 8 | encoded[place + 3]
        following = place + 2 + length
        if length < 2 or following > len(encoded):
            return None
        if marker == _SCAN:
            return size
        if marker in _FRAMES:
            size = None if size else _frame_size(encoded[place + 4 : following])
            if size is None:
                return None
        elif marker == _TABLES:
            # One or more tables of a byte and 64 more; the upper half of that byte says that they are of 16 bits.
            if (length - 2) % 65 or max(encoded[place + 4 : following : 65], default=0) >> 4:
                return None
        elif marker not in _OF_NO_INTEREST:
            return None
        place = following
    return None


def _frame_size(frame: bytes) -> tuple[int, int] | None:
    """Of a frame header: bits, height, width, number of components, three bytes for each."""
    if len(frame) < 6 or frame[0] != 8 or frame[5] not in (1, 3, 4) or len(frame) != 6 + 3 * frame[5]:
        return None
    height, width = frame[1] << 8 | frame[2], frame[3] << 8 | frame[4]
    return (width, height) if width and height else None
