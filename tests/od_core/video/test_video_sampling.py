"""Which frames are chosen: by a definition that a few lines of arithmetic check, the same from every container."""

import fractions
import itertools
import pathlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from od_core.errors import UsageError, VideoError
from od_core.video.frames import VideoDamage, read_video
from od_core.video.sampling import EVERY_FRAME, Clock, Sampler, Sampling
from tests.od_core.video.video_files import (
    assert_same_frames,
    damages_of,
    noisy,
    numbers,
    numbers_of_elements,
    packets,
    shaded,
    with_zeros,
    write_h264,
    write_video,
)

Fraction = fractions.Fraction
TENTHS = Fraction(1, 10)
GROUPS_OF_12 = {"bf": "2", "g": "12", "sc_threshold": "1000000000"}


def chosen(sampling: Sampling, times: list[int], unit: Fraction, keyframes: frozenset[int] = frozenset()) -> list[int]:
    """Indices of the frames that a Sampler takes; `times` begin at 0 and do not go back."""
    sampler = Sampler(sampling, unit)
    around = zip([None, *times], times, [*times[1:], None], strict=False)
    return [
        index
        for index, (before, at, after) in enumerate(around)
        if sampler.takes(index, is_keyframe=index in keyframes, before=before, at=at, after=after)
    ]


def nearest_to_grid(fps: Fraction, times: list[int], unit: Fraction) -> list[int]:
    """The definition of --fps, point by point."""
    found = set()
    for point in itertools.count():
        if point / fps > times[-1] * unit:
            return sorted(found)
        found.add(min(range(len(times)), key=lambda index: (abs(times[index] * unit - point / fps), index)))


class TestDefinitions:
    @given(
        st.lists(st.integers(1, 50), max_size=25),
        st.fractions(Fraction(1, 20), 60, max_denominator=1001),
        st.sampled_from([Fraction(1, 1000), Fraction(1, 90_000), Fraction(1, 25), Fraction(1001, 30_000)]),
    )
    def test_fps_takes_the_frame_nearest_to_each_point_of_the_grid(
        self, steps: list[int], fps: Fraction, unit: Fraction
    ) -> None:
        times = [0, *itertools.accumulate(steps)]
        if times[-1] * unit * fps > 2000:
            times = times[:2]
        assert chosen(Sampling(fps=fps), times, unit) == nearest_to_grid(fps, times, unit)

    def test_fps_of_an_even_video(self) -> None:
        assert chosen(Sampling(fps=Fraction(5)), list(range(8)), TENTHS) == [0, 2, 4, 6]
        assert chosen(Sampling(fps=Fraction(10)), list(range(8)), TENTHS) == list(range(8))
        assert chosen(Sampling(fps=Fraction(1000)), list(range(8)), TENTHS) == list(range(8))
        assert chosen(Sampling(fps=Fraction(1, 100)), list(range(8)), TENTHS) == [0]
        assert chosen(Sampling(fps=Fraction(4)), list(range(8)), TENTHS) == [0, 2, 5]

    def test_times_rounded_to_milliseconds_choose_as_exact_ones_do(self) -> None:
        exact = [1001 * number for number in range(200)]
        rounded = [round(1000 * 1001 * number / 30_000) for number in range(200)]
        for fps in (1, 5, 10, 15, 25, 30):
            sampling = Sampling(fps=Fraction(fps * 1000, 1001))
            assert chosen(sampling, exact, Fraction(1, 30_000)) == chosen(sampling, rounded, Fraction(1, 1000))

    def test_fps_follows_the_clock_where_frames_come_unevenly(self) -> None:
        times = [0, 1, 2, 3, 4, 30, 31, 32, 33, 34]  # tenths: a scene, a pause of over two seconds, a scene
        assert chosen(Sampling(fps=Fraction(1)), times, TENTHS) == [0, 4, 5]
        assert chosen(Sampling(fps=Fraction(3)), times, TENTHS) == [0, 3, 4, 5, 8]

    def test_every(self) -> None:
        assert chosen(Sampling(every=3), list(range(8)), TENTHS) == [0, 3, 6]
        assert chosen(Sampling(every=1), list(range(3)), TENTHS) == [0, 1, 2]

    def test_keyframes(self) -> None:
        assert chosen(Sampling(keyframes=True), list(range(8)), TENTHS, frozenset({0, 5})) == [0, 5]

    @pytest.mark.parametrize(
        "sampling",
        [Sampling(), Sampling(fps=Fraction(3)), Sampling(every=3), Sampling(keyframes=True)],
        ids=["all", "fps", "every", "keyframes"],
    )
    @given(start=st.integers(0, 130), length=st.integers(1, 130))
    def test_a_window_changes_nothing_within_it(self, sampling: Sampling, start: int, length: int) -> None:
        times = list(range(0, 100, 4))
        window = (Fraction(start, 100), Fraction(start + length, 100))
        cut = Sampling(sampling.fps, sampling.every, sampling.keyframes, *window)
        keyframes = frozenset({0, 7, 14})
        unit = Fraction(1, 100)
        inside = [index for index in chosen(sampling, times, unit, keyframes) if start <= times[index] < start + length]
        assert chosen(cut, times, unit, keyframes) == inside

    def test_equal_samplings_have_equal_texts(self) -> None:
        assert Sampling(fps=Fraction("2.50")).options == Sampling(fps=Fraction(5, 2)).options == {"--fps": "5/2"}
        assert Sampling(every=1).options == EVERY_FRAME.options == {}
        assert Sampling(start=Fraction("90.250"), end=Fraction(100)).options == {"--start": "90.25 s", "--end": "100 s"}
        assert Sampling(keyframes=True, end=Fraction(1, 3)).options == {"--keyframes": "yes", "--end": "1/3 s"}
        assert EVERY_FRAME.is_all
        assert not Sampling(every=2).is_all

    def test_what_does_not_go_together_is_refused(self) -> None:
        with pytest.raises(UsageError, match="--fps and --keyframes exclude each other"):
            Sampling(fps=Fraction(1), keyframes=True)
        for end in ("10", "9.5"):
            with pytest.raises(UsageError, match=rf"--end {end} is not after --start 10"):
                Sampling(start=Fraction(10), end=Fraction(end))


class TestClock:
    def test_it_starts_at_0_stands_still_where_times_are_missing_or_go_back_and_runs_on(self) -> None:
        clock = Clock("video")
        times = [500, 510, None, 530, 100, 110, 90_000]
        assert [clock.tick(time, Sampler(EVERY_FRAME, TENTHS)) for time in times] == [0, 10, 10, 30, 30, 40, 89_930]

    def test_without_times_nothing_can_be_chosen_by_them(self) -> None:
        for sampling in (Sampling(fps=TENTHS), Sampling(start=TENTHS), Sampling(end=TENTHS)):
            clock, sampler = Clock("v.h264"), Sampler(sampling, TENTHS)
            assert clock.tick(None, sampler) == 0
            with pytest.raises(VideoError, match=r"v\.h264: its frames have no times .*use --every or --keyframes"):
                clock.tick(None, sampler)


class TestReading:
    """Reading a video with a Sampling gives some of the frames that reading it all gives, and no others."""

    @pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "avi"])
    def test_chosen_frames_keep_index_time_and_pixels(self, tmp_path: pathlib.Path, ending: str) -> None:
        codec = "mpeg2video" if ending == "ts" else "mpeg4"
        path = write_video(tmp_path / f"v.{ending}", noisy(40), codec, codec_options=GROUPS_OF_12)
        whole = list(read_video(path))
        for sampling, wanted in (
            (Sampling(every=7), range(0, 40, 7)),
            (Sampling(fps=Fraction(5)), range(0, 40, 5)),
            (Sampling(keyframes=True), range(0, 40, 12)),
            (Sampling(start=Fraction("0.4"), end=Fraction("0.8")), range(10, 20)),
            (Sampling(every=4, start=Fraction("0.41")), range(12, 40, 4)),
            (Sampling(fps=Fraction(5), start=Fraction("0.5"), end=Fraction("1.3")), range(15, 31, 5)),
            (Sampling(start=Fraction(60)), range(0)),
        ):
            assert_same_frames(list(read_video(path, sampling=sampling)), [whole[index] for index in wanted])

    def test_uneven_times(self, tmp_path: pathlib.Path) -> None:
        times = [0, 40, 80, 120, 1500, 1540, 3000]
        path = write_video(tmp_path / "v.mp4", shaded(7), times=times, time_base=Fraction(1, 1000))
        assert [f.index for f in read_video(path, sampling=Sampling(fps=Fraction(1)))] == [0, 4, 5, 6]

    def test_a_raw_stream_is_counted_but_not_timed(self, tmp_path: pathlib.Path) -> None:
        path = write_h264(tmp_path / "v.h264", shaded(10))
        assert [frame.index for frame in read_video(path, sampling=Sampling(every=4))] == [0, 4, 8]
        with pytest.raises(VideoError, match="have no times"):
            list(read_video(path, sampling=Sampling(fps=Fraction(1))))

    def test_reading_ends_with_the_window(self, tmp_path: pathlib.Path) -> None:
        path = write_h264(tmp_path / "v.mkv", noisy(60), "keyint=10:bframes=0:scenecut=0:rc-lookahead=0")
        seen: list[None] = []
        frames = list(read_video(path, sampling=Sampling(end=Fraction("0.4")), alive=lambda: seen.append(None)))
        assert numbers_of_elements(frames) == list(range(10))
        assert len(seen) < 30

    def test_signs_of_life_come_also_while_nothing_is_wanted(self, tmp_path: pathlib.Path) -> None:
        path = write_video(tmp_path / "v.mp4", shaded(20))
        seen: list[None] = []
        reader = read_video(path, sampling=Sampling(every=15), alive=lambda: seen.append(None))
        assert next(reader).index == 0
        before = len(seen)
        assert next(reader).index == 15
        assert len(seen) - before >= 15

    def test_damage_is_told_within_the_window_only(self, tmp_path: pathlib.Path) -> None:
        whole = write_h264(tmp_path / "v.mp4", noisy(40), "keyint=10:min-keyint=10:scenecut=0:bframes=0")
        position, size = packets(whole)[13]
        damaged = with_zeros(whole, position + size // 2, size)
        (damage,) = damages_of(list(read_video(damaged)))
        found = list(read_video(damaged, sampling=Sampling(every=10)))
        assert [element for element in found if isinstance(element, VideoDamage)] == [damage]
        assert numbers_of_elements(found) == [0, 10, None, 20, 30]
        for window in (Sampling(end=Fraction("0.5")), Sampling(start=Fraction("0.9"))):
            assert damages_of(list(read_video(damaged, sampling=window))) == []

    def test_frames_that_grow_are_seen_by_those_that_are_left_out_too(self, tmp_path: pathlib.Path) -> None:
        small = write_h264(tmp_path / "small.ts", shaded(4))
        large = write_h264(tmp_path / "large.ts", shaded(4, width=128, height=96))
        small.write_bytes(small.read_bytes() + large.read_bytes())
        assert numbers(read_video(small, sampling=Sampling(every=3))) == [0, 3, 2]  # 0, 3 and 6, the second's third
        with pytest.raises(VideoError, match="has frames of 128x96"):
            list(read_video(small, sampling=Sampling(every=100), max_pixels=64 * 48))
