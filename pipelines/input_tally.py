"""How the inputs of a run ended, each counted once, whatever number of pieces it was cut into."""

from pipelines.items import OUTCOMES, WORST_LAST, ItemReport, add_counts
from pipelines.plan import Plan


class InputTally:
    """Counts inputs as items are finished. Memory holds a line for each input that was cut.

    One that was cut is counted when its last piece is done, or at the first that fails, by what is the worst of its
    pieces so far; so a part of it that is empty does not make it so.

    Attributes:
        statuses: inputs that ended so far, by how.
    """

    def __init__(self) -> None:
        self.statuses = dict.fromkeys(OUTCOMES, 0)
        self._cut: dict[str, tuple[str, bool]] = {}  # the worst status, and whether it is counted

    def planned(self, plan: Plan) -> None:
        """What was cut and is to be done once more, as its pieces do not fit together, has not ended yet."""
        if self._cut:
            for key in {piece.source.key for item in plan.items for piece in item.pieces}:
                status, is_counted = self._cut.pop(key, ("empty", False))
                self.statuses[status] -= is_counted

    def finished(self, report: ItemReport) -> None:
        """An item is done."""
        add_counts(self.statuses, report.statuses)
        for key, status, is_last in report.cut:
            before, was_counted = self._cut.get(key, ("empty", False))
            worst = max(before, status, key=WORST_LAST.index)
            is_counted = was_counted or is_last or worst == "failed"
            self.statuses[before] -= was_counted
            self.statuses[worst] += is_counted
            self._cut[key] = worst, is_counted
