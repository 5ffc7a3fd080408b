"""boxbeam's version; setup.py reads it, and the changelog's newest entry carries it."""

__version__ = "0.4.0"
