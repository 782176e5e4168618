"""Scale of what devices are measured by: accuracy from 0 to 1, or losses, of which less is better.

Shapes: N devices, R rounds.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xarray as xr
from matplotlib.axes import Axes

from mpidl.report import recorded
from mpidl.report.figures import axes as drawn

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Scale:
    """What is measured, and the values that are shown as the worst and as the best colour.

    Attributes:
        value: ``accuracy`` or ``loss``.
        worst: Shown like the accuracy 0.
        best: Shown like the accuracy 1.
    """

    value: str = "accuracy"
    worst: float = 0.0
    best: float = 1.0

    @property
    def shares(self) -> bool:
        """Whether values go from 0 to 1."""
        return self.value == "accuracy"

    @property
    def less(self) -> bool:
        """Whether less is better."""
        return recorded.less(self.value)

    def colors(self, values: Array) -> Array:
        """Values as shares from the worst to the best, of any shape."""
        if self.shares:
            return values
        return np.clip((values - self.worst) / (self.best - self.worst), 0, 1)

    def rising(self, means: Array) -> Array:
        """Means so that more is better."""
        return -means if self.less else means

    def text(self, share: float) -> str:
        """The value that has a colour."""
        value = self.worst + share * (self.best - self.worst)
        return f"{value:g}" if self.shares else f"{value:.3g}"

    def axis(self, axes: Axes, label: str, values: npt.ArrayLike = ()) -> None:
        """Let y show such values; losses that are not negative begin at 0.

        Args:
            axes: With everything drawn.
            label: The name of the axis.
            values: What has to be seen, beside what axes show anyway.
        """
        if self.shares:
            drawn.shares(axes, label)
            return
        axes.set_ylabel(label)
        shown = np.ravel(np.asarray(values, float))
        fine = shown[np.isfinite(shown)]
        low, high = axes.get_ylim()
        if len(fine):
            low, high = min(low, float(fine.min())), max(high, 1.03 * float(fine.max()))
        if low > -0.2 * high:
            low = 0.0
        axes.set_ylim(low, high)


def of(run: xr.Dataset, kind: str = "ood") -> Scale:
    """The scale of a run, whose colours are those of a test set."""
    value = recorded.value(run)
    if value == "accuracy":
        return Scale()
    values = recorded.scores(run, kind).to_numpy()
    fine = values[np.isfinite(values)]
    if not len(fine):
        return Scale(value, 1.0, 0.0)
    best, worst = float(fine.min()), float(np.percentile(fine, 99))
    return Scale(value, worst if worst > best else best + 1.0, best)
