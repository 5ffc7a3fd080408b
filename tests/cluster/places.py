"""Where the repository, its cache, and what goes on the import path of started Python processes are."""

import pathlib

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

CACHE = REPOSITORY / ".cache"

# For PYTHONPATH: the packages, as if they were installed, and before them the hook that notes commits.
PYTHON_PATH = f"{pathlib.Path(__file__).resolve().with_name('witness')}:{REPOSITORY}"
