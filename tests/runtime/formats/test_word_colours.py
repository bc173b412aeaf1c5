"""The colours of words: apart for all eyes, legible, and the same in every run."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from wordmask.formats.word_colours import (
    PALETTE,
    class_map_colours,
    contrast,
    hex_colour,
    letters_on,
    word_colours,
)

# How a dichromat sees linear RGB: Machado, Oliveira and Fernandes 2009, severity 1
EYES = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
}
# Linear RGB to OKLab, in which equal distances look about equally large (Ottosson 2020)
TO_CONES = [[0.4122215, 0.5363325, 0.0514460], [0.2119035, 0.6806995, 0.1073970], [0.0883025, 0.2817188, 0.6299787]]
TO_OKLAB = [[0.2104543, 0.7936178, -0.0040720], [1.9779985, -2.4285922, 0.4505937], [0.0259040, 0.7827718, -0.8086758]]
WORDS = tuple(f"word {i}" for i in range(200))


def oklab(colours, eye="normal") -> np.ndarray:
    values = np.array(colours) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(EYES[eye]), 0, 1)
    return np.cbrt(seen @ np.transpose(TO_CONES)) @ np.transpose(TO_OKLAB)


@pytest.mark.parametrize("eye", EYES)
def test_any_two_colours_are_told_apart_by_all_eyes(eye):
    seen = oklab(PALETTE, eye)
    least = min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2))
    assert least > 0.115  # 0.02 is just noticeable


def test_all_colours_are_bright():
    lightness, *plane = oklab(PALETTE).T
    assert lightness.min() > 0.54
    assert np.hypot(*plane).min() > 0.12


def test_letters_are_legible_on_every_colour():
    assert min(contrast(letters_on(colour), colour) for colour in PALETTE) >= 4.5  # WCAG's level AA
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)


def test_a_word_has_its_colour_wherever_it_stands_and_however_it_is_written():
    words = ("cat", "traffic light", "sky", "person")
    colours = dict(zip(words, word_colours(words), strict=True))
    assert word_colours(words[::-1]) == tuple(colours[word] for word in reversed(words))
    assert word_colours((" CAT", "Traffic  Light", "sky", "person")) == word_colours(words)
    assert hex_colour(word_colours(["person"])[0]) == "#00f0ff"  # in every release


def test_twelve_words_of_a_run_have_twelve_colours():
    for start in range(0, 180, 12):
        assert len(set(word_colours(WORDS[start : start + 12]))) == len(PALETTE) == 12


def test_a_word_has_its_own_colour_unless_another_word_of_the_run_wants_it():
    alone = {word: word_colours([word])[0] for word in WORDS}
    for start in range(0, 200, 8):
        run = WORDS[start : start + 8]
        wanted = [alone[word] for word in run]
        for word, colour in zip(run, word_colours(run), strict=True):
            assert colour == alone[word] or wanted.count(alone[word]) > 1
        for colour in set(wanted):  # one of those that want a colour has it
            assert any(found == alone[word] == colour for word, found in zip(run, word_colours(run), strict=True))


def test_more_words_than_colours_share_them_evenly():
    colours = word_colours(WORDS[:36])
    assert {colours.count(colour) for colour in PALETTE} == {3}


def test_a_word_that_is_named_twice_has_one_colour():
    first, second, third = word_colours(["cat", "dog", "cat"])
    assert first == third != second


def test_a_class_maps_colours_begin_with_black():
    colours = class_map_colours(["cat", "dog"])
    assert colours.dtype == np.uint8
    assert colours.tolist() == [[0, 0, 0], *map(list, word_colours(["cat", "dog"]))]
