"""What the commands whose options are settings share: their texts, asked for by --help, --help-all, --print-config."""

from __future__ import annotations

from detection.config.command_line import CommandLine
from detection.config.read import AnyConfig, draft_config, to_yaml


def answered(line: CommandLine, program: str, description: str, kind: type[AnyConfig]) -> bool:
    """Print the text that the command line asks for; False where it asks for none."""
    if line.wanted == "help":
        from detection.config.help import short_help

        print(short_help(program, description, kind))
    elif line.wanted == "help-all":
        from detection.config.help import long_help

        print(long_help(kind))
    elif line.wanted == "print-config":
        print(to_yaml(draft_config(line, kind)), end="")  # type: ignore[type-var]
    return bool(line.wanted)
