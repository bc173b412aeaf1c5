"""A parser whose answers to a mistyped command line are a line each: what is wrong and what was meant, then the usage.

Python's own answers to an option that does not exist come behind a usage of forty lines, and only where nothing else is
missing.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from wordmask.cli.exit_status import USAGE
from wordmask.formats.terminal import printable

_NUMBER = re.compile(r"-\d+|-\d*\.\d+")
_ONE_LINE = 1 << 16  # columns


class Parser(argparse.ArgumentParser):
    """One command's options, or the program's own with the parsers of its commands by name."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.commands: dict[str, Parser] = {}
        self.suggest_on_error = False  # newer Pythons make suggestions too, of commands and choices alone

    def check(self, arguments: Iterable[str]) -> None:
        """Ends the process with an answer if an option does not exist. Ambiguous abbreviations are left to parsing."""
        known = self._option_string_actions
        for argument in arguments:
            if argument == "--":
                return
            option = argument.partition("=")[0]
            looks_like_one = option.startswith("-") and len(option) > 1 and " " not in argument
            if not looks_like_one or _NUMBER.fullmatch(argument) or option in known:
                continue
            if not any(name.startswith(option) for name in known if option.startswith("--")):
                self.error(f"there is no option {option}{did_you_mean('--' + option.lstrip('-'), known)}")

    def short_usage(self) -> str:
        """What must be given, in one line: arguments without a name first, as an option before them may take them."""
        needed = [action for action in self._actions if action.required or not action.option_strings]
        parts = [self.prog]
        for actions in ([a for a in needed if not a.option_strings], [a for a in needed if a.option_strings]):
            formatter = argparse.HelpFormatter("", width=_ONE_LINE)
            formatter.add_usage(None, actions, (), prefix="")
            parts.append(formatter.format_help().strip())
        if len(needed) < len(self._actions):
            parts.append("[OPTION ...]")
        return f"usage: {' '.join(filter(None, parts))}   (all: {self.prog} --help)"

    def error(self, message: str) -> NoReturn:
        """Ends the process with the message and the usage."""
        print(printable(f"{self.prog}: {message}"), file=sys.stderr)
        print(self.short_usage(), file=sys.stderr)
        sys.exit(USAGE)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question for the end of a message; empty where nothing is like the word."""
    import difflib  # 5 ms

    found = difflib.get_close_matches(word, list(known), n=1)
    return f": did you mean {found[0]}?" if found else ""


def command_of(arguments: Sequence[str]) -> str:
    """The command that a command line names; empty if it names none."""
    return next((word for word in arguments if not word.startswith("-")), "")
