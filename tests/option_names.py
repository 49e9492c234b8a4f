"""The options of a command, as its own parser knows them."""

from __future__ import annotations

import pytest

from detection.cli.arguments import Parser
from detection.cli.main import main


class Parsed(Exception):
    pass


def options_of(command: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The option strings of a command, positional ones by their names."""
    found = []

    def stop(parser, *_):
        found.extend(action.option_strings[0] if action.option_strings else action.dest for action in parser._actions)
        raise Parsed

    monkeypatch.setattr(Parser, "parse_args", stop)
    monkeypatch.setattr(Parser, "parse_known_args", stop)
    with pytest.raises(Parsed):
        main([command])
    return set(found) - {"-h"}
