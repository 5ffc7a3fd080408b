"""One browser for the tests of a file; after each of them nothing must have gone wrong, nor come from the network."""

import os
from collections.abc import Iterator

import pytest

from tests.browser.chromium import Chromium, find_chromium


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    program = find_chromium()
    if program is None:
        if "BOXBEAM_REQUIRE_CHROMIUM" in os.environ:
            pytest.fail("BOXBEAM_REQUIRE_CHROMIUM is set, but there is no Chromium")
        pytest.skip("there is no Chromium (apt-get install chromium)")
    opened = Chromium(program, tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


@pytest.fixture
def browser(chromium: Chromium) -> Iterator[Chromium]:
    chromium.errors.clear()
    chromium.requested.clear()
    chromium.resize(1280, 800)
    yield chromium
    assert chromium.errors == []
    assert [url for url in chromium.requested if not url.startswith(("file:", "data:", "about:"))] == []
    assert chromium.run("document.title") != "stolen"  # the title of a hostile name holds the word as text
