"""Image files of every kind give upright RGB pixels, or an ImageError that says what is wrong; never anything else."""

import concurrent.futures
import io
import struct
import warnings
import zlib
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps, JpegImagePlugin

from od_core.errors import ImageError
from od_core.images import (
    IMAGE_EXTENSIONS,
    MAX_PIXELS,
    ImageHeader,
    decode_image,
    encode_jpeg,
    encode_png,
    quiet_pillow,
    read_encoded,
    read_header,
    verify_pixels,
)
from od_core.jpeg_header import plain_jpeg_size

ORIENTATION = 0x0112
PIXELS = np.random.default_rng(7).integers(0, 256, (6, 9, 3), np.uint8)  # (H, W, 3), no two alike
GREY = PIXELS[..., 0]
SMOOTH = cv2.resize(PIXELS, (90, 60), interpolation=cv2.INTER_CUBIC)  # (60, 90, 3), for lossy formats


def saved(image: Image.Image | np.ndarray, file_format: str, **options: Any) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def oriented(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return exif


def repeated(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


def by_opencv(pixels: np.ndarray, extension: str) -> bytes:
    """RGB(A) or grey of 16 bits, which Pillow cannot write."""
    order = {3: [2, 1, 0], 4: [2, 1, 0, 3]}.get(pixels.shape[-1] if pixels.ndim == 3 else 1)
    done, encoded = cv2.imencode(extension, pixels if order is None else pixels[..., order])
    assert done
    return encoded.tobytes()


def palette_with_transparency() -> tuple[bytes, np.ndarray]:
    image = Image.fromarray(PIXELS).quantize(16)
    return saved(image, "PNG", transparency=bytes(range(16))), np.asarray(image.convert("RGB"))


def animation(file_format: str, **options: Any) -> bytes:
    later = [Image.fromarray(np.roll(PIXELS, shift, axis=0)) for shift in (1, 2)]
    return saved(PIXELS, file_format, save_all=True, append_images=later, duration=50, **options)


DEEP = np.random.default_rng(8).integers(0, 1 << 16, (6, 9, 4)).astype(np.uint16)
HIGH = (DEEP >> 8).astype(np.uint8)
HALF_SEEN = np.dstack([PIXELS, np.full((6, 9), 40, np.uint8)])
BITS = GREY > 127

LOSSLESS: dict[str, Callable[[], tuple[bytes, np.ndarray]]] = {
    "png": lambda: (saved(PIXELS, "PNG"), PIXELS),
    "png grey": lambda: (saved(GREY, "PNG"), repeated(GREY)),
    "png grey with alpha": lambda: (
        saved(Image.fromarray(np.dstack([GREY, GREY // 2]), "LA"), "PNG"),
        repeated(GREY),
    ),
    "png with alpha": lambda: (saved(HALF_SEEN, "PNG"), PIXELS),
    "png palette with transparency": palette_with_transparency,
    "png 1 bit": lambda: (saved(Image.fromarray(BITS), "PNG"), repeated(BITS * np.uint8(255))),
    "png 16-bit grey": lambda: (by_opencv(DEEP[..., 0], ".png"), repeated(HIGH[..., 0])),
    "png 16-bit": lambda: (by_opencv(DEEP[..., :3], ".png"), HIGH[..., :3]),
    "png 16-bit with alpha": lambda: (by_opencv(DEEP, ".png"), HIGH[..., :3]),
    "webp": lambda: (saved(PIXELS, "WEBP", lossless=True), PIXELS),
    "webp with alpha": lambda: (saved(HALF_SEEN, "WEBP", lossless=True, exact=True), PIXELS),
    "webp animated": lambda: (animation("WEBP", lossless=True), PIXELS),
    "gif grey": lambda: (saved(GREY, "GIF"), repeated(GREY)),
    "gif animated": lambda: (animation("GIF"), PIXELS),
    "bmp": lambda: (saved(PIXELS, "BMP"), PIXELS),
    "bmp grey": lambda: (saved(GREY, "BMP"), repeated(GREY)),
    "bmp 1 bit": lambda: (saved(Image.fromarray(BITS), "BMP"), repeated(BITS * np.uint8(255))),
    "tiff": lambda: (saved(PIXELS, "TIFF"), PIXELS),
    "tiff big-endian 16-bit grey": lambda: (
        saved(Image.frombytes("I;16B", (9, 6), DEEP[..., 0].astype(">u2").tobytes()), "TIFF"),
        repeated(HIGH[..., 0]),
    ),
    "tiff 16-bit": lambda: (by_opencv(DEEP[..., :3], ".tiff"), HIGH[..., :3]),
    "tiff compressed": lambda: (saved(PIXELS, "TIFF", compression="tiff_lzw"), PIXELS),
    "tiff cmyk": lambda: (
        saved(Image.fromarray(PIXELS).convert("CMYK"), "TIFF"),
        np.asarray(Image.fromarray(PIXELS).convert("CMYK").convert("RGB")),
    ),
    "tiff pages": lambda: (animation("TIFF"), PIXELS),
}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_their_pixels(name):
    encoded, expected = LOSSLESS[name]()
    pixels = decode_image(encoded)
    assert (pixels.dtype, pixels.flags.c_contiguous) == (np.uint8, True)
    np.testing.assert_array_equal(pixels, expected)
    assert read_header(encoded) == ImageHeader(name.split()[0], 9, 6, 1)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
def test_jpegs_by_pillow(mode, options):
    image = Image.fromarray(SMOOTH).convert(mode)
    pixels = decode_image(saved(image, "JPEG", quality=95, **options))
    expected = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape == expected.shape
    assert np.abs(pixels - expected).mean() < 3


def test_a_jpeg_with_more_pictures_inside_gives_the_first():
    encoded = saved(SMOOTH, "MPO", save_all=True, append_images=[Image.fromarray(SMOOTH[::-1])], quality=95)
    assert read_header(encoded) == ImageHeader("jpeg", 90, 60, 1)
    assert np.abs(decode_image(encoded).astype(int) - SMOOTH).mean() < 3


def test_the_given_decoder_gets_jpegs_and_nothing_else():
    asked = []

    def decode_jpeg(encoded: bytes) -> np.ndarray:
        asked.append(encoded)
        return PIXELS

    jpeg = saved(PIXELS, "JPEG")
    np.testing.assert_array_equal(decode_image(jpeg, decode_jpeg=decode_jpeg), PIXELS)
    decode_image(saved(PIXELS, "PNG"), decode_jpeg=decode_jpeg)
    assert asked == [jpeg]


def test_a_decoder_that_contradicts_the_header():
    with pytest.raises(ImageError, match=r"header says 9 x 6 px, its decoder gave pixels.shape = \(3, 9, 3\)"):
        decode_image(saved(PIXELS, "JPEG"), decode_jpeg=lambda encoded: PIXELS[:3])


# Orientation

# EXIF's Orientation -> where the first stored pixel is seen, and where the last one of the first stored row is.
SEEN_AT = {
    1: ((0, 0), (0, -1)),
    2: ((0, -1), (0, 0)),
    3: ((-1, -1), (-1, 0)),
    4: ((-1, 0), (-1, -1)),
    5: ((0, 0), (-1, 0)),
    6: ((0, -1), (-1, -1)),
    7: ((-1, -1), (0, -1)),
    8: ((-1, 0), (0, 0)),
}


def turned(file_format: str, orientation: int) -> bytes:
    options = {"lossless": True} if file_format == "WEBP" else {}
    return saved(PIXELS, file_format, exif=oriented(orientation), **options)


@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", SEEN_AT)
def test_images_come_out_upright(file_format, orientation):
    encoded = turned(file_format, orientation)
    pixels = decode_image(encoded, decode_jpeg=lambda _: PIXELS)
    first, row_end = SEEN_AT[orientation]
    np.testing.assert_array_equal(pixels[first], PIXELS[0, 0])
    np.testing.assert_array_equal(pixels[row_end], PIXELS[0, -1])
    height, width = (9, 6) if orientation >= 5 else (6, 9)
    assert pixels.shape == (height, width, 3)
    assert pixels.flags.c_contiguous
    assert read_header(encoded) == ImageHeader(file_format.lower(), width, height, orientation)


@pytest.mark.parametrize("orientation", SEEN_AT)
def test_pillows_own_jpegs_come_out_upright(orientation):
    encoded = saved(SMOOTH, "JPEG", exif=oriented(orientation))
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))))
    np.testing.assert_array_equal(decode_image(encoded), expected)


def test_exif_behind_the_pixels_of_a_png_counts():
    early = turned("PNG", 6)
    place = early.index(b"eXIf") - 4
    chunk = early[place : place + 12 + struct.unpack_from(">I", early, place)[0]]
    end = early.index(b"IEND") - 4
    late = early[:place] + early[place + len(chunk) : end] + chunk + early[end:]
    assert late != early
    assert read_header(late) == read_header(early) == ImageHeader("png", 6, 9, 6)
    np.testing.assert_array_equal(decode_image(late), decode_image(early))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_invalid_orientation_counts_as_upright(file_format, orientation):
    encoded = turned(file_format, orientation)
    assert read_header(encoded).orientation == 1
    np.testing.assert_array_equal(decode_image(encoded, decode_jpeg=lambda _: PIXELS), PIXELS)


@pytest.mark.parametrize("exif", [b"Exif\0\0", b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff", b"Exif\0\0MM"])
def test_damaged_exif_is_no_reason_to_refuse_whole_pixels(exif):
    encoded = saved(PIXELS, "JPEG", exif=exif)
    assert read_header(encoded) == ImageHeader("jpeg", 9, 6, 1)
    assert decode_image(encoded).shape == (6, 9, 3)


# Refusing


@pytest.mark.parametrize("decode", [read_header, decode_image])
@pytest.mark.parametrize(
    ("content", "looks_like"),
    [
        (b"", r"an empty file \(0 bytes\)"),
        (b"<html><body>404 Not Found</body></html>", "HTML or XML: a web page.*404"),
        (b"\n<?xml version='1.0'?><svg/>", "HTML or XML"),
        (b"quota exceeded, try later\n", "plain text .*'quota exceeded, try later'"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer: run `git lfs pull`"),
        (b"%PDF-1.7\n", "a PDF"),
        (b"PK\x03\x04\x14\0", "a ZIP archive"),
        (b"\x1f\x8b\x08\0", "a gzip file"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "a HEIC photo, which is not supported: convert it"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "an AVIF image, which is not supported: convert it"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0", "an MP4 or QuickTime video"),
        (b"RIFF\0\0\0\0AVI LIST", "an AVI video"),
        (b"\0" * 300, "300 bytes that start with zeros"),
        (b"\x01\x02\x03", r"unknown content \(it starts with 01 02 03\)"),
    ],
)
def test_what_is_no_image_is_named(decode, content, looks_like):
    with pytest.raises(ImageError, match=looks_like):
        decode(content)


def test_a_real_avif_is_named_too():
    with pytest.raises(ImageError, match="an AVIF image"):
        decode_image(saved(PIXELS, "AVIF"))


NOISE = np.random.default_rng(1).integers(0, 256, (40, 50, 3), np.uint8)

WHOLE = {
    "jpeg": lambda: saved(NOISE, "JPEG"),
    "jpeg progressive": lambda: saved(NOISE, "JPEG", progressive=True),
    "png": lambda: saved(NOISE, "PNG"),
    "png palette": lambda: saved(Image.fromarray(NOISE).quantize(256), "PNG"),
    "png 16-bit grey": lambda: by_opencv(NOISE[..., 0].astype(np.uint16) * 257, ".png"),
    "gif": lambda: saved(NOISE, "GIF"),
    "bmp": lambda: saved(NOISE, "BMP"),
    "webp": lambda: saved(NOISE, "WEBP"),
    "webp lossless": lambda: saved(NOISE, "WEBP", lossless=True),
    "tiff": lambda: saved(NOISE, "TIFF"),
    "tiff compressed": lambda: saved(NOISE, "TIFF", compression="tiff_lzw"),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_cut_off_file_fails_and_is_never_filled_in(name):
    encoded = WHOLE[name]()
    whole = decode_image(encoded)
    assert whole.shape == NOISE.shape
    for length in (*range(1, len(encoded) - 40, len(encoded) // 50), len(encoded) - 40):
        with pytest.raises(ImageError, match=f"{name.split()[0].upper()}|unknown content|plain text"):
            decode_image(encoded[:length])
    for length in range(len(encoded) - 40, len(encoded)):
        try:  # what is missing may be no more than the mark of the end
            pixels = decode_image(encoded[:length])
        except ImageError:
            continue
        np.testing.assert_array_equal(pixels, whole)


def test_the_header_of_a_cut_off_file_is_still_read():
    for name, encoded in ((name, make()) for name, make in WHOLE.items() if "tiff" not in name and "webp" not in name):
        assert read_header(encoded[: len(encoded) // 2]) == ImageHeader(name.split()[0], 50, 40, 1)


@pytest.mark.parametrize("mode", ["I", "F"])
def test_32_bit_numbers_have_no_known_range(mode):
    with pytest.raises(ImageError, match=f"a TIFF of 32-bit numbers .*mode {mode}"):
        decode_image(saved(Image.new(mode, (4, 4)), "TIFF"))


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims a size, and which has next to no pixels."""
    encoded = bytearray(saved(PIXELS, "PNG"))
    encoded[16:24] = struct.pack(">II", width, height)
    encoded[29:33] = struct.pack(">I", zlib.crc32(encoded[12:29]))
    return bytes(encoded)


def gif_claiming(width: int, height: int) -> bytes:
    encoded = bytearray(saved(GREY, "GIF"))
    encoded[6:10] = struct.pack("<HH", width, height)
    return bytes(encoded)


@pytest.mark.parametrize("decode", [read_header, decode_image])
@pytest.mark.parametrize("encoded", [png_claiming(100_000, 100_000), gif_claiming(65535, 65535)])
def test_a_dimension_bomb_is_refused_before_it_is_unpacked(decode, encoded):
    with pytest.raises(ImageError, match=r"claims .* px, more than the 178,956,970 px that are decoded: scale it down"):
        decode(encoded)


def test_the_limit_can_be_set():
    encoded = saved(PIXELS, "PNG")
    assert read_header(encoded, max_pixels=54).width == 9
    assert decode_image(encoded, max_pixels=54).shape == (6, 9, 3)
    for decode in (read_header, decode_image):
        with pytest.raises(ImageError, match="claims 9 x 6 px, more than the 53 px"):
            decode(encoded, max_pixels=53)
    assert read_header(png_claiming(100_000, 100_000), max_pixels=10**10).height == 100_000


def test_nothing_is_read_of_a_file_larger_than_any_image(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(b"0123456789")
    monkeypatch.setattr("od_core.images.MAX_FILE_BYTES", 10)
    assert read_encoded(str(tmp_path / "a.png")) == b"0123456789"
    (tmp_path / "a.png").write_bytes(b"0123456789a")
    with pytest.raises(ImageError, match="a file of 11 bytes, which is more than 0 MiB"):
        read_encoded(str(tmp_path / "a.png"))


def test_the_limit_is_where_pillow_refuses():
    assert Image.MAX_IMAGE_PIXELS is not None
    assert MAX_PIXELS == 2 * Image.MAX_IMAGE_PIXELS


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([*LOSSLESS, "jpeg"]),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), min_size=1, max_size=4),
)
def test_any_damage_gives_an_image_or_an_image_error(name, damage):
    encoded = bytearray(saved(PIXELS, "JPEG", exif=oriented(6)) if name == "jpeg" else LOSSLESS[name]()[0])
    for place, value in damage:
        encoded[int(place * len(encoded))] = value
    try:
        header = read_header(bytes(encoded), max_pixels=10_000)
        pixels = decode_image(bytes(encoded), max_pixels=10_000)
    except ImageError:
        return
    assert pixels.shape == (header.height, header.width, 3)
    assert pixels.dtype == np.uint8


def verdict(check: Callable[[bytes], object], encoded: bytes) -> str:
    try:
        check(encoded)
    except ImageError as error:
        return str(error)
    return "whole"


SPECKLES = np.random.default_rng(0).integers(0, 256, (29, 37, 3), np.uint8)
JPEGS = [
    saved(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (29, 37, 4), np.uint8)).convert(mode),
        "JPEG",
        **options,
    )
    for mode in ("RGB", "L", "CMYK")
    for options in ({}, {"progressive": True, "subsampling": 0}, {"restart_marker_blocks": 2})
]


@settings(max_examples=500, deadline=None)
@given(
    st.sampled_from(JPEGS),
    st.floats(0, 1),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=3),
)
def test_verifying_a_jpeg_finds_the_damage_that_decoding_finds(whole, kept, damage):
    encoded = bytearray(whole[: max(4, int(kept * 1.5 * len(whole)))])
    for place, value in damage:
        encoded[int(place**2 * len(encoded))] = value  # often in the header
    damaged = bytes(encoded)
    assert verdict(verify_pixels, damaged) == verdict(decode_image, damaged)
    size = plain_jpeg_size(damaged)
    if size is not None:  # then Pillow says the same
        with quiet_pillow:
            assert JpegImagePlugin.JpegImageFile(io.BytesIO(damaged)).size == size


@pytest.mark.parametrize("name", LOSSLESS)
def test_verifying_takes_what_decoding_takes_and_refuses_what_is_cut_off(name):
    encoded = LOSSLESS[name]()[0]
    assert verdict(verify_pixels, encoded) == "whole"
    cut = encoded[: len(encoded) // 2]
    assert verdict(verify_pixels, cut) == verdict(decode_image, cut)


def test_a_jpeg_header_without_pillow():
    assert plain_jpeg_size(JPEGS[0]) == plain_jpeg_size(JPEGS[1]) == (37, 29)
    assert plain_jpeg_size(saved(PIXELS, "JPEG", exif=oriented(6))) is None  # its orientation is for Pillow
    assert plain_jpeg_size(b"\xff\xd8") is None


# Warnings


def noisy() -> bytes:
    """A JPEG whose EXIF makes Pillow warn: a tag whose value lies behind the end."""
    return saved(PIXELS, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0" + struct.pack("<HHII", 0x010E, 2, 500, 40))


def test_pillow_warns_and_nothing_of_it_escapes():
    with pytest.warns(UserWarning, match="Truncated File Read|Corrupt EXIF"):
        Image.open(io.BytesIO(noisy())).getexif()
    with pytest.warns(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(png_claiming(10_000, 10_000)))
    assert read_header(noisy()).width == 9  # warnings are errors here
    assert decode_image(noisy()).shape == (6, 9, 3)
    assert read_header(png_claiming(10_000, 10_000)).width == 10_000


def test_filters_are_as_before_whatever_the_threads_did():
    before = list(warnings.filters)
    content = [noisy(), saved(PIXELS, "PNG"), b"<html>", palette_with_transparency()[0]] * 100

    def attempt(encoded: bytes) -> int:
        try:
            return len(decode_image(encoded))
        except ImageError:
            return 0

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(attempt, content)) == [6, 6, 0, 6] * 100
    assert list(warnings.filters) == before
    with pytest.warns(UserWarning, match="Truncated File Read|Corrupt EXIF"):
        Image.open(io.BytesIO(noisy())).getexif()


# Encoding


@pytest.mark.parametrize("shape", [(1, 1, 3), (6, 9, 3), (300, 401, 3)])
def test_encode_png_keeps_every_pixel(shape):
    pixels = np.random.default_rng(2).integers(0, 256, shape, np.uint8)
    for image in (pixels, pixels[::-1, ::-1], np.asfortranarray(pixels)):
        encoded = encode_png(image)
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encoded))), image)
        np.testing.assert_array_equal(decode_image(encoded), image)


def test_encode_jpeg_keeps_the_colour_of_every_pixel():
    lines = np.full((40, 60, 3), 128, np.uint8)
    lines[:, 9] = lines[15] = (230, 159, 0)  # one pixel wide: with colours halved, it would turn grey
    for image in (lines, lines[::-1, ::-1], SMOOTH):
        decoded = decode_image(encode_jpeg(image, quality=95))
        assert np.abs(decoded.astype(int) - image).mean() < 4
    assert read_header(encode_jpeg(lines)) == ImageHeader("jpeg", 60, 40, 1)


def test_encode_jpeg_is_repeatable_and_smaller_at_lower_quality():
    assert encode_jpeg(SMOOTH) == encode_jpeg(SMOOTH.copy()) == encode_jpeg(SMOOTH, quality=90)
    assert len(encode_jpeg(SMOOTH, quality=50)) < len(encode_jpeg(SMOOTH))


# Real photos


def test_extensions_are_lower_case_with_a_dot():
    assert {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff"} <= IMAGE_EXTENSIONS
    assert all(extension == extension.lower() and extension[0] == "." for extension in IMAGE_EXTENSIONS)


NO_IMAGE = {
    "image1_truncated.jpg": "cut-off JPEG .1024 x 636 px",
    "not_an_image.jpg": "HTML or XML",
    "empty.jpg": "an empty file",
}


@pytest.mark.shared
def test_real_photos_decode_or_fail_where_they_should(shared):
    decoded = set()
    for path in sorted((shared / "data/photos").iterdir()):
        if path.suffix in IMAGE_EXTENSIONS and path.name not in NO_IMAGE:
            header, pixels = read_header(path.read_bytes()), decode_image(path.read_bytes())
            assert pixels.shape == (header.height, header.width, 3), path.name
            decoded.add(header.format)
    assert decoded == {"jpeg", "png", "gif", "bmp", "webp", "tiff"}
    for name, message in NO_IMAGE.items():
        with pytest.raises(ImageError, match=message):
            decode_image((shared / "data/photos" / name).read_bytes())


@pytest.mark.shared
def test_a_png_named_jpg_is_read_as_what_it_is(shared):
    named = (shared / "data/photos/chelsea_png_named.jpg").read_bytes()
    assert read_header(named).format == "png"
    np.testing.assert_array_equal(decode_image(named), decode_image((shared / "data/photos/chelsea.png").read_bytes()))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("names", "stored"),
    [
        (["Landscape_0", "Landscape_3", "Landscape_6", "Landscape_8"], [1, 3, 6, 8]),
        (["Portrait_5", "Portrait_6"], [5, 6]),
    ],
)
def test_photos_taken_at_any_angle_look_alike(shared, names, stored):
    content = [(shared / "data/photos" / f"{name}.jpg").read_bytes() for name in names]
    assert [read_header(encoded).orientation for encoded in content] == stored
    upright, *others = (decode_image(encoded).astype(int) for encoded in content)
    for other in others:
        # The photos were encoded anew after turning, and have their number written into them.
        assert np.abs(upright - other).mean() < 5
        assert np.abs(upright - other[::-1, ::-1]).mean() > 20
