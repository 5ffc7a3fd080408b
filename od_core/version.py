"""boxbeam's version; setup.py reads it, and the changelog's newest entry carries it."""

import importlib.metadata

__version__ = "0.4.1"


def version_of(package: str) -> str | None:
    """The version of a package that is installed here, or None; boxbeam's is that of this code, installed or not."""
    if package == "boxbeam":
        return __version__
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
