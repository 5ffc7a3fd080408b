"""Files that are made, or damaged, to hurt: each is refused with a reason, and the others go on."""

import io
import os
import pathlib
import struct
import zlib
from typing import Any, BinaryIO

import pytest
from PIL import Image

from od_core import storage
from pipelines import work
from pipelines.convert import record as convert_record
from tests.pipelines.made_annotations import (
    picture,
    voc_object,
    voc_xml,
    write_files,
)
from tests.pipelines.test_convert import do, failures, job, one_voc
from tests.pipelines.test_convert_report import summed_up

CAT = voc_object("cat", (1, 1, 9, 9))
HUGE = 3 << 30


def png_bomb(side: int) -> bytes:
    """A PNG of a few kilobytes that claims this many pixels in both directions."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1 << 20))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_files_of_enormous_size_and_claims_are_not_read(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("bomb.png", "gif.gif", "jpeg.jpg", "zeros.jpg", "ok.jpg")
    write_files(tmp_path / "in", {f"Annotations/{name}.xml": voc_xml(name, [CAT]) for name in names})
    gif = io.BytesIO()
    Image.new("P", (1, 1)).save(gif, "GIF")
    images = {
        "bomb.png": png_bomb(60_000),
        "gif.gif": gif.getvalue()[:6] + b"\xff\xff\xff\xff" + gif.getvalue()[10:],
        "jpeg.jpg": picture(),
        "zeros.jpg": b"",
        "ok.jpg": picture(1),
    }
    write_files(tmp_path / "in/JPEGImages", images)
    for name in ("jpeg.jpg", "zeros.jpg"):  # sparse: they take no room on the disk
        os.truncate(tmp_path / "in/JPEGImages" / name, HUGE)
    opened = []
    real = storage.open_input

    def open_input(path: str) -> BinaryIO:
        opened.append(pathlib.PurePath(path).name)
        return real(path)

    monkeypatch.setattr(storage, "open_input", open_input)
    do(tmp_path / "in", tmp_path / "out", job())
    assert {"ok.jpg", "bomb.png"} <= set(opened)
    assert not {"jpeg.jpg", "zeros.jpg"} & set(opened)
    said = failures(tmp_path / "out")
    assert said.keys() == {"bomb.png", "gif.gif", "jpeg.jpg", "zeros.jpg"}
    assert said["bomb.png"].startswith("a PNG that claims 60,000 x 60,000 px, more than the 178,956,970 px")
    assert said["gif.gif"].startswith("a GIF that claims 65,535 x 65,535 px")
    for name in ("jpeg.jpg", "zeros.jpg"):
        assert said[name] == "a file of more than 511 MiB, more than any image that is decoded"
    summed_up(tmp_path / "out")


def test_a_file_that_grows_after_it_was_planned_is_not_read_to_its_end(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one_voc(tmp_path / "in", CAT)
    real = work.prepare_work

    def prepare(*arguments: Any) -> None:
        real(*arguments)
        os.truncate(tmp_path / "in/JPEGImages/a.jpg", 2000)

    monkeypatch.setattr(work, "prepare_work", prepare)
    monkeypatch.setattr(convert_record, "MAX_FILE_BYTES", 1500)
    assert len(picture()) < 1500
    do(tmp_path / "in", tmp_path / "out", job())
    assert failures(tmp_path / "out")["a.jpg"].startswith("a file of more than ")
