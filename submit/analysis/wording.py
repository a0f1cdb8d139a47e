"""How metrics and numbers are written in verdicts and in the report."""

from dataclasses import dataclass

from job.contract.metrics import METRICS, Metric


@dataclass(frozen=True)
class MetricStyle:
    """How a metric is written."""

    metric: Metric

    @property
    def name(self) -> str:
        """For people."""
        return self.metric.title

    @property
    def unit(self) -> str:
        """Empty for a metric without one."""
        return self.metric.unit

    @property
    def within(self) -> str:
        """The name within a sentence."""
        return self.name if self.metric.proper else self.name[0].lower() + self.name[1:]

    def text(self, value: float | None, *, signed: bool = False) -> str:
        """A number without its unit; a dash for an undefined one."""
        return number(value, self.metric.decimals, signed=signed)

    def with_unit(self, value: float | None, *, signed: bool = False) -> str:
        """A number with its unit."""
        return f"{self.text(value, signed=signed)} {self.unit}".rstrip()

    def interval(self, low: float | None, high: float | None) -> str:
        """The ends of an interval, signed; of one without an upper end the lower one "and more", a dash for none."""
        if low is None:
            return self.text(None)
        if high is None:
            return f"{self.with_unit(low, signed=True)} and more"
        return f"{self.text(low, signed=True)} to {self.text(high, signed=True)}"

    def threshold(self, value: float | None) -> str:
        """The same, to one digit of its own where the metric's decimals would show none."""
        if value is None or round(value, self.metric.decimals) or not value:
            return self.with_unit(value)
        return f"{value:.1g} {self.unit}".rstrip()


METRIC_STYLES = {name: MetricStyle(metric) for name, metric in METRICS.items()}


def number(value: float | None, decimals: int, *, signed: bool = False) -> str:
    """A number as it is printed: with a minus sign instead of a hyphen; a dash for an undefined one."""
    if value is None:
        return "–"
    rounded = round(value, decimals) + 0.0  # -0.0 becomes 0.0
    return f"{rounded:{'+' if signed and rounded else ''}.{decimals}f}".replace("-", "−")


def probability(p: float | None) -> str:
    """A p value as papers write it."""
    if p is None:
        return "p –"
    if p < 0.001:
        return "p < 0.001"
    return (
        f"p = {p:.4f}" if f"{p:.3f}" in ("0.050", "0.025") else f"p = {p:.3f}"
    )  # on which side of the level


def precise(p: float | None) -> str:
    """A p value that is held against a small level, to two digits."""
    return "p –" if p is None else f"p = {p:.2g}"


def percent(fraction: float | None) -> str:
    """A signed fraction in percent; a dash for an undefined one."""
    return "–" if fraction is None else f"{number(100 * fraction, 1, signed=True)} %"


def shortened(name: str, most: int = 36) -> str:
    """A name as figures have room for it: its middle left out if it is longer."""
    if len(name) <= most:
        return name
    end = (most - 1) // 2
    return f"{name[: most - 1 - end]}…{name[-end:]}"
