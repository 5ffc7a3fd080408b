"""Review pages in a real browser: filters filter, a click seeks, labels are text, and the console stays silent."""

import pathlib
import urllib.parse

import pytest

from pipelines.review.pages import ReviewAsk, review
from tests.browser.chromium import Chromium
from tests.pipelines.review_files import HOSTILE_KEY, HOSTILE_LABEL, write_place, write_shapes


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    place = write_place(tmp_path_factory.mktemp("pages"))
    output = place.found.parent / "pages"
    review(ReviewAsk(str(place.found), str(output), (str(place.truth),)))
    return output


def show(browser: Chromium, pages: pathlib.Path, fragment: str) -> None:
    browser.open(f"{(pages / 'index.html').as_uri()}#/{fragment}")
    browser.wait("document.body && 'ready' in document.body.dataset")


CARDS = "[...document.querySelectorAll('.card .name')].map((name) => name.textContent)"


def cards(browser: Chromium) -> list[str]:
    names: list[str] = browser.run(CARDS)
    return names


def choose(browser: Chromium, field: str, value: str) -> None:
    """Set a filter as a person does."""
    browser.run(
        f"{{ const field = document.getElementById('{field}'); field.value = '{value}';"
        " field.dispatchEvent(new Event('input')); field.dispatchEvent(new Event('change')); }"
    )
    browser.run("new Promise((done) => setTimeout(done, 50))")


def test_the_overview_counts_with_the_threshold(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "overview")
    assert browser.run("document.querySelector('h1').textContent") == "found"
    numbers = (
        "[...document.querySelectorAll('.classes tbody tr')].map((row) => [...row.cells].map((c) => c.textContent))"
    )
    rows = {row[0]: row[1:] for row in browser.run(numbers)}
    assert rows["cat"] == ["2", "", "1", "1", "0", "0.500", "1.000"]
    assert rows["dog"] == ["11", "", "11", "0", "7", "1.000", "0.611"]
    assert rows[HOSTILE_LABEL][0] == "1"
    choose(browser, "threshold", "0.85")
    rows = {row[0]: row[1:] for row in browser.run(numbers)}
    assert rows["cat"] == ["1", "", "1", "0", "0", "1.000", "1.000"]
    assert rows["dog"][2:5] == ["10", "0", "8"]
    assert browser.run("document.querySelector('details summary').textContent").startswith("2 × ImageError")


def test_filters_filter(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "gallery")
    assert cards(browser)[0] == "a/bad.png"  # the worst first
    assert len(cards(browser)) == 6
    choose(browser, "show", "fp")
    assert cards(browser) == ["a/bad.png"]
    choose(browser, "threshold", "0.85")
    assert cards(browser) == []
    choose(browser, "show", "fn")
    assert cards(browser) == ["a/bad.png", "clip.mp4"]
    choose(browser, "class", "1")
    assert cards(browser) == []
    choose(browser, "show", "")
    assert cards(browser) == ["a/good.png"]
    choose(browser, "class", "")
    choose(browser, "kind", "video")
    assert cards(browser) == ["clip.mp4"]
    choose(browser, "kind", "")
    choose(browser, "name", "A/")
    assert cards(browser) == ["a/bad.png", "a/good.png"]
    choose(browser, "name", "")
    choose(browser, "show", "failed")
    assert cards(browser) == ["clip.mp4", "broken.png"]  # a stretch of the video failed
    choose(browser, "show", "empty")
    assert set(cards(browser)) == {"a/bad.png", "gone.png", HOSTILE_KEY}
    browser.run("history.back()")
    browser.wait(f"{CARDS}.length === 2")


def test_what_leads_nowhere_leads_back(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "gallery?class=1&show=fp&name=clip")
    assert cards(browser) == []
    assert browser.run("document.querySelector('.empty').checkVisibility()")
    assert browser.run("document.querySelector('.badge').textContent") == "3"
    browser.run("document.querySelector('.empty a').click()")
    browser.wait(f"{CARDS}.length === 6")
    show(browser, pages, "item/99")
    assert "no such picture" in browser.run("document.querySelector('main').textContent")


def test_folders_are_offered_as_sources(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "gallery")
    assert browser.run("[...document.querySelectorAll('#sources option')].map((one) => one.value)") == ["a/"]


def test_the_overview_leads_to_the_worst_mistakes(browser: Chromium, pages: pathlib.Path) -> None:
    """Each with what it holds: right, wrong and missed, at the threshold."""
    show(browser, pages, "overview")
    browser.wait("document.querySelectorAll('.worst .card').length")
    assert cards(browser) == ["a/bad.png", "clip.mp4"]
    tally = "[...document.querySelectorAll('.worst .tally')[0].children].map((one) => [one.className, one.textContent])"
    browser.wait(f"{tally}.length === 3")
    assert browser.run(tally) == [["mark tp", "1"], ["mark fp", "1"], ["mark fn", "2"]]
    choose(browser, "threshold", "0.85")
    assert browser.run(tally) == [["mark fn", "3"]]
    browser.run("document.querySelector('.worst .card').click()")
    browser.wait("document.querySelector('.item h2')?.textContent === 'a/bad.png'")
    groups = "[...document.querySelectorAll('aside .group')].map((row) => row.textContent)"
    browser.wait(f"{groups}.length")
    assert browser.run(groups) == ["missed3"]


def test_a_key_tells_the_keys(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "gallery")
    browser.press("?")
    assert browser.run("document.getElementById('keys').open")
    assert "next mistake" in browser.run("document.getElementById('keys').textContent")
    browser.press("ArrowRight")  # goes nowhere meanwhile
    browser.press("?")
    assert not browser.run("document.getElementById('keys').open")
    assert len(cards(browser)) == 6


def test_boxes_are_drawn_where_they_are_and_can_be_switched_off(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "item/0")
    rects = "[...document.querySelectorAll('.view rect')].map((r) => [r.getAttribute('class'), r.dataset.mark])"
    browser.wait("document.querySelector('.view img').complete && document.querySelectorAll('.view rect').length")
    assert sorted(browser.run(rects)) == [
        *(["found", "fp"], ["found", "tp"], ["truth", "fn"], ["truth", "fn"], ["truth", "tp"]),
    ]
    ratios = browser.run(
        "(() => { const picture = document.querySelector('.view img').getBoundingClientRect();"
        " const box = document.querySelector('.view rect.found').getBoundingClientRect();"
        " return [(box.left - picture.left) / picture.width, (box.top - picture.top) / picture.height,"
        " box.width / picture.width, box.height / picture.height]; })()"
    )
    assert ratios == pytest.approx([0.6, 0.2, 0.3, 0.4], abs=0.01)
    for key, left in (("t", 2), ("d", 0), ("d", 2), ("t", 5)):
        browser.press(key)
        assert len(browser.run(rects)) == left
    browser.run("document.querySelectorAll('.legend button')[1].click()")
    assert browser.run(rects) == [["found", "fp"]]
    browser.run("document.querySelectorAll('.legend button')[1].click()")


def test_masks_and_keypoints_are_drawn_where_they_are_and_can_be_switched_off(
    browser: Chromium, tmp_path: pathlib.Path
) -> None:
    found = write_shapes(tmp_path)
    review(ReviewAsk(str(found), str(tmp_path / "pages")))
    show(browser, tmp_path / "pages", "item/0")
    browser.wait("document.querySelector('.view img').complete && document.querySelectorAll('.view path').length")
    paths = "[...document.querySelectorAll('.view path')].map((path) => path.getAttribute('class'))"
    assert browser.run(paths) == ["mask", "rim", "points"]
    inside = (
        "(() => { const picture = document.querySelector('.view img').getBoundingClientRect();"
        " const mask = document.querySelector('.view path.mask');"
        " const at = (x, y) => mask.isPointInFill(new DOMPoint(x, y));"
        " const { left, width } = mask.getBoundingClientRect();"
        " const places = [(left - picture.left) / picture.width, width / picture.width];"
        " return [at(0.3, 0.5), at(0.5, 0.5), at(0.05, 0.05), ...places]; })()"
    )
    is_in_ring, is_in_hole, is_outside, left, width = browser.run(inside)
    assert (is_in_ring, is_in_hole, is_outside) == (True, False, False)
    assert [left, width] == pytest.approx([0.2, 0.6], abs=0.02)
    browser.press("s")
    assert browser.run(paths) == []
    assert browser.run("document.querySelectorAll('.view rect').length") == 1
    assert "Masks, keypoints" in browser.run("document.querySelector('.switches [aria-pressed=false]').textContent")
    browser.press("s")
    browser.press("d")
    assert browser.run(paths) == []
    browser.press("d")
    assert len(browser.run(paths)) == 3


def test_keys_lead_through_what_was_chosen(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "gallery?show=detections&order=name")
    shown = "document.querySelector('.item h2')?.textContent"  # the address changes before the page does
    browser.run("document.querySelector('.card').click()")
    browser.wait(f"{shown} === 'a/bad.png'")
    browser.press("ArrowRight")
    browser.wait(f"{shown} === 'a/good.png'")
    browser.press("ArrowRight")
    browser.wait(f"{shown} === 'clip.mp4'")  # the failure between is not in the choice
    browser.press("ArrowLeft")
    browser.wait(f"{shown} === 'a/good.png'")
    browser.press("Escape")
    browser.wait("document.querySelector('.gallery')")
    assert len(cards(browser)) == 4


def test_a_click_on_the_timeline_jumps_to_the_moment(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "item/3")
    browser.wait("document.querySelector('video').readyState >= 2 && document.querySelector('.lane .strip')")
    browser.wait("document.querySelector('aside').textContent.startsWith('Nothing found')")
    place = "document.querySelector('.strip').getBoundingClientRect()"
    left, top, width, height = browser.run(f"(({{ left, top, width, height }}) => [left, top, width, height])({place})")
    browser.click(left + width * 35.5 / 60, top + height / 2)
    browser.wait(
        "!document.querySelector('video').seeking && document.querySelector('.told').textContent.includes('frame 35 ')"
    )
    assert browser.run("document.querySelector('video').currentTime") == pytest.approx(35 * 0.04, abs=0.02)
    assert browser.run("document.querySelectorAll('.view rect.found').length") == 1
    browser.press("m")
    browser.wait("document.querySelector('.told').textContent.includes('frame 45 ')")
    assert browser.run("document.querySelector('.view rect').dataset.mark") == "fn"
    browser.press("b")
    browser.wait("document.querySelector('.told').textContent.includes('frame 39 ')")


def test_a_video_plays_with_its_boxes(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "item/3")
    browser.wait("document.querySelector('video').readyState >= 2")
    browser.press(" ")
    browser.wait("document.querySelector('video').ended")
    browser.wait("document.querySelector('.told').textContent.includes('frame 59 ')")


def test_hostile_names_are_text(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, f"gallery?name={urllib.parse.quote('<img')}")
    planted = "document.querySelectorAll('main script, img[onerror], [src=x]').length"
    assert cards(browser) == [HOSTILE_KEY]
    assert browser.run(planted) == 0
    assert browser.run("[...document.querySelectorAll('#class option')].map((one) => one.textContent)") == [
        *("all", "cat", "dog", HOSTILE_LABEL),
    ]
    browser.run("document.querySelector('.card').click()")
    browser.wait("document.querySelector('.view img')?.complete && document.querySelector('.labels span')")
    assert browser.run("document.querySelector('.view img').naturalWidth") == 320
    assert browser.run("document.querySelector('.labels span').textContent") == f"{HOSTILE_LABEL} 0.70"
    assert browser.run(planted) == 0


def test_what_cannot_be_shown_is_said(browser: Chromium, pages: pathlib.Path) -> None:
    show(browser, pages, "item/2")
    assert browser.run("document.querySelector('.remark').textContent") == "it is a text file"
    show(browser, pages, "item/4")
    assert browser.run("document.querySelector('.remark').textContent").startswith("the original cannot be opened")


@pytest.mark.parametrize("size", [(360, 740), (900, 700), (1600, 1000)])
@pytest.mark.parametrize("fragment", ["overview", "gallery", "item/0", "item/3"])
def test_nothing_sticks_out_of_the_window(
    browser: Chromium, pages: pathlib.Path, fragment: str, size: tuple[int, int]
) -> None:
    browser.resize(*size, dark=size[0] == 900)
    show(browser, pages, fragment)
    browser.wait("document.querySelector('main').children.length")
    assert browser.run("document.documentElement.scrollWidth") <= size[0]
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(22, 24, 27)" if size[0] == 900 else "rgb(251, 251, 250)")
