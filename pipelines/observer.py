"""Observers are told what happens while a run goes on: progress lines are one, tests are another."""

from collections.abc import Mapping
from typing import Protocol

from pipelines.items import ItemReport
from pipelines.plan import Plan


class Observer(Protocol):
    """Is called from several threads, one at a time per executor."""

    def planned(self, plan: Plan) -> None:
        """The run knows what it has to do."""

    def opened(self, seconds: float) -> None:
        """A worker is open, which took so long, and has its first item."""

    def advanced(self, counts: Mapping[str, int], weight: int) -> None:
        """More was done, in an item that may yet fail."""

    def finished(self, report: ItemReport) -> None:
        """An item is committed: done, or given up."""

    def incident(self, message: str) -> None:
        """Something went wrong that the run survives."""


class Silent:
    """An observer that keeps what it hears to itself."""

    def planned(self, plan: Plan) -> None:
        """Nothing."""

    def opened(self, seconds: float) -> None:
        """Nothing."""

    def advanced(self, counts: Mapping[str, int], weight: int) -> None:
        """Nothing."""

    def finished(self, report: ItemReport) -> None:
        """Nothing."""

    def incident(self, message: str) -> None:
        """Nothing."""
