"""A "video" that names other files or hosts makes ffmpeg open neither: seen by the kernel and by a listening socket."""

import contextlib
import ctypes
import os
import pathlib
import socket
import struct
from collections.abc import Iterator
from typing import NamedTuple

import av
import pytest

from od_core.errors import VideoError
from od_core.video.frames import read_video
from tests.od_core.video.video_files import shaded, write_h264

_IN_OPEN = 0x20  # linux/inotify.h


class Trap(NamedTuple):
    """A file that nobody is to open, and a port that nobody is to call."""

    file: pathlib.Path
    events: int
    port: socket.socket

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port.getsockname()[1]}/video.ts"

    def was_touched(self) -> list[str]:
        touched = []
        with contextlib.suppress(BlockingIOError):
            os.read(self.events, 4096)
            touched.append("the file was opened")
        with contextlib.suppress(BlockingIOError):
            self.port.accept()[0].close()
            touched.append("the port was called")
        return touched


@pytest.fixture
def trap(tmp_path: pathlib.Path) -> Iterator[Trap]:
    file = write_h264(tmp_path / "other.mkv", shaded(3))
    libc = ctypes.CDLL(None, use_errno=True)
    events = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(events, os.fsencode(file), _IN_OPEN) >= 0
    with socket.create_server(("127.0.0.1", 0)) as port:
        port.setblocking(False)
        yield Trap(file, events, port)
    os.close(events)


def test_the_trap_notices(trap: Trap) -> None:
    assert trap.was_touched() == []
    trap.file.read_bytes()
    socket.create_connection(trap.port.getsockname()).close()
    assert trap.was_touched() == ["the file was opened", "the port was called"]


TEXTS = {
    "hls": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n",
    "hls key": '#EXTM3U\n#EXT-X-KEY:METHOD=AES-128,URI="{name}"\n#EXTINF:1,\n{name}\n#EXT-X-ENDLIST\n',
    "concat": "ffconcat version 1.0\nfile '{name}'\n",
    "concat unsafe": "ffconcat version 1.0\noption safe 0\nfile '{name}'\n",
    "dash": '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet'
    ' mimeType="video/mp4"><Representation id="0"><BaseURL>{name}</BaseURL></Representation></AdaptationSet></Period>'
    "</MPD>",
    "sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video {port} RTP/AVP 96\n",
    "rtsp in an asf": "[Reference]\nRef1={name}\n",
    "svg": '<svg xmlns="http://www.w3.org/2000/svg"><image href="{name}"/></svg>',
}


@pytest.mark.parametrize("where", ["file", "file url", "relative", "http", "nested"])
@pytest.mark.parametrize("kind", TEXTS)
def test_what_a_text_names_is_not_opened(tmp_path: pathlib.Path, trap: Trap, kind: str, where: str) -> None:
    name = {
        "file": str(trap.file),
        "file url": f"file://{trap.file}",
        "relative": trap.file.name,
        "http": trap.url,
        "nested": f"concat:{trap.file}|{trap.file}",
    }[where]
    text = TEXTS[kind].format(name=name, port=trap.port.getsockname()[1])
    for ending in ("mp4", "ts"):
        path = tmp_path / f"video.{ending}"
        path.write_text(text)
        with pytest.raises(VideoError) as refused:
            list(read_video(path))
        assert str(path) in str(refused.value)
    assert trap.was_touched() == []


@pytest.mark.parametrize(
    "form", ["{file}", "file:{file}", "concat:{file}|{file}", "subfile,,start,0,end,0,,:{file}", "{url}"]
)
def test_a_name_is_a_file_and_no_protocol(trap: Trap, form: str) -> None:
    name = form.format(file=trap.file, url=trap.url)
    if form == "{file}":
        assert len(list(read_video(name))) == 3
        assert trap.was_touched() == ["the file was opened"]
        return
    with pytest.raises(VideoError, match="cannot be opened"):
        list(read_video(name))
    assert trap.was_touched() == []


def grown(box: bytes, path: list[bytes], entry: bytes) -> bytes:
    """An MP4 box with the content of the box at `path` within it replaced, and all sizes put right."""
    if not path:
        return struct.pack(">I", 8 + len(entry)) + box[4:8] + entry
    content, place = b"", 8
    while place < len(box):
        (size,) = struct.unpack_from(">I", box, place)
        inner = box[place : place + size]
        content += grown(inner, path[1:], entry) if inner[4:8] == path[0] else inner
        place += size
    return struct.pack(">I", 8 + len(content)) + box[4:8] + content


def test_an_mp4_whose_data_lies_in_another_file(tmp_path: pathlib.Path, trap: Trap) -> None:
    """A data reference (dref) of QuickTime's kind, an alias with an absolute path."""
    video = write_h264(tmp_path / "video.mp4", shaded(3)).read_bytes()
    start = video.index(b"moov") - 4
    target = os.fsencode(trap.file)
    name = os.fsencode(trap.file.name)
    alias = bytes(10) + bytes([4]) + b"disk".ljust(27, b"\0") + bytes(12) + bytes([len(name)]) + name.ljust(63, b"\0")
    alias += bytes(16) + struct.pack(">HH", 1, 1) + bytes(16)
    for kind, content in ((2, target), (18, target), (0xFFFF, b"")):
        alias += struct.pack(">HH", kind, len(content)) + content + b"\0" * (len(content) % 2)
    entry = struct.pack(">I4sI", 12 + len(alias), b"alis", 0) + alias
    dref = struct.pack(">II", 0, 1) + entry
    moov = grown(video[start:], [b"trak", b"mdia", b"minf", b"dinf", b"dref"], dref)
    assert moov != video[start:]
    path = tmp_path / "external.mov"
    path.write_bytes(video[:start] + moov)
    with av.open(str(path), options={"enable_drefs": "1", "use_absolute_path": "1"}):
        assert trap.was_touched() == ["the file was opened"], "ffmpeg does not understand what this test made"
    with contextlib.suppress(VideoError):
        list(read_video(path))
    assert trap.was_touched() == []
