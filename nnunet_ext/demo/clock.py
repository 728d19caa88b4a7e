"""How far the demo is: what was spent, and how long the rest will take at the pace so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic

from nnunet_ext.demo.pipeline import Step


class Clock:
    """Counts finished work in units of one epoch of training.

    Parameters
    ----------
    steps : sequence of Step
        What there is to do.
    now : callable
        Seconds from any moment on; replaced in tests.
    """

    def __init__(self, steps: Sequence[Step], now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._begin = self._now()
        self.total = sum(step.cost for step in steps)
        self._of_finished_steps = 0.0
        self._of_this_step = 0.0

    @property
    def done(self) -> float:
        """Finished work."""
        return self._of_finished_steps + self._of_this_step

    def epoch(self, step: Step, number: int) -> None:
        """So many epochs of the running step are finished."""
        self._of_this_step = step.start + number

    def finish(self, step: Step) -> None:
        """A step is finished."""
        self._of_finished_steps += step.cost
        self._of_this_step = 0.0

    def report(self) -> str:
        """Elapsed and expected time, such as "2 min 05 s so far, about 3 min to go"."""
        elapsed = self._now() - self._begin
        spent = f"{int(elapsed // 60)} min {int(elapsed % 60):02} s so far"
        # A step of a second or two says nothing about the pace of an epoch.
        if self.done < 1 or self.done >= self.total:
            return spent
        left = elapsed / self.done * (self.total - self.done)
        return f"{spent}, about {max(1, round(left / 60))} min to go"
