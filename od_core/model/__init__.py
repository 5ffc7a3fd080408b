"""Exported detectors: what is at a path, what its graph takes and gives, and one Session that answers."""
