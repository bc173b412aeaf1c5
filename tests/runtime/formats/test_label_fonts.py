"""Fonts for labels: what is written where a font has a word's letters, and where none has."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import ImageFont

from wordmask.errors import WordmaskWarning
from wordmask.formats import label_fonts
from wordmask.formats.label_fonts import written


@pytest.fixture(autouse=True)
def _forgotten() -> Iterator[None]:
    """Nothing is remembered of fonts that other tests have seen, or that this one pretends."""
    caches = (label_fonts.written, label_fonts._font_of, label_fonts._opened, label_fonts._warn_of_missing_font)
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


@pytest.fixture
def _no_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_fonts, "_FONTS", ())
    monkeypatch.setattr("shutil.which", lambda name: None)


def has(*letters: str):
    """Stands in for the look at glyphs: fonts opened by name have these letters, Pillow's own has none."""
    return lambda font, letter: letter in letters and "Pretended" in str(font.path)


def pretend(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Opens fonts of these names or paths, and no others; gives the list of what was asked for."""
    asked, real = [], ImageFont.load_default(12)

    class Pretended:
        def __init__(self, path: str) -> None:
            self.path, self.getlength = f"Pretended {path}", real.getlength

    def opened(name: str | None, size: int) -> object:
        if name is None:
            return real
        asked.append(name)
        return Pretended(name) if name in names else None

    monkeypatch.setattr(label_fonts, "_opened", opened)
    label_fonts.written.cache_clear()
    return asked


def test_ascii_is_written_in_pillows_own_font_and_asks_for_no_other(monkeypatch):
    asked = pretend(monkeypatch)
    text, font = written(" traffic\n light ", 0, 12)
    assert text == "traffic light"
    assert font.getlength("abc") == ImageFont.load_default(12).getlength("abc")
    assert asked == []


def test_the_first_font_that_has_all_letters_is_taken(monkeypatch):
    monkeypatch.setattr(label_fonts, "_FONTS", ("Latin.ttf", "CJK.ttc", "More.ttc"))
    pretend(monkeypatch, "CJK.ttc", "More.ttc")
    monkeypatch.setattr(label_fonts, "_has", has("猫"))
    text, font = written("猫", 0, 12)
    assert (text, font.path) == ("猫", "Pretended CJK.ttc")


def test_fontconfig_is_asked_for_fonts_that_have_other_names(monkeypatch, tmp_path):
    program = tmp_path / "fc-list"
    program.write_text('#!/bin/sh\nprintf "%s: \\n" "/fonts/$1.ttf" /fonts/b.ttf\n')
    program.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(program))
    monkeypatch.setattr(label_fonts, "_FONTS", ())
    pretend(monkeypatch, "/fonts/:charset=732b 9b5a.ttf")
    monkeypatch.setattr(label_fonts, "_has", has("猫", "魚"))
    assert written("猫 魚", 0, 12)[1].path == "Pretended /fonts/:charset=732b 9b5a.ttf"


@pytest.mark.usefixtures("_no_fonts")
def test_without_any_font_accents_are_left_out():
    assert written("crème brûlée", 4, 12)[0] == "creme brulee"


@pytest.mark.usefixtures("_no_fonts")
def test_a_word_that_no_font_has_is_shown_by_its_number_and_that_is_said_once():
    with pytest.warns(WordmaskWarning, match="install a font of their script") as told:
        assert written("猫", 2, 12)[0] == "#3"
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert written("魚", 3, 12)[0] == "#4"


def test_the_systems_fonts_are_looked_at_for_real():
    """Whatever this system has: the text is the word if the font has its letters, else its number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", WordmaskWarning)
        text, font = written("猫", 2, 12)
    if text == "猫":
        assert isinstance(font, ImageFont.FreeTypeFont)
        assert Path(str(font.path)).suffix in (".ttf", ".ttc", ".otf")
    else:
        assert text == "#3"
