"""The table of commands, and what is the same for all: signals, errors, exit statuses."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from wordmask import __version__
from wordmask.cli.exit_status import CANNOT_WRITE, USAGE
from wordmask.cli.parser import Parser, command_of, did_you_mean
from wordmask.cli.run_one_picture import one_picture
from wordmask.errors import OutputError, WordmaskError, WordmaskWarning
from wordmask.formats.terminal import printable
from wordmask.run.supervisor import Interrupted, catch_signals, is_worker, supervise

COMMANDS = (  # name, help, module: imported when the command is named
    ("run", "segment photos with a list of words", "wordmask.cli.run"),
    ("build", "make a bundle of ONNX graphs from checkpoints", "wordmask.cli.build"),
    ("eval", "measure a bundle's quality on labelled pictures", "wordmask.cli.eval"),
    ("compare", "show one photo with bilinear upsampling and with LoftUp", "wordmask.cli.compare"),
    ("bench", "measure speed and memory against PyTorch eager", "wordmask.cli.bench"),
    ("engines", "build a bundle's TensorRT engines for this machine's GPU", "wordmask.cli.engines"),
    ("inspect", "show a bundle's graphs and TensorRT engines", "wordmask.cli.inspect"),
    ("pack", "put a bundle into one file, to hand it on", "wordmask.cli.pack"),
    ("pull", "download a bundle from the Hugging Face hub", "wordmask.cli.pull"),
    ("demo", "serve a local page to try photos and words on", "wordmask.cli.demo"),
    ("convert", "put a run's results into a format that other tools read", "wordmask.cli.convert"),
    ("features", "features of photos, upsampled by LoftUp", "wordmask.cli.features"),
    ("triton", "write a bundle as a model repository for NVIDIA Triton", "wordmask.cli.triton"),
    ("check", "see whether a bundle's weights behave, on pictures whose answer is known", "wordmask.cli.check"),
    ("doctor", "check that what a run needs is installed and works", "wordmask.cli.doctor"),
)

CANNOT_HOLD = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG)  # of writing; all outputs have an OutputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; gives the exit status.

    Args:
        arguments: without the program's name. None takes the process's own, and then `run` happens in a process that
            this one watches (see wordmask.run.supervisor).
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a name that the terminal cannot show is no reason to fail
    args = parse(sys.argv[1:] if arguments is None else arguments)
    logging.basicConfig(format="%(levelname)s: %(message)s")
    catch_signals()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")  # a photo's damaged metadata can bring one a tag
        warnings.simplefilter("always", WordmaskWarning)
        warnings.showwarning = _show_warning
        return _run_command(args, arguments)


def _run_command(args: argparse.Namespace, arguments: Sequence[str] | None) -> int:
    try:
        plain = args.command == "run" and args.ray is None and not one_picture(args)
        watched = arguments is None and plain and not is_worker()
        status: int = supervise(sys.argv[1:], args.output, _log) if watched else args.run(args)
    except Interrupted as interruption:
        print(f"wordmask: interrupted by {interruption}", file=sys.stderr)
        status = interruption.status
    except OutputError as error:
        print(f"wordmask: {error}", file=sys.stderr)
        status = CANNOT_WRITE
    except (WordmaskError, FileNotFoundError, ValueError) as error:
        print(f"wordmask: {error}", file=sys.stderr)
        status = USAGE
    except OSError as error:
        if error.filename is not None and error.errno not in CANNOT_HOLD:
            print(f"wordmask: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
            return USAGE
        # the terminal or pipe is gone, or the disk behind it full
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # else Python reports it once more when it exits
        with contextlib.suppress(OSError):
            print(f"wordmask: cannot write: {error}", file=sys.stderr)
        status = CANNOT_WRITE
    return status


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Prints a warning of wordmask as one line without its place in the code; others as Python does."""
    text = warnings.formatwarning(message, category, filename, lineno, line)
    if issubclass(category, WordmaskWarning):
        text = f"WARNING: {printable(str(message))}\n"
    (file or sys.stderr).write(text)


def _log(text: str) -> None:
    print(f"wordmask: {text}", file=sys.stderr, flush=True)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Reads a command line; ends the process where it is mistyped or only asks for help or the version."""
    parser, words = make_parser(arguments), _as_options(arguments)
    command = command_of(words)
    at = words.index(command) if command else len(words)
    parser.check(words[:at])
    if command and command not in parser.commands:
        parser.error(f"there is no command {command!r}{did_you_mean(command, parser.commands)}")
    if command:
        parser.commands[command].check(words[at + 1 :])
    return parser.parse_args(words)


def _as_options(arguments: Sequence[str]) -> list[str]:
    """`help COMMAND` as `COMMAND --help`; nothing at all as `--help`."""
    words = list(arguments)
    if words[:1] == ["help"]:
        return [*words[1:2], "--help"]
    return words or ["--help"]


def make_parser(arguments: Sequence[str] | None = None) -> Parser:
    """The parser of all commands.

    Args:
        arguments: of a command line: only the command that is named there gets its options, for the sake of a quick
            start. None gives all commands theirs.
    """
    parser = Parser(
        prog="wordmask", description="Words in, masks out.", epilog="`wordmask help COMMAND` shows a command's options."
    )
    parser.add_argument("--version", action="version", version=f"wordmask {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    named = None if arguments is None else command_of(_as_options(arguments))
    for name, text, module in COMMANDS:
        command = parser.commands[name] = commands.add_parser(name, help=text)
        if named in (None, name):
            imported = importlib.import_module(module)
            imported.add_arguments(command)
            command.set_defaults(run=imported.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
