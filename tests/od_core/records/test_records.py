import contextlib
import gzip
import io
import struct

import google_crc32c
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from od_core.errors import RecordError
from od_core.records.tfrecord import RecordSpan, is_gzip, read_record, read_records, scan_records, write_record

PAYLOADS = [b"first", b"", b"a longer third record" * 9]


def _file(payloads):
    file = io.BytesIO()
    for payload in payloads:
        write_record(file, payload)
    file.seek(0)
    return file


def _header(length):
    """A record header with a correct checksum, put together by the definition of the format."""
    packed = struct.pack("<Q", length)
    crc = google_crc32c.value(packed)
    return packed + struct.pack("<I", (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32)


class _Unseekable(io.BufferedReader):
    """A stream as a network gives it: front to back, in small pieces."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content))

    def seekable(self):
        return False

    def seek(self, *args):
        raise io.UnsupportedOperation("seek")

    def read(self, size=-1):
        return super().read(min(size, 7))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=50), max_size=6))
def test_what_is_written_is_read_three_ways(payloads):
    file = io.BytesIO()
    sizes = [write_record(file, payload) for payload in payloads]
    spans = list(scan_records(file))
    assert [span.length for span in spans] == [len(payload) for payload in payloads]
    assert [span.end - span.offset for span in spans] == sizes
    assert [read_record(file, span.offset) for span in spans] == payloads
    assert list(read_records(_Unseekable(file.getvalue()))) == [
        (span.offset, payload) for span, payload in zip(spans, payloads, strict=True)
    ]


def test_tensorflow_reads_what_is_written_and_the_other_way_round(tmp_path):
    tf = pytest.importorskip("tensorflow")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    with ours.open("wb") as file:
        for payload in PAYLOADS:
            write_record(file, payload)
    with tf.io.TFRecordWriter(str(theirs)) as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    assert ours.read_bytes() == theirs.read_bytes()
    assert [record.numpy() for record in tf.data.TFRecordDataset(str(ours))] == PAYLOADS

    zipped = tmp_path / "theirs.gz"
    with tf.io.TFRecordWriter(str(zipped), "GZIP") as writer:
        for payload in PAYLOADS:
            writer.write(payload)
    with zipped.open("rb") as file:
        assert is_gzip(file)
    with gzip.open(zipped) as file:
        assert [payload for _, payload in read_records(file)] == PAYLOADS


@pytest.mark.shared
def test_the_records_of_the_api_are_found_and_whole(shared):
    path = shared / "oracles" / "records" / "bccd_val.record"
    with path.open("rb") as file:
        spans = list(scan_records(file))
        assert len(spans) == 73
        assert spans[-1].end == path.stat().st_size
        whole = [read_record(file, span.offset) for span in spans]
        file.seek(0)
        assert list(read_records(file)) == list(zip([span.offset for span in spans], whole, strict=True))


def test_a_scan_can_be_cut_into_ranges_and_interrupted_by_reads():
    file = _file(PAYLOADS * 3)
    spans = []
    for span in scan_records(file):
        spans.append(span)
        read_record(file, 0)  # moves the file
    assert len(spans) == 9
    for cut in range(file.getbuffer().nbytes + 1):
        left = list(scan_records(file, stop=cut))
        right = list(scan_records(file, start=left[-1].end if left else 0))
        assert left + right == spans
        assert all(span.offset < cut for span in left)
        assert all(span.offset >= cut for span in right)
    assert list(scan_records(file, start=spans[-1].end)) == []


@pytest.mark.parametrize("cut", range(1, 21))
def test_a_file_that_ends_within_a_record_says_so_after_the_records_before(cut):
    whole = _file([b"one", b"four"]).getvalue()  # the second record is bytes 19 to 39
    file = io.BytesIO(whole[:-cut])
    records, spans = read_records(file), scan_records(file)
    if cut == 20:
        assert [list(records), list(spans)] == [[(0, b"one")], [RecordSpan(0, 3)]]
        return
    assert next(records) == (0, b"one")
    with pytest.raises(RecordError, match=r"at byte 19.*cut short"):
        next(records)
    assert next(spans) == RecordSpan(0, 3)
    with pytest.raises(RecordError, match=r"at byte 19.*cut short"):
        next(spans)
    with pytest.raises(RecordError, match=r"at byte 19.*cut short"):
        read_record(file, 19)


def test_damage_to_a_payload_costs_one_record():
    content = bytearray(_file(PAYLOADS).getvalue())
    content[13] ^= 1
    file = io.BytesIO(content)
    assert len(list(scan_records(file))) == 3
    with pytest.raises(RecordError, match="record at byte 0 is damaged: the checksum of its 5 bytes is wrong"):
        read_record(file, 0)
    file.seek(0)
    (first, error), *others = read_records(file)
    assert first == 0
    assert type(error) is RecordError
    assert [payload for _, payload in others] == PAYLOADS[1:]


def test_damage_to_a_length_hides_the_rest():
    content = bytearray(_file(PAYLOADS).getvalue())
    content[21] ^= 1
    for records in (scan_records(io.BytesIO(content)), read_records(io.BytesIO(content))):
        next(records)
        with pytest.raises(RecordError, match=r"no TFRecord header at byte 21.*from here on the file is damaged"):
            next(records)


@pytest.mark.parametrize("length", [2**64 - 1, 2**31, 2**31 - 1, 10**6])
def test_an_absurd_length_with_a_right_checksum_is_refused_without_allocating_it(length):
    class Counting(io.BytesIO):
        largest = 0

        def read(self, size=-1):
            self.largest = max(self.largest, size)
            return super().read(size)

    file = Counting(_header(length) + b"only this")
    for read in (lambda: next(read_records(file)), lambda: read_record(file, 0), lambda: next(scan_records(file))):
        file.seek(0)
        with pytest.raises(RecordError, match=r"at byte 0"):
            read()
    assert file.largest <= 16 * 1024 * 1024


@pytest.mark.parametrize("content", [b"\xff\xd8\xff\xe0 a photo, not records", b"short", b"\0" * 100])
def test_another_kind_of_file_is_refused_at_its_first_byte(content):
    for read in (scan_records, read_records):
        with pytest.raises(RecordError, match="at byte 0"):
            next(read(io.BytesIO(content)))


def test_an_empty_file_holds_no_records():
    assert list(scan_records(io.BytesIO())) == list(read_records(io.BytesIO())) == []
    with pytest.raises(RecordError, match=r"record header at byte 0: expected 12 bytes, found 0"):
        read_record(io.BytesIO(), 0)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_flipped_byte_never_gives_a_wrong_payload(data):
    content = bytearray(_file(PAYLOADS).getvalue())
    at = data.draw(st.integers(0, len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    file = io.BytesIO(content)
    right = dict(zip([0, 21, 37], PAYLOADS, strict=True))
    seen = []
    with contextlib.suppress(RecordError):
        for offset, payload in read_records(file):
            seen.append(payload)
            assert isinstance(payload, RecordError) or right[offset] == payload
    assert [payload for payload in seen if isinstance(payload, bytes)] != PAYLOADS
    for offset, payload in right.items():
        with contextlib.suppress(RecordError):
            assert read_record(file, offset) == payload


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_a_damaged_gzip_stream_never_gives_a_wrong_payload(data):
    content = bytearray(gzip.compress(_file(PAYLOADS).getvalue(), mtime=0))
    if data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    else:
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    with gzip.open(io.BytesIO(content)) as file, contextlib.suppress(RecordError):
        for index, (_, payload) in enumerate(read_records(file)):
            assert isinstance(payload, RecordError) or payload == PAYLOADS[index]


@settings(deadline=None, max_examples=200)
@given(st.binary(max_size=60))
def test_any_bytes_give_records_or_a_record_error(content):
    assume(content)
    for read in (scan_records, read_records):
        with pytest.raises(RecordError):
            list(read(io.BytesIO(content)))


def test_a_broken_gzip_stream_says_so():
    content = gzip.compress(_file(PAYLOADS).getvalue())
    with gzip.open(io.BytesIO(content[:-9])) as file:
        with pytest.raises(RecordError, match="GZIP stream breaks off within the record at byte"):
            list(read_records(file))


def test_gzip_is_told_by_its_magic_bytes_unless_they_are_a_records_length():
    assert is_gzip(io.BytesIO(gzip.compress(b"")))
    assert not is_gzip(io.BytesIO())
    assert not is_gzip(io.BytesIO(b"\x1f\x8b"))
    length = int.from_bytes(b"\x1f\x8b\x08", "little")
    file = _file([b"-" * length])
    assert file.getvalue().startswith(b"\x1f\x8b\x08")
    assert not is_gzip(file)
    assert file.tell() == 0
