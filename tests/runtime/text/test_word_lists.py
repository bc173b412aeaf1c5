"""Lists of words as people write them."""

from __future__ import annotations

import pytest

from wordmask.errors import VocabularyError
from wordmask.text.word_lists import read_class_lines


def test_a_word_file_has_one_class_a_line(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("\ufeffperson, man\n\n  traffic light \r\n", encoding="utf-8")
    assert [line.text for line in read_class_lines(path)] == ["person, man", "traffic light"]
    path.write_text("\n\n")
    with pytest.raises(VocabularyError, match="holds no words"):
        read_class_lines(path)
    with pytest.raises(VocabularyError, match="cannot be read"):
        read_class_lines(tmp_path / "none.txt")
