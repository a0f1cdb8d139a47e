"""How numbers are written on a terminal."""


def duration(seconds: float) -> str:
    """Seconds as `h:mm:ss`."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def counted(number: int, noun: str) -> str:
    """A number with its noun, in the plural unless it is 1."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def money(usd: float) -> str:
    """Dollars, to the cent; small ones to two digits."""
    if 0 < usd < 0.0001:
        return "less than 0.0001 USD"
    return f"{usd:,.2f} USD" if usd >= 1 or not usd else f"{usd:.2g} USD"
