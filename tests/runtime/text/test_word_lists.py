"""Lists of words as people write them."""

from __future__ import annotations

import pytest

from wordmask.errors import VocabularyError
from wordmask.text.word_files import read_word_file
from wordmask.text.word_lists import class_lines, read_class_lines


def test_a_word_file_has_one_class_a_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("\ufeffperson, man\n\n  traffic light \r\n", encoding="utf-8")
    assert [line.text for line in read_class_lines(path)] == ["person, man", "traffic light"]
    path.write_text("\n\n")
    with pytest.raises(VocabularyError, match="holds no words"):
        read_class_lines(path)
    with pytest.raises(VocabularyError, match="cannot be read"):
        read_class_lines(tmp_path / "none.txt")


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def texts(argument):
    return [line.text for line in class_lines([argument])]


def test_comments_are_left_out_and_an_escaped_sign_begins_a_word(tmp_path):
    path = written(tmp_path / "words.txt", "\ufeff# animals\ncat\n  # the rest\n\\#1 sign\ncup # no comment\n")
    read = read_word_file(path)
    assert [(line.text, line.number) for line in read.lines] == [("cat", 2), ("#1 sign", 4), ("cup # no comment", 5)]
    assert read.empty == 0
    assert read_word_file(written(path, "# a\ncat\n\ncup\n")).empty == 3


def test_a_file_of_comments_alone_holds_no_words(tmp_path):
    with pytest.raises(VocabularyError, match="holds no words"):
        read_word_file(written(tmp_path / "words.txt", "# cat\n# cup\n"))


def test_a_json_list_is_read_and_a_list_in_it_is_a_class(tmp_path):
    path = written(tmp_path / "words.JSON", '["cat", "cup, mug", ["car", "lorry"], "#1 sign"]')
    assert texts(f"@{path}") == ["cat", "cup, mug", "car, lorry", "#1 sign"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [("[cat]", "cannot be read as JSON"), ('{"words": ["cat"]}', "is no list"), ('["cat", 3]', "entry 2 is 3"),
     ("[" * 100_000, "cannot be read as JSON"), ("[]", "holds no words")],
)  # fmt: skip
def test_other_json_is_refused_with_what_is_expected(tmp_path, content, reason):
    with pytest.raises(VocabularyError, match=reason) as caught:
        class_lines([f"@{written(tmp_path / 'words.json', content)}"])
    assert reason == "holds no words" or '["cat", "cup, mug"]' in str(caught.value)


@pytest.mark.parametrize("suffix_and_delimiter", [("csv", ","), ("CSV", ";"), ("tsv", "\t")])
def test_a_column_of_a_table_is_read_by_its_name(tmp_path, suffix_and_delimiter):
    suffix, delimiter = suffix_and_delimiter
    rows = [["id", "name"], ["1", '"cup, mug"'], ["2", "cat"]]
    path = written(tmp_path / f"words.{suffix}", "\n".join(map(delimiter.join, rows)))
    assert texts(f"@{path}:name") == ["cup, mug", "cat"]


def test_a_table_without_the_name_of_a_column_is_refused_with_the_way(tmp_path):
    path = written(tmp_path / "words.csv", "id,name\n1,cat\n")
    way = "words.csv:COLUMN reads a column by the name in the first row, which has id, name"
    for asked, found in ((f"@{path}", "is a table"), (f"@{path}:label", "has no column 'label'")):
        with pytest.raises(VocabularyError, match=found) as caught:
            class_lines([asked])
        assert way in str(caught.value)


def test_a_files_name_without_the_sign_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "words.txt", "cat\n")
    with pytest.raises(VocabularyError, match=r"'words\.txt' is a file: give @words\.txt to read the words in it"):
        class_lines(["cat", "words.txt"])
    for word in ("word.txt", "w" * 1999, "a\0b"):  # no such files
        assert texts(word) == [word]


def test_a_word_that_a_file_is_called_stays_a_word_with_a_hint(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "cat", "dog\n")
    assert texts("cat") == ["cat"]
    assert "the word 'cat' is a file's name, too: @cat would read the words in it" in caplog.text


def test_photos_and_folders_among_the_words_are_refused(tmp_path):
    with pytest.raises(VocabularyError, match=r"'a/PHOTO\.JPG' is a photo's name: photos come before --vocabulary"):
        class_lines(["cat", "a/PHOTO.JPG"])
    with pytest.raises(VocabularyError, match="is a folder: photos and folders come before --vocabulary"):
        class_lines(["cat", str(tmp_path)])


@pytest.mark.parametrize("argument", ["cat. dog. coffee cup", "cat . dog . coffee cup .", "cat. dog. coffee cup."])
def test_a_sentence_of_words_is_a_list(argument, caplog):
    assert texts(argument) == ["cat", "dog", "coffee cup"]
    assert "is read as 3 words: cat; dog; coffee cup" in caplog.text


def test_full_stops_inside_a_word_or_at_its_end_do_not_cut_it(caplog):
    assert texts("cat. dog.") == ["cat", "dog"]
    caplog.clear()
    assert [texts(word) for word in ("no. 5", "2.5 ton truck", "cat.")] == [["no. 5"], ["2.5 ton truck"], ["cat."]]
    assert caplog.text.count("is read as one word: give several one by one") == 1
