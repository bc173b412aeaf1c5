"""What the command line answers to typos, and to those who ask it for help."""

from __future__ import annotations

import pytest

import wordmask
from wordmask.cli.main import COMMANDS, main, make_parser

RUN_USAGE = "usage: wordmask run [PHOTO_OR_FOLDER ...] --vocabulary WORD [WORD ...] --output OUT [OPTION ...]"
RUN_USAGE += "   (all: wordmask run --help)"
NO_OPTION = "run: there is no option"
USAGE = "usage: wordmask COMMAND ... [OPTION ...]   (all: wordmask --help)"


def ended(arguments, capsys):
    """Exit status, standard output and error of a command line that argparse ends."""
    with pytest.raises(SystemExit) as end:
        main(arguments)
    return end.value.code, *capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "answer", "usage"),
    [
        ("run p.jpg --min-confidance 0.5", f"{NO_OPTION} --min-confidance: did you mean --min-confidence?", RUN_USAGE),
        ("run p.jpg --vocabluary cat --output o", f"{NO_OPTION} --vocabluary: did you mean --vocabulary?", RUN_USAGE),
        ("run p.jpg --min_score=0.3", "run: there is no option --min_score: did you mean --min-score?", RUN_USAGE),
        ("run p.jpg -overlay", "run: there is no option -overlay: did you mean --overlay?", RUN_USAGE),
        ("run p.jpg --qqqqqq", "run: there is no option --qqqqqq", RUN_USAGE),
        ("run p.jpg", "run: the following arguments are required: --vocabulary, --output", RUN_USAGE),
        (
            "triton tiny",
            "triton: the following arguments are required: OUT",
            "usage: wordmask triton BUNDLE OUT [OPTION ...]   (all: wordmask triton --help)",
        ),
        ("rnu p.jpg", ": there is no command 'rnu': did you mean run?", USAGE),
        ("help evla", ": there is no command 'evla': did you mean eval?", USAGE),
        ("zzzz", ": there is no command 'zzzz'", USAGE),
        ("--verson", ": there is no option --verson: did you mean --version?", USAGE),
    ],
)  # fmt: skip
def test_a_typo_is_answered_with_what_was_meant_and_one_line_of_usage(capsys, arguments, answer, usage):
    status, out, error = ended(arguments.split(), capsys)
    assert (status, out) == (2, "")
    separator = "" if answer.startswith(":") else " "
    assert error == f"wordmask{separator}{answer}\n{usage}\n"


def test_abbreviations_negative_numbers_and_what_follows_two_dashes_are_no_typos(capsys):
    words = ["run", "--vocab", "cat", "--out", "o", "--min-score", "-1", "--", "--odd.jpg"]
    assert main(words) == 2
    assert "min_score is -1.0: it must lie between 0 and 1" in capsys.readouterr().err
    assert main(words[:5] + words[7:]) == 2
    assert "--odd.jpg does not exist" in capsys.readouterr().err


def test_an_ambiguous_abbreviation_names_what_it_could_be(capsys):
    _, _, error = ended(["run", "p.jpg", "--min", "1"], capsys)
    assert "ambiguous option: --min could match --min-confidence, --min-region-size, --min-score\n" in error


def test_newer_pythons_do_not_add_suggestions_of_their_own():
    parser = make_parser([])
    assert {one.suggest_on_error for one in (parser, *parser.commands.values())} == {False}


@pytest.mark.parametrize("arguments", [[], ["help"], ["--help"]])
def test_the_program_alone_and_help_list_the_commands(capsys, arguments):
    status, out, error = ended(arguments, capsys)
    assert (status, error) == (0, "")
    for name, text, _ in COMMANDS:
        assert name in out
        assert text[:30] in " ".join(out.split())


def test_help_of_a_command_is_that_of_its_option(capsys):
    assert ended(["help", "convert"], capsys) == ended(["convert", "--help"], capsys)


def test_the_version_is_that_of_the_package(capsys):
    assert ended(["--version"], capsys) == (0, f"wordmask {wordmask.__version__}\n", "")
