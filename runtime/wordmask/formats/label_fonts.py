"""Fonts for the labels of pictures: the first one at hand that has all letters of a word."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache

from PIL import Image, ImageDraw, ImageFont

from wordmask.errors import WordmaskWarning

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
# The font inside Pillow has little beyond ASCII. These are the usual ones of Linux, Windows and macOS: of European
# letters first, then of Chinese, Japanese and Korean ones.
_FONTS = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "segoeui.ttf",
    "arial.ttf",
    "Arial Unicode.ttf",
    "Helvetica.ttc",
    "NotoSansCJK-Regular.ttc",
    "NotoSansCJKsc-Regular.otf",
    "NotoSansCJKjp-Regular.otf",
    "wqy-microhei.ttc",
    "wqy-zenhei.ttc",
    "DroidSansFallbackFull.ttf",
    "msyh.ttc",
    "YuGothM.ttc",
    "msgothic.ttc",
    "malgun.ttf",
    "PingFang.ttc",
    "Hiragino Sans GB.ttc",
    "AppleSDGothicNeo.ttc",
)
_MOST_LISTED = 8  # fonts of fontconfig that are tried for a word
_PATIENCE = 10  # seconds, for fontconfig


@lru_cache(maxsize=1024)  # looking for fonts takes longer than drawing
def written(word: str, class_index: int, size: int) -> tuple[str, Font]:
    """What to write for a word, and in which font.

    Where no font at hand has all its letters they lose their accents; where that does not help, the word's number
    stands for it, as in label PNGs and COCO annotations: `#3` is the third word. A WordmaskWarning, once per process,
    then says so.

    Args:
        word: any text; white space becomes single spaces.
        class_index: of the word.
        size: of the letters, in pixels.
    """
    text = " ".join(word.split())
    font = _font_of(frozenset(text), size)
    if font is not None:
        return text, font
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    default = ImageFont.load_default(size)
    if plain.isascii():
        return plain, default
    _warn_of_missing_font()
    return f"#{class_index + 1}", default


@cache
def _warn_of_missing_font() -> None:
    advice = "pictures show their numbers; install a font of their script, such as Noto Sans CJK"
    warnings.warn(f"no font on this system has all letters of some words: {advice}", WordmaskWarning, stacklevel=2)


@lru_cache(maxsize=1024)
def _font_of(letters: frozenset[str], size: int) -> Font | None:
    """The first font that has all letters; None if there is none."""
    unusual = sorted(letter for letter in letters if not letter.isascii())
    if not unusual:
        return ImageFont.load_default(size)
    for name in itertools.chain((None, *_FONTS), _listed(unusual)):
        font = _opened(name, size)
        if font is not None and all(_has(font, letter) for letter in unusual):
            return font
    return None


@lru_cache(maxsize=256)
def _opened(name: str | None, size: int) -> Font | None:
    """A font by its file's name or path, or Pillow's own; None if it is not there."""
    if name is None:
        return ImageFont.load_default(size)
    try:
        return ImageFont.truetype(name, size)
    except OSError:
        return None


def _listed(letters: Sequence[str]) -> Iterator[str]:
    """Paths of the fonts that fontconfig, where it is installed, knows to have these letters."""
    program = shutil.which("fc-list")
    if program is None:
        return
    wanted = " ".join(f"{ord(letter):x}" for letter in letters)
    try:
        listed = subprocess.run(
            [program, f":charset={wanted}", "file"], capture_output=True, timeout=_PATIENCE, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return
    paths = sorted(line.strip().rstrip(":") for line in listed.decode("utf-8", "replace").splitlines())
    yield from paths[:_MOST_LISTED]


def _has(font: Font, letter: str) -> bool:
    """Whether a font draws a letter as something else than the box for missing ones."""
    drawn = []
    for text in (letter, "\U0010ffff"):
        image = Image.new("L", (64, 64))
        ImageDraw.Draw(image).text((0, 0), text, font=font, fill=255)
        drawn.append(image.tobytes())
    return drawn[0] != drawn[1]
