"""What every test may use: the real material outside the repository, where it is there."""

import os
import pathlib

import hypothesis
import pytest

# No deadline: these machines are shared. In CI the same examples every time: a red run is about the change.
hypothesis.settings.register_profile("boxbeam", deadline=None, derandomize="CI" in os.environ)
hypothesis.settings.load_profile("boxbeam")

REPOSITORY = pathlib.Path(__file__).resolve().parents[1]


def _shared_folder() -> pathlib.Path | None:
    folder = pathlib.Path(os.environ.get("BOXBEAM_SHARED") or REPOSITORY.parent / "shared")
    return folder if (folder / "models").is_dir() else None


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of real models, photos, videos and oracles; the test is skipped, and says so, without it."""
    folder = _shared_folder()
    if folder is None:
        pytest.skip("the real material is not here (looked at ../shared and $BOXBEAM_SHARED)")
    return folder
