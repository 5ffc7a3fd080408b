"""Every frame, its index, time and pixels, whatever the container; damage told, never swallowed; nothing left open."""

import fractions
import gc
import io
import logging
import math
import os
import pathlib
import shutil
import threading
import types

import av
import numpy as np
import pytest

from od_core.errors import VideoError
from od_core.video.file import open_video
from od_core.video.frames import MAX_PIXELS, VIDEO_EXTENSIONS, VideoDamage, VideoFrame, describe_video, read_video
from tests.od_core.video.video_files import (
    Elements,
    assert_same_frames,
    cut_off,
    damages_of,
    ffprobe_frames,
    frames_of,
    noisy,
    numbers,
    numbers_of_elements,
    packets,
    shaded,
    with_zeros,
    write_audio,
    write_h264,
    write_video,
    write_with_cover,
)

B_FRAMES = {"bf": "2", "g": "12", "qmin": "2", "qmax": "3"}


class TestFrames:
    @pytest.mark.parametrize("ending", ["mp4", "mkv", "mov", "avi", "ts", "mpg"])
    def test_every_container_gives_every_frame_in_order(self, tmp_path: pathlib.Path, ending: str) -> None:
        codec = {"mpg": "mpeg2video", "ts": "mpeg2video"}.get(ending, "mpeg4")
        path = write_video(tmp_path / f"video.{ending}", shaded(30), codec, codec_options=B_FRAMES)
        elements = list(read_video(path))
        assert damages_of(elements) == []
        assert [frame.index for frame in elements] == list(range(30))
        assert numbers(elements) == list(range(30))

    def test_a_pause_of_the_disk_or_the_machine_is_waited_for(self, tmp_path: pathlib.Path) -> None:
        path = write_video(tmp_path / "video.avi", shaded(3))
        with open_video(path, MAX_PIXELS) as video:
            assert (video.container.open_timeout, video.container.read_timeout) == (None, None)

    @pytest.mark.parametrize("ending", ["mp4", "mkv", "ts"])
    def test_h264_with_b_frames_is_reordered_with_its_times(self, tmp_path: pathlib.Path, ending: str) -> None:
        path = write_h264(tmp_path / f"video.{ending}", shaded(30), "bframes=3:b-adapt=0:keyint=12:open-gop=1")
        elements = list(read_video(path))
        assert numbers(elements) == list(range(30))
        assert np.diff([frame.timestamp_us for frame in elements]).tolist() == [40_000] * 29

    def test_images_are_contiguous_writable_rgb_and_independent(self, tmp_path: pathlib.Path) -> None:
        image = np.zeros((49, 65, 3), np.uint8)
        image[..., 0] = 200
        # FFV1 in RGB keeps the numbers, and odd sizes pad the rows inside ffmpeg.
        path = write_video(tmp_path / "red.mkv", [image] * 3, "ffv1", pixel_format="bgr0")
        elements = list(read_video(path))
        for frame in elements:
            np.testing.assert_array_equal(frame.image, image)
            assert frame.image.dtype == np.uint8
            assert frame.image.flags.c_contiguous
            frame.image[:] = 0  # must not reach the next frame through the decoder's memory
        assert len({frame.image.ctypes.data for frame in elements}) == 3

    def test_chosen_times_come_back_exactly(self, tmp_path: pathlib.Path) -> None:
        times, unit = [0, 1001, 2002, 2003, 90_017, 90_018], fractions.Fraction(1, 30_000)
        path = write_video(tmp_path / "variable.mp4", shaded(6), times=times, time_base=unit)
        halves_up = [math.floor(time * unit * 1_000_000 + fractions.Fraction(1, 2)) for time in times]
        assert [frame.timestamp_us for frame in read_video(path)] == halves_up
        assert halves_up[1:4] == [33_367, 66_733, 66_767]

    def test_half_a_microsecond_is_rounded_up(self, tmp_path: pathlib.Path) -> None:
        unit = fractions.Fraction(1, 80_000)  # 12.5 microseconds
        path = write_h264(tmp_path / "fine.mov", shaded(3), times=[0, 1, 3], time_base=unit)
        assert describe_video(path).time_base == unit
        assert [frame.timestamp_us for frame in read_video(path)] == [0, 13, 38]

    def test_a_raw_stream_has_no_times(self, tmp_path: pathlib.Path) -> None:
        path = write_h264(tmp_path / "video.h264", shaded(10))
        elements = list(read_video(path))
        assert numbers(elements) == list(range(10))
        assert {frame.timestamp_us for frame in elements} == {None}

    def test_byte_positions_are_those_of_the_packets(self, tmp_path: pathlib.Path) -> None:
        path = write_video(tmp_path / "video.mp4", shaded(8), codec_options={"bf": "0"})
        assert [frame.byte_position for frame in read_video(path)] == [position for position, _ in packets(path)]

    def test_the_name_does_not_matter(self, tmp_path: pathlib.Path) -> None:
        path = write_video(tmp_path / "video.mkv", shaded(4))
        odd = path.rename(tmp_path / "fünf % #1.txt")
        assert numbers(read_video(str(odd))) == [0, 1, 2, 3]

    def test_10_bit_video_is_converted_as_opencv_does(self, tmp_path: pathlib.Path) -> None:
        cv2 = pytest.importorskip("cv2")
        for size in ({"width": 64, "height": 48}, {"width": 66, "height": 49}):
            path = tmp_path / f"{size['height']}.mkv"
            for pixel_format in ("yuv420p10le", "yuv420p", "yuv444p"):
                write_video(path, noisy(3, **size), "ffv1", pixel_format=pixel_format)
                assert_pixels_as_opencv(cv2, path)

    def test_a_change_of_size_in_the_middle(self, tmp_path: pathlib.Path) -> None:
        small = write_h264(tmp_path / "small.ts", shaded(6))
        large = write_h264(tmp_path / "large.ts", shaded(6, width=128, height=96))
        both = tmp_path / "both.ts"
        both.write_bytes(small.read_bytes() + large.read_bytes() + small.read_bytes())
        elements = list(read_video(both))
        assert damages_of(elements) == []
        assert numbers(elements) == [*range(6)] * 3
        assert [frame.image.shape for frame in elements] == [(48, 64, 3)] * 6 + [(96, 128, 3)] * 6 + [(48, 64, 3)] * 6

    def test_an_empty_packet_is_no_frame_and_no_damage(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "dropped.nut"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            encoded = [stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")) for image in shaded(8)]
            whole = [packet for group in [*encoded, stream.encode(None)] for packet in group]
            for number, packet in enumerate(whole):
                if number == 7:  # the last, as nothing then refers to it
                    packet, dropped = av.Packet(0), packet
                    packet.pts, packet.dts, packet.time_base = dropped.pts, dropped.dts, dropped.time_base
                    packet.stream = stream
                out.mux(packet)
        with av.open(str(path)) as container:
            assert 0 in [packet.size for packet in container.demux(video=0)][:-1]
        elements = list(read_video(path))
        assert damages_of(elements) == []
        assert len(elements) == 7

    def test_reading_twice_gives_the_same(self, tmp_path: pathlib.Path) -> None:
        path = write_h264(tmp_path / "video.mkv", noisy(12))
        assert_same_frames(list(read_video(path)), list(read_video(path)))


class TestUpright:
    @pytest.fixture
    def corner(self) -> np.ndarray:
        """White in the upper left corner only, so that all eight positions differ."""
        image = np.zeros((32, 64, 3), np.uint8)
        image[:8, :16] = 255
        return image

    @pytest.mark.parametrize("degrees", [0, 90, 180, 270])
    def test_rotation_is_applied(self, tmp_path: pathlib.Path, corner: np.ndarray, degrees: int) -> None:
        lying = write_video(tmp_path / "lying.mp4", [corner] * 2)
        turned = write_video(tmp_path / "turned.mp4", [corner] * 2, turn=(degrees, False, False))
        # Display matrices and np.rot90 count counterclockwise, people clockwise.
        expected = np.rot90(frames_of(list(read_video(lying)))[0].image, degrees // 90)
        for frame in read_video(turned):
            np.testing.assert_array_equal(frame.image, expected)
            assert frame.image.flags.c_contiguous
        told = describe_video(turned)
        assert (told.rotation, told.height, told.width) == (-degrees % 360, *expected.shape[:2])

    @pytest.mark.parametrize(("hflip", "vflip"), [(True, False), (False, True), (True, True)])
    def test_mirroring_is_applied(self, tmp_path: pathlib.Path, corner: np.ndarray, hflip: bool, vflip: bool) -> None:
        lying = write_video(tmp_path / "lying.mp4", [corner])
        mirrored = write_video(tmp_path / "mirrored.mp4", [corner], turn=(0, hflip, vflip))
        expected = frames_of(list(read_video(lying)))[0].image[:: -1 if vflip else 1, :: -1 if hflip else 1]
        np.testing.assert_array_equal(frames_of(list(read_video(mirrored)))[0].image, expected)

    def test_exif_in_motion_jpeg(self, tmp_path: pathlib.Path, corner: np.ndarray) -> None:
        pil = pytest.importorskip("PIL.Image")
        exif = pil.Exif()
        exif[0x0112] = 6  # Orientation: turn clockwise by 90 degrees
        encoded = io.BytesIO()
        pil.fromarray(corner).save(encoded, "JPEG", exif=exif)
        path = tmp_path / "camera.mov"
        with av.open(str(path), "w") as out:
            stream = out.add_stream("mjpeg", rate=10)
            stream.height, stream.width, stream.pix_fmt = 32, 64, "yuvj420p"
            stream.codec_context.open()
            packet = av.Packet(encoded.getvalue())
            packet.pts = packet.dts = 0
            packet.time_base, packet.stream = fractions.Fraction(1, 10), stream
            out.mux(packet)
        # PyAV has no name for EXIF among a frame's side data, and raises if asked for any of it.
        (frame,) = read_video(path)
        assert frame.image.shape == (64, 32, 3)
        assert frame.image[:16, -8:].min() > 200
        assert frame.image[20:].max() < 50


class TestStreams:
    def test_the_first_of_two_video_streams_is_read(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "two.mkv"
        with av.open(str(path), "w") as out:
            streams = [out.add_stream("mpeg4", rate=10) for _ in range(2)]
            for stream, width in zip(streams, (64, 128), strict=True):
                stream.width, stream.height, stream.pix_fmt = width, 48, "yuv420p"
            for number in range(5):
                for stream in streams:
                    image = shaded(5, width=stream.width)[number]
                    out.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
            for stream in streams:
                out.mux(stream.encode(None))
        assert [frame.image.shape for frame in read_video(path)] == [(48, 64, 3)] * 5
        assert describe_video(path).video_streams == 2

    def test_a_cover_picture_is_no_video(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "cover.mp4"
        write_with_cover(path, shaded(3))
        elements = list(read_video(path))
        assert [frame.image.shape for frame in elements] == [(48, 64, 3)] * 3
        assert describe_video(path).video_streams == 1

    def test_a_song_with_a_cover_holds_no_video(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "song.mp4"
        write_with_cover(path, [])
        with pytest.raises(VideoError, match=r"holds no video.*cover picture"):
            next(read_video(path))

    def test_sound_alone_is_refused_with_its_streams(self, tmp_path: pathlib.Path) -> None:
        path = write_audio(tmp_path / "sound.mp4")
        for use in (lambda: next(read_video(path)), lambda: describe_video(path)):
            with pytest.raises(VideoError, match=r"sound\.mp4: holds no video; its streams are: audio"):
                use()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("videos")
    for ending in ("mkv", "ts", "mp4"):
        # A new group every 10 frames ends the aftermath of damage.
        write_h264(
            folder / f"video.{ending}",
            noisy(40),
            "keyint=10:min-keyint=10:scenecut=0:bframes=2",
            container_options={"movflags": "faststart"} if ending == "mp4" else None,
        )
    return folder


class TestDamage:
    """Undamaged and damaged copies of one video are read and compared."""

    @pytest.mark.parametrize("ending", ["mkv", "ts", "mp4"])
    def test_zeros_in_the_middle(self, folder: pathlib.Path, ending: str) -> None:
        whole = folder / f"video.{ending}"
        intact = list(read_video(whole))
        assert damages_of(intact) == []
        position, size = packets(whole)[11]
        # Half of this packet and half of the next; what makes up an H.264 packet may well decode, the seam does not.
        elements = list(read_video(with_zeros(whole, position + size // 2, size)))
        first, *_ = damages_of(elements)
        assert first.after_index is not None
        assert 5 <= first.after_index <= 13
        assert first.message
        assert intact[10].timestamp_us <= (first.timestamp_us or math.inf) <= intact[16].timestamp_us
        # Until then, and again from the next group on, nothing differs but the index.
        frames = frames_of(elements)
        before = first.after_index + 1
        assert elements[before] is first
        assert_same_frames(frames[:before], intact[:before])
        for one, other in zip(frames[-10:], intact[-10:], strict=True):
            np.testing.assert_array_equal(one.image, other.image)
        assert [frame.index for frame in frames] == list(range(len(frames)))

    def test_faults_with_no_good_frame_between_are_one_damage(self, folder: pathlib.Path) -> None:
        whole = folder / "video.mp4"
        content = bytearray(whole.read_bytes())
        for position, size in packets(whole)[20:]:
            content[position : position + size] = bytes(size)
        spoilt = folder / "spoilt.mp4"
        spoilt.write_bytes(content)
        elements = list(read_video(spoilt))
        intact = list(read_video(whole))
        assert_same_frames(elements[:-1], intact[:20])
        assert elements[-1]._replace(message="") == VideoDamage(19, intact[20].timestamp_us, "")

    def test_faults_with_good_frames_between_are_two_damages(self, folder: pathlib.Path) -> None:
        whole = folder / "video.mp4"
        content = bytearray(whole.read_bytes())
        for position, size in (packets(whole)[number] for number in (9, 29)):  # nothing refers to the last of a group
            content[position : position + size] = bytes(size)
        spoilt = folder / "spoilt_twice.mp4"
        spoilt.write_bytes(content)
        elements = list(read_video(spoilt))
        assert len(frames_of(elements)) == 38
        first, second = damages_of(elements)
        assert first.timestamp_us < second.timestamp_us
        assert second.after_index >= first.after_index + 18

    def test_frames_that_the_decoder_patched_up_silently(self, tmp_path: pathlib.Path) -> None:
        options = "slices=4:bframes=0:keyint=10:min-keyint=10:scenecut=0"
        whole = write_h264(tmp_path / "slices.mp4", noisy(30), options)
        content = bytearray(whole.read_bytes())
        for position, _ in packets(whole)[11:15]:  # with each slice its length, then its kind
            second = position + 4 + int.from_bytes(content[position : position + 4])
            content[second + 4] = 12  # filler data, which no decoder looks at
        patched = tmp_path / "patched.mp4"
        patched.write_bytes(content)
        with av.logging.Capture() as log, av.open(str(patched)) as container:
            container.streams.video[0].thread_type = "NONE"
            assert [frame.is_corrupt for frame in container.decode(video=0)][10:16] == [False, *[True] * 4, False]
        assert [line for level, _, line in log if level <= av.logging.ERROR] == []
        elements = list(read_video(patched))
        assert numbers_of_elements(elements) == [*range(11), None, *range(11, 30)]
        assert damages_of(elements)[0].after_index == 10

    def test_a_failure_without_a_word(self, tmp_path: pathlib.Path) -> None:
        whole = write_video(tmp_path / "video.mov", noisy(8), "qtrle", pixel_format="rgb24")
        content = bytearray(whole.read_bytes())
        position, _ = packets(whole)[5]
        content[position : position + 8] = b"\xff" * 8
        whole.write_bytes(content)
        elements = list(read_video(whole))
        assert numbers_of_elements(elements) == [0, 1, 2, 3, 4, None, 5, 6]
        assert "Invalid data" in elements[5].message

    def test_damage_at_the_start(self, folder: pathlib.Path) -> None:
        whole = folder / "video.mp4"
        position, _ = packets(whole)[0]
        until, _ = packets(whole)[10]
        elements = list(read_video(with_zeros(whole, position, until - position)))
        assert isinstance(elements[0], VideoDamage)
        assert elements[0].after_index is None
        assert elements[0].timestamp_us == next(read_video(whole)).timestamp_us
        for one, other in zip(elements[1:], list(read_video(whole))[10:], strict=True):
            np.testing.assert_array_equal(one.image, other.image)

    @pytest.mark.parametrize("inside", [True, False], ids=["inside_a_packet", "between_packets"])
    @pytest.mark.parametrize("ending", ["mkv", "mp4"])
    def test_a_file_cut_off(self, folder: pathlib.Path, ending: str, inside: bool) -> None:
        whole = folder / f"video.{ending}"
        position, size = packets(whole)[20]
        elements = list(read_video(cut_off(whole, position + (size // 2 if inside else 0))))
        (damage,) = damages_of(elements)
        assert elements.index(damage) == len(elements) - 1
        assert damage.after_index == len(elements) - 2
        assert "cut off" in damage.message
        assert_same_frames(elements[:-1], list(read_video(whole))[: len(elements) - 1])
        assert 18 <= len(elements) - 1 <= 20

    def test_a_transport_stream_cut_off_inside_a_packet(self, folder: pathlib.Path) -> None:
        whole = folder / "video.ts"
        position, size = packets(whole)[20]
        elements = list(read_video(cut_off(whole, position + size // 2)))
        assert len(damages_of(elements)) == 1
        assert 18 <= len(frames_of(elements)) <= 21

    def test_not_one_frame_left(self, folder: pathlib.Path) -> None:
        whole = folder / "video.mp4"
        (start, _), (last, size) = packets(whole)[0], packets(whole)[-1]
        damaged = with_zeros(whole, start, last + size - start)
        for use in (lambda: list(read_video(damaged)), lambda: describe_video(damaged)):
            with pytest.raises(VideoError, match=r"zeros_at.*: not one frame of its h264 video could be decoded. The "):
                use()

    def test_an_mp4_without_its_index(self, tmp_path: pathlib.Path) -> None:
        whole = write_h264(tmp_path / "video.mp4", noisy(10))
        with pytest.raises(VideoError, match="damaged or cut off: moov atom not found"):
            next(read_video(cut_off(whole, whole.stat().st_size // 2)))

    def test_a_lossless_cut_at_an_open_group_is_no_damage(self, tmp_path: pathlib.Path) -> None:
        whole = write_h264(
            tmp_path / "whole.mkv", noisy(60), "open-gop=1:keyint=20:bframes=3:b-adapt=0:ref=4:scenecut=0"
        )
        cut = tmp_path / "cut.mkv"
        with av.open(str(whole)) as source, av.open(str(cut), "w") as out:
            stream = out.add_stream_from_template(source.streams.video[0])
            keyframes = 0
            for packet in source.demux(video=0):
                keyframes += packet.is_keyframe
                if keyframes >= 2 and packet.size:
                    packet.stream = stream
                    out.mux(packet)
        # ffmpeg does complain: of references to before the cut that the stream asks to forget.
        with av.logging.Capture() as log, av.open(str(cut)) as container:
            av.logging.set_level(av.logging.ERROR)
            decoded = len(list(container.decode(video=0)))
        assert any("mmco: unref short failure" in line for _, _, line in log)
        elements = list(read_video(cut))
        assert damages_of(elements) == []
        assert len(elements) == decoded > 35

    def test_the_faults_of_one_video_are_not_blamed_on_another(self, folder: pathlib.Path) -> None:
        whole = folder / "video.mkv"
        position, size = packets(whole)[11]
        damaged = with_zeros(whole, position + size // 4, size * 2)
        paths = [whole, damaged, whole, damaged]
        alone = {path: list(read_video(path)) for path in (whole, damaged)}
        assert damages_of(alone[damaged])
        found: dict[int, Elements] = {}

        def read(number: int) -> None:
            found[number] = [element for _ in range(5) for element in read_video(paths[number])]

        threads = [threading.Thread(target=read, args=(number,)) for number in range(len(paths))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for number, path in enumerate(paths):
            assert damages_of(found[number]) == damages_of(alone[path]) * 5
            assert len(found[number]) == len(alone[path]) * 5

    def test_videos_read_in_turn_by_one_thread_keep_their_faults_apart(self, folder: pathlib.Path) -> None:
        whole = folder / "video.mkv"
        position, size = packets(whole)[11]
        damaged = with_zeros(whole, position + size // 4, size * 2)
        readers = [read_video(whole), read_video(damaged), read_video(whole)]
        found: list[list[VideoFrame | VideoDamage]] = [[], [], []]
        while any(readers):
            for number, reader in enumerate(readers):
                if reader is not None and (element := next(reader, None)) is not None:
                    found[number].append(element)
                else:
                    readers[number] = None
        assert damages_of(found[0]) == damages_of(found[2]) == []
        assert damages_of(found[1]) == damages_of(list(read_video(damaged)))


class TestRefused:
    def test_a_missing_file(self, tmp_path: pathlib.Path) -> None:
        for use in (lambda path: next(read_video(path)), describe_video):
            with pytest.raises(VideoError, match=r"nowhere\.mp4: cannot be opened: No such file"):
                use(tmp_path / "nowhere.mp4")

    def test_what_is_no_regular_file(self, tmp_path: pathlib.Path) -> None:
        pipe = tmp_path / "pipe.mp4"
        os.mkfifo(pipe)
        empty = tmp_path / "empty.mp4"
        empty.touch()
        for path, word in ((pipe, "a named pipe"), (tmp_path, "a folder"), ("/dev/zero", "a device"), (empty, "empty")):
            with pytest.raises(VideoError, match=word) as caught:
                next(read_video(path))
            assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            ("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{video}\n#EXT-X-ENDLIST\n", "is a playlist"),
            ("ffconcat version 1.0\nfile '{video}'\n", "is a playlist"),
            (
                "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
                "is a playlist",
            ),
            ("This is a letter, and no video.\n" * 50, "no video that ffmpeg knows"),
        ],
        ids=["hls", "concat", "sdp", "text"],
    )
    @pytest.mark.parametrize("ending", ["mp4", "m3u8", "txt"])
    def test_texts_and_playlists(self, tmp_path: pathlib.Path, content: str, words: str, ending: str) -> None:
        video = write_video(tmp_path / "video.mpg", shaded(3), "mpeg2video")
        path = tmp_path / f"named.{ending}"
        path.write_text(content.format(video=video))
        with pytest.raises(VideoError, match=words) as caught:
            next(read_video(path))
        assert str(path) in str(caught.value)

    def test_a_picture(self, tmp_path: pathlib.Path) -> None:
        image = pytest.importorskip("PIL.Image").fromarray(shaded(1)[0])
        encoded = io.BytesIO()
        image.save(encoded, "JPEG")
        (tmp_path / "picture.mp4").write_bytes(encoded.getvalue())
        with pytest.raises(VideoError, match=r"expected a video, got a picture.*jpeg_pipe"):
            next(read_video(tmp_path / "picture.mp4"))

    def test_frames_above_the_limit(self, tmp_path: pathlib.Path) -> None:
        path = write_h264(tmp_path / "video.mp4", shaded(3, width=640, height=480))
        assert len(list(read_video(path, max_pixels=640 * 480))) == 3
        # One pixel below, and so far below that the decoder itself is told to refuse.
        for limit in (640 * 480 - 1, 100):
            with pytest.raises(VideoError, match=rf"video\.mp4: has frames of 640x480.*limit is {limit}\."):
                next(read_video(path, max_pixels=limit))

    @pytest.mark.parametrize("size", [(80, 64), (640, 480)])
    def test_frames_that_grow_above_the_limit(self, tmp_path: pathlib.Path, size: tuple[int, int]) -> None:
        small = write_h264(tmp_path / "small.ts", shaded(4))
        large = write_h264(tmp_path / "large.ts", shaded(4, width=size[0], height=size[1]))
        small.write_bytes(small.read_bytes() + large.read_bytes())
        reader = read_video(small, max_pixels=64 * 48)
        assert numbers(next(reader) for _ in range(2)) == [0, 1]
        with pytest.raises(VideoError, match=f"has frames of {size[0]}x{size[1]}"):
            list(reader)

    def test_the_limit_lets_8k_pass(self) -> None:
        assert MAX_PIXELS >= 2 * 7680 * 4320


def open_files() -> set[str]:
    return {entry.name for entry in pathlib.Path("/proc/self/fd").iterdir()}


class TestClosing:
    def test_nothing_stays_open(self, tmp_path: pathlib.Path) -> None:
        path = write_h264(tmp_path / "video.mkv", noisy(20))
        before = open_files()
        list(read_video(path))
        describe_video(path)
        assert open_files() == before
        reader = read_video(path)
        assert open_files() == before  # opened when first asked
        frame = next(reader)
        assert len(open_files()) == len(before) + 1
        reader.close()
        assert open_files() == before
        assert frame.image.shape == (64, 96, 3)

    def test_frames_leave_memory_without_waiting_for_the_garbage_collector(self, tmp_path: pathlib.Path) -> None:
        path = write_video(tmp_path / "video.mp4", shaded(30), turn=(90, False, False))
        gc.collect()
        gc.disable()
        try:
            assert sum(1 for _ in read_video(path)) == 30
            assert [thing for thing in gc.get_objects() if isinstance(thing, av.VideoFrame)] == []
        finally:
            gc.enable()

    def test_nothing_stays_open_after_an_error(self, tmp_path: pathlib.Path) -> None:
        path = write_h264(tmp_path / "video.mkv", noisy(20))
        text = tmp_path / "text.mp4"
        text.write_text("no video")
        before = open_files()
        for refused in (text, tmp_path, write_audio(tmp_path / "sound.mp4")):
            with pytest.raises(VideoError):
                next(read_video(refused))
            assert open_files() == before
        with pytest.raises(VideoError):
            next(read_video(path, max_pixels=100))
        assert open_files() == before

    def test_other_logging_is_left_alone(self, tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture) -> None:
        path = write_h264(tmp_path / "video.mkv", noisy(20))
        position, size = packets(path)[10]
        with caplog.at_level(logging.DEBUG):
            assert damages_of(list(read_video(with_zeros(path, position, size))))
        assert caplog.records == []


class TestDescribe:
    def test_what_it_tells(self, tmp_path: pathlib.Path) -> None:
        path = write_video(tmp_path / "video.mp4", shaded(25))
        found = describe_video(path)
        assert found.container.startswith("mov,mp4")
        assert (found.codec, found.width, found.height, found.rotation) == ("mpeg4", 64, 48, 0)
        assert found.average_rate == 25
        assert (found.duration_us, found.declared_frames) == (1_000_000, 25)
        assert found.size_bytes == path.stat().st_size
        assert found.video_streams == 1

    def test_what_is_not_declared(self, tmp_path: pathlib.Path) -> None:
        found = describe_video(write_h264(tmp_path / "video.ts", shaded(5)))
        assert (found.codec, found.declared_frames, found.time_base) == ("h264", None, fractions.Fraction(1, 90_000))

    def test_a_title_in_an_old_encoding(self, tmp_path: pathlib.Path) -> None:
        path = tmp_path / "video.avi"
        with av.open(str(path), "w") as out:
            out.metadata["title"] = "Caf+"
            stream = out.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            out.mux(stream.encode(av.VideoFrame.from_ndarray(shaded(1)[0], format="rgb24")))
            out.mux(stream.encode(None))
        assert b"Caf+" in path.read_bytes()
        path.write_bytes(path.read_bytes().replace(b"Caf+", "Café".encode("latin-1")))
        assert len(list(read_video(path))) == 1


def test_extensions_are_lower_case_with_the_dot() -> None:
    assert {".mp4", ".mkv", ".mov", ".avi", ".ts", ".mpg", ".wmv", ".webm"} <= VIDEO_EXTENSIONS
    assert all(ending.startswith(".") and ending == ending.lower() for ending in VIDEO_EXTENSIONS)
    assert not VIDEO_EXTENSIONS & {".gif", ".jpg", ".png", ".m3u8", ".txt"}


def assert_pixels_as_opencv(cv2: types.ModuleType, path: pathlib.Path) -> None:
    """OpenCV turns rotated videos upright by itself, and gives BGR."""
    capture = cv2.VideoCapture(str(path))
    for frame in read_video(path):
        is_read, image = capture.read()
        assert is_read
        assert np.array_equal(frame.image, cv2.cvtColor(image, cv2.COLOR_BGR2RGB)), (path.name, frame.index)
    assert not capture.read()[0]
    capture.release()


@pytest.fixture(scope="module")
def clips(shared: pathlib.Path) -> list[pathlib.Path]:
    clips = sorted(path for path in (shared / "data" / "videos").iterdir() if path.is_file())
    assert len(clips) > 20
    return clips


@pytest.mark.shared
class TestRealVideos:
    def test_frames_and_times_are_those_of_ffprobe(self, clips: list[pathlib.Path]) -> None:
        if not shutil.which("ffprobe"):
            pytest.skip("ffprobe, which tells the expected times, is not installed (apt-get install ffmpeg)")
        for path in clips:
            unit = describe_video(path).time_base
            elements = list(read_video(path))
            assert damages_of(elements) == [], path.name
            assert [frame.index for frame in elements] == list(range(len(elements)))
            expected = ffprobe_frames(path)
            assert len(elements) == len(expected), path.name
            for frame, told in zip(elements, expected, strict=True):
                if "pts" not in told:  # ffprobe then guesses from decoding times; what the container says is wanted
                    assert frame.timestamp_us is None
                    continue
                exact = told["pts"] * unit * 1_000_000
                assert frame.timestamp_us == math.floor(exact + fractions.Fraction(1, 2)), (path.name, frame.index)
                assert told["best_effort_timestamp"] == told["pts"]

    def test_pixels_are_those_of_opencv(self, clips: list[pathlib.Path]) -> None:
        cv2 = pytest.importorskip("cv2")
        turned = 0
        for path in clips:
            if path.name == "av1_video.mkv":  # OpenCV's ffmpeg gives not one frame of it
                continue
            assert_pixels_as_opencv(cv2, path)
            turned += describe_video(path).rotation != 0
        assert turned == 2

    def test_av1_is_read(self, shared: pathlib.Path) -> None:
        path = shared / "data" / "videos" / "av1_video.mkv"
        assert describe_video(path).codec == "av1"
        assert [frame.image.shape for frame in read_video(path)] == [(360, 640, 3)] * 125

    def test_damaged_videos(self, shared: pathlib.Path) -> None:
        bad = shared / "data" / "videos" / "bad"
        elements = list(read_video(bad / "pancake_truncated.mkv"))
        assert len(frames_of(elements)) == 210
        assert [damage.after_index for damage in damages_of(elements)] == [209]
        with pytest.raises(VideoError, match="moov atom not found"):
            next(read_video(bad / "bikes_truncated.mp4"))
        with pytest.raises(VideoError, match="its streams are: audio"):
            next(read_video(bad / "audio_only.mp4"))
