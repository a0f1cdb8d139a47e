"""Entry point of the CDK: cdk.json runs `python -m infra.app` at the top of the repository."""

import json
import sys
from pathlib import Path

from aws_cdk import App

from infra.checks import add_checks
from infra.settings import CONTEXT_KEY, SettingsError, merged, read_settings
from infra.stack import LoosweepStack

SOURCE = Path(__file__).resolve().parents[1]
"""The folder with the Dockerfile."""


def build(app: App, source: Path = SOURCE) -> LoosweepStack:
    """The stack that the app's context asks for; synthesizing it also checks it.

    Raises:
        SettingsError: A setting is wrong, or there is nothing to build the image from.
    """
    given = app.node.try_get_context(CONTEXT_KEY)
    if isinstance(given, str):  # `-c` puts itself in the place of cdk.json's table, and is meant to change it
        given = merged(_table_of(source / "cdk.json"), given)
    stack = LoosweepStack(app, read_settings(given), source)
    add_checks(app)
    return stack


def _table_of(file: Path) -> object:
    """The settings of a cdk.json; none where there is no such file.

    Raises:
        SettingsError: It is no JSON.
    """
    try:
        text = file.read_text()
    except FileNotFoundError:
        return {}
    try:
        return json.loads(text)["context"].get(CONTEXT_KEY, {})
    except json.JSONDecodeError as error:
        raise SettingsError(f"{file}: not valid JSON: {error}") from None


def main() -> None:
    """Writes the template to where the CDK's command line expects it."""
    app = App()
    try:
        build(app)
    except SettingsError as error:
        sys.exit(str(error))
    app.synth()


if __name__ == "__main__":
    main()
