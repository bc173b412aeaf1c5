"""Words as files and arguments of `wordmask run` give them: those that CLIP cannot tell apart cost no object."""

from __future__ import annotations

import json

import pytest

from wordmask.cli.bench import PHOTO_WORDS
from wordmask.cli.main import main, make_parser

COLUMN = "reads a column by the name in the first row, which has id, name"


@pytest.fixture
def segment(fast_tiny, tmp_path, examples, capfd, caplog):
    """Runs over one scene; gives the exit status, the masks as (word, area), and what was said."""

    def run(*vocabulary: str, background: str = "none") -> tuple[int, list[tuple[str, int]], str]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        photo = str(examples.parent / "scenes" / "01.png")
        words = ["--vocabulary", *vocabulary, "--background", background]
        caplog.clear()
        quick = ["--bundle", str(fast_tiny), "--threads", "1", "--no-loftup"]
        status = main(["run", photo, *words, "--output", str(out), *quick])
        found = json.loads((out / "annotations.json").read_text()) if (out / "annotations.json").is_file() else {}
        names = {category["id"]: category["name"] for category in found.get("categories", [])}
        masks = [(names[one["category_id"]], one["area"]) for one in found.get("annotations", [])]
        return status, masks, capfd.readouterr().err + caplog.text

    return run


@pytest.fixture
def word_file(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "words.txt"
        path.write_text(text, encoding="utf-8")
        return f"@{path}"

    return write


def test_a_line_that_clip_reads_like_an_earlier_one_costs_no_masks(segment, word_file):
    status, expected, said = segment("blue plain", "green checkered")
    assert status == 0
    assert {word for word, _ in expected} == {"blue plain", "green checkered"}
    assert "reads some lines alike" not in said
    for again in ("blue  plain", "\ufeffblue plain", "blue\tplain", "Blue Plain", "blue&nbsp;plain"):
        status, masks, said = segment(word_file(f"blue plain\ngreen checkered\n{again}\n"))
        assert (status, masks) == (0, expected)
        assert "line 3 of words.txt" in said
        assert "is line 1 of words.txt ('blue plain') again" in said


def test_a_synonym_of_two_classes_is_refused_with_both_lines(segment, word_file):
    status, masks, said = segment(word_file("red plain\n\nblue plain\nscarlet, red plain\n"))
    assert (status, masks) == (2, [])
    assert "'red plain' of line 4 of words.txt ('scarlet, red plain') as a word of line 1 of words.txt" in said


def test_background_words_that_are_asked_for_in_another_spelling_take_no_pixels(segment, word_file):
    _, expected, _ = segment("blue plain", "green checkered")
    status, masks, _ = segment(
        "blue plain", "green checkered", background=word_file("Blue  Plain, green\u00a0checkered\n")
    )
    assert (status, masks) == (0, expected)


def test_an_empty_line_between_words_is_said_to_move_the_numbers(segment, word_file):
    status, _, said = segment(word_file("blue plain\n\ngreen checkered\n\n"))
    assert status == 0
    assert "line 2 of words.txt is empty: later classes have lower numbers than their lines" in said
    assert "is empty" not in segment(word_file("blue plain\ngreen checkered\n\n \n"))[2]


@pytest.mark.parametrize("name", ["words_two_blanks", "words_bom_inside", "words_repeated", "words_shared_synonym"])
def test_words_that_were_reported_are_said(segment, name, data):
    status, _, said = segment(f"@{data / 'words' / name}.txt")
    assert status == (2 if name == "words_shared_synonym" else 0)
    assert f"line 3 of {name}.txt" in said
    assert f"line 1 of {name}.txt" in said


def test_words_of_arguments_are_compared_too(segment):
    status, _, said = segment("cup", "mug, Cup")
    assert status == 2
    assert "'Cup' of line 2 ('mug, Cup') as a word of line 1 ('cup')" in said


@pytest.mark.parametrize(
    ("words", "answer"),
    [
        (["words.txt"], "the word 'words.txt' is a file: give @words.txt to read the words in it"),
        (["cat", "a.jpg"], "the word 'a.jpg' is a photo's name: photos come before --vocabulary, or by --image"),
        (["./photos"], "the word './photos' is a folder: photos and folders come before --vocabulary"),
        (
            ['["cat", "mug"]'],
            "the word '[\"cat\", \"mug\"]' looks like JSON: give words one by one, or @FILE.json with a list of them",
        ),
        (["@t.csv"], f"t.csv: is a table: @t.csv:COLUMN {COLUMN}"),
        (["@o.json"], 'o.json: is no list; a JSON file of words is a list such as ["cat", "cup, mug"]'),
    ],
)  # fmt: skip
def test_words_that_are_surely_a_mistake_are_answered_with_one_line(tmp_path, monkeypatch, capsys, words, answer):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    for name, text in (("words.txt", "cat\n"), ("t.csv", "id,name\n1,cat\n"), ("o.json", '{"words": ["cat"]}')):
        (tmp_path / name).write_text(text)
    assert main(["run", "photos", "--output", "out", "--bundle", "tiny", "--vocabulary", *words]) == 2
    assert capsys.readouterr().err == f"wordmask: {answer}\n"


def test_a_second_vocabulary_adds_words_and_the_first_replaces_the_default_ones():
    given = ["--vocabulary", "cat", "--overlay", "--vocabulary", "cup", "@words.txt"]
    assert make_parser(["run"]).parse_args(["run", "p", *given, "--output", "o"]).vocabulary == [
        "cat",
        "cup",
        "@words.txt",
    ]
    bench = make_parser(["bench"])
    given.remove("--overlay")
    assert bench.parse_args(["bench", "--images", "p", *given]).vocabulary == ["cat", "cup", "@words.txt"]
    assert bench.parse_args(["bench", "--images", "p"]).vocabulary == PHOTO_WORDS


def test_comments_in_a_file_of_words_move_no_numbers_and_are_not_said(segment, word_file):
    status, expected, _ = segment("blue plain", "green checkered")
    assert status == 0
    status, masks, said = segment(word_file("# colours\nblue plain\n# and patterns\ngreen checkered\n"))
    assert (status, masks) == (0, expected)
    assert "words.txt" not in said
