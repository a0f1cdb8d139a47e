"""How numbers are written on a terminal."""

from job.contract.wording import counted

__all__ = ["counted", "duration", "money"]


def duration(seconds: float) -> str:
    """Seconds as `h:mm:ss`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def money(usd: float) -> str:
    """Dollars, to the cent; small ones to two digits."""
    if 0 < usd < 0.0001:
        return "less than 0.0001 USD"
    return f"{usd:,.2f} USD" if usd >= 1 or not usd else f"{usd:.2g} USD"
