"""A pattern of the study file as a regular expression, and names as they are compared."""

import re
import unicodedata

from job.contract.errors import StudyError

PLACEHOLDERS = ("patient", "exam")
"""What a match gives; `{channel}` and `{class}` are replaced before."""
_TOKEN = re.compile(r"(?<![^/])\*\*/|(?<![^/])\*\*$|\*|\?|\[[^\]]+\]|\{(?:patient|exam)\}|.", re.DOTALL)


def composed(name: str) -> str:
    """A name in Unicode's form NFC: macOS writes `ä` as two characters, Linux and editors as one."""
    return unicodedata.normalize("NFC", name)


def folded(name: str) -> str:
    """A name as it is compared: composed, and without case."""
    return unicodedata.normalize("NFC", composed(name).casefold())


def printable(name: str) -> str:
    """A name that any terminal can show: bytes that are not UTF-8 as `\\xe4`, control characters escaped."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in shown)


def is_utf8(name: str) -> bool:
    """Whether a name of the file system is text at all."""
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def expression_of(pattern: str, text: str = "") -> re.Pattern[str]:
    """A pattern as a regular expression with groups `patient` and `exam`, for keys in form NFC.

    As in a shell, no wildcard matches a `/`, nor the dot that a hidden file's name begins with.

    Args:
        pattern: Of the study file.
        text: What stands for its `{channel}` or `{class}`.

    Raises:
        StudyError: The pattern has brackets that make no sense.
    """
    pattern = composed(pattern.replace("{channel}", text).replace("{class}", text))
    regex, seen, previous = "", set(), "/"
    for token in _TOKEN.findall(pattern):
        name = token[1:-1]
        if previous.endswith("/") and (len(token) > 1 or token in "*?"):
            regex += r"(?!\.)"
        if name in PLACEHOLDERS and token[0] == "{":
            regex += f"(?P={name})" if name in seen else f"(?P<{name}>[^/]+)"
            seen.add(name)
        elif token == "**/":
            regex += r"(?:(?!\.)[^/]+/)*"
        elif token == "**":
            regex += ".+"
        elif token in ("*", "?"):
            if not token == previous == "*":  # two stars mean one, and take an expression far longer
                regex += "[^/]" + token.replace("?", "")
        elif len(token) > 1:
            negated = name[0] in "!^"
            members = re.escape(name[negated:]).replace(r"\-", "-")
            regex += f"(?!/)[{'^' if negated else ''}{members}]"
        else:
            regex += re.escape(token)
        previous = token
    try:
        return re.compile(regex)
    except re.error as error:
        raise StudyError(f"{pattern!r} is no valid pattern ({error.msg}); correct its brackets") from None


def spelled(pattern: str, text: str, patient: str, exam: str) -> str:
    """The path that a pattern means for one exam."""
    filled = pattern.replace("{channel}", text).replace("{class}", text)
    return filled.replace("{patient}", patient).replace("{exam}", exam)
