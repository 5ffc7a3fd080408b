"""Files that are made, or damaged, to hurt: each is refused with a reason, and the others go on."""

import io
import json
import os
import pathlib
import struct
import zlib
from typing import Any

import pytest
from PIL import Image

from od_core.errors import UsageError
from pipelines import work
from pipelines.convert import record as convert_record
from pipelines.convert import shapes as convert_shapes
from tests.pipelines.conversions import do, failures, job, one_voc
from tests.pipelines.made_annotations import picture, voc_object, voc_xml, write_files
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


def test_files_of_enormous_size_and_claims_are_not_read(tmp_path: pathlib.Path, opened_files: list[str]) -> None:
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
    do(tmp_path / "in", tmp_path / "out", job())
    assert {"ok.jpg", "bomb.png"} <= set(opened_files)
    assert not {"jpeg.jpg", "zeros.jpg"} & set(opened_files)
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


def test_a_hundred_thousand_boxes_of_every_kind_in_one_image(tmp_path: pathlib.Path) -> None:
    """No step may cost the square of them: it would not end here."""
    kinds = {
        "good": "a.jpg,cat,1,2,9,9",
        "clipped": "a.jpg,cat,-1,2,9,9",
        "empty": "a.jpg,cat,5,2,5,9",
        "not usable": "a.jpg,cat,nan,2,9,9",
    }
    table = "\n".join(["filename,class,xmin,ymin,xmax,ymax", *(line for line in kinds.values() for _ in range(25_000))])
    write_files(tmp_path / "in", {"boxes.csv": table, "images/a.jpg": picture()})
    do(tmp_path / "in/boxes.csv", tmp_path / "out", job())
    images, boxes = summed_up(tmp_path / "out")
    assert images["written"] == 1
    assert boxes == {"found": 100_000, "written": 50_000, "clipped": 25_000, "dropped": 25_000, "rejected": 25_000}


def test_masks_that_are_too_many_for_a_record_are_refused_before_any_is_drawn(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(convert_shapes, "MAX_MASK_PIXELS", 3 * 40 * 30)
    annotations = [
        {"id": number, "image_id": image, "category_id": 1, "bbox": [1, 1, 5, 5], "segmentation": [[1, 1, 6, 1, 6, 6]]}
        for number, image in enumerate([1, 1, 1, 2, 2, 2, 2])
    ]
    images = [{"id": number, "file_name": f"{number}.jpg", "width": 40, "height": 30} for number in (1, 2)]
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "cat"}]}
    pictures = {f"images/{number}.jpg": picture(number) for number in (1, 2)}
    write_files(tmp_path, {"i.json": json.dumps(content), **pictures})
    do(tmp_path / "i.json", tmp_path / "out", job(masks=True, images=str(tmp_path / "images")))
    assert failures(tmp_path / "out").keys() == {"2.jpg"}
    assert failures(tmp_path / "out")["2.jpg"].startswith("its 4 masks of 40 x 30 px are more than the")
    images_count, boxes = summed_up(tmp_path / "out")
    assert (images_count["rejected"], boxes["written"], boxes["rejected"]) == (1, 3, 4)
    do(tmp_path / "i.json", tmp_path / "without", job(images=str(tmp_path / "images")))
    assert failures(tmp_path / "without") == {}


def test_a_link_that_leads_out_of_the_data_set_costs_its_image(tmp_path: pathlib.Path) -> None:
    """Of a stranger's archive, which could bring any picture of this machine into the records."""
    write_files(tmp_path, {"private/p.jpg": picture(9), "in/a.jpg": picture(1), "in/shared/b.jpg": picture(2)})
    (tmp_path / "in/b.jpg").symlink_to("shared/b.jpg")
    (tmp_path / "in/p.jpg").symlink_to(tmp_path / "private/p.jpg")
    (tmp_path / "in/all").symlink_to(tmp_path / "private")
    do(tmp_path / "in", tmp_path / "out", job(format="images"))
    said = failures(tmp_path / "out")
    assert said.keys() == {"p.jpg", "all/p.jpg"}
    for reason in said.values():
        assert f"is a link out of it, to {tmp_path}/private/p.jpg" in reason
    images, _ = summed_up(tmp_path / "out")
    assert (images["written"], images["rejected"]) == (3, 2)
    do(tmp_path / "in", tmp_path / "followed", job(format="images", follow_links=True))
    assert failures(tmp_path / "followed") == {}


def test_a_data_set_of_nothing_but_links_is_told_how_to_read_them(tmp_path: pathlib.Path) -> None:
    write_files(tmp_path, {"elsewhere/p.jpg": picture()})
    (tmp_path / "in").mkdir()
    (tmp_path / "in/p.jpg").symlink_to(tmp_path / "elsewhere/p.jpg")
    with pytest.raises(
        UsageError, match=r"none of 1 annotated images may be read\. .*is a link out of it.*--follow_links$"
    ):
        do(tmp_path / "in", tmp_path / "out", job(format="images"))
