"""The tokenizer against open_clip's, live where that is installed and by stored ids everywhere."""

from __future__ import annotations

import gzip
import importlib.util
import json
import random
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from wordmask.errors import BundleError
from wordmask.text.tokenizer import Tokenizer

GOLDEN = Path(__file__).parents[2] / "data" / "tokens.json"
TINY_MERGES = "#version: 0.2\na b\nab c</w>\nt h\n"
TINY_SIZE = 512 + 3 + 2
START, END = 49406, 49407


@pytest.fixture(scope="module")
def merges() -> Path:
    """open_clip's merges file, found without importing open_clip (which imports torch)."""
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        pytest.skip("open_clip, whose merges file this reads, is not installed")
    path = Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz"
    if not path.exists():
        pytest.skip(f"{path} is missing")
    return path


@pytest.fixture(scope="module")
def tokenizer(merges: Path) -> Tokenizer:
    return Tokenizer(merges)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    path = tmp_path / "merges.txt"
    path.write_text(TINY_MERGES)
    return path


def golden() -> list[tuple[str, list[int]]]:
    return [(row["text"], row["ids"]) for row in json.loads(GOLDEN.read_text("utf-8"))]


def random_texts(count: int) -> list[str]:
    """Seeded strings over ASCII, Latin, the basic plane and all of Unicode (surrogates included)."""
    source = random.Random(11)
    planes = [(32, 127), (0, 0x250), (0, 0x3000), (0, 0x110000)]
    return [
        "".join(chr(source.randrange(*source.choice(planes))) for _ in range(source.randrange(24)))
        for _ in range(count)
    ]


@pytest.mark.parametrize(("text", "ids"), golden())
def test_ids_equal_the_stored_ones_of_open_clip(tokenizer: Tokenizer, text: str, ids: list[int]) -> None:
    assert tokenizer.encode(text) == ids


def test_ids_and_rows_equal_open_clip(merges: Path, tokenizer: Tokenizer) -> None:
    open_clip = pytest.importorskip("open_clip")
    reference = open_clip.SimpleTokenizer(str(merges))
    texts = [text for text, _ in golden()] + random_texts(500)
    texts += [f"a photo of a {text}." for text in texts[:200]] + [" ".join(["caféine 日本 😀"] * 100)]
    assert [tokenizer.encode(text) for text in texts] == [reference.encode(text) for text in texts]
    for length in (77, 10, 2):
        rows = Tokenizer(merges, context_length=length)(texts)
        np.testing.assert_array_equal(rows, reference(texts, context_length=length).numpy())


def test_every_byte_has_an_id_of_its_own(tokenizer: Tokenizer) -> None:
    # Latin-1 and the planes above bring all continuation and lead bytes; NUL and controls the low ones.
    text = " ".join(chr(code) for code in [*range(0x20), *range(0x7F, 0x100), 0x800, 0x10000, 0x40000, 0x100000])
    assert all(0 <= index < START for index in tokenizer.encode(text))


def test_rows_start_end_and_are_padded_with_zeros(tokenizer: Tokenizer) -> None:
    rows = tokenizer(["", "cat"])
    assert rows.dtype == np.int32
    assert rows.shape == (2, 77)
    assert rows[0].tolist() == [START, END] + [0] * 75
    assert rows[1].tolist() == [START, 2368, END] + [0] * 74


def test_long_text_is_cut_and_keeps_the_end_token(tokenizer: Tokenizer) -> None:
    text = "cat " * 100
    assert len(tokenizer.encode(text)) == 100
    row = tokenizer([text])[0]
    assert row.tolist() == [START] + [2368] * 75 + [END]


def test_text_that_just_fits_is_not_cut(tokenizer: Tokenizer) -> None:
    assert tokenizer(["cat " * 75])[0].tolist() == [START] + [2368] * 75 + [END]


def test_special_tokens_in_a_text_become_their_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("cat<End_Of_Text>") == [2368, END]


def test_no_texts_give_no_rows(tokenizer: Tokenizer) -> None:
    assert tokenizer([]).shape == (0, 77)


def test_one_string_instead_of_a_sequence_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(TypeError, match=r"\['cat'\]"):
        tokenizer("cat")


def test_merges_are_applied_in_the_order_of_the_file(tiny: Path) -> None:
    tokenizer = Tokenizer(tiny, vocabulary_size=TINY_SIZE)
    # The bytes follow "!", which is 0; with 256 added they end a word. "th" is no whole word: "t" "h</w>" has no merge.
    letter = {name: ord(name) - ord("!") for name in "abcth"}
    assert tokenizer.encode("abc") == [513]
    assert tokenizer.encode("abab") == [512, letter["a"], letter["b"] + 256]
    assert tokenizer.encode("th") == [letter["t"], letter["h"] + 256]
    assert tokenizer.encode("tha") == [514, letter["a"] + 256]
    assert tokenizer([""])[0, :2].tolist() == [515, 516]


def test_compressed_merges_equal_plain_ones(tiny: Path, tmp_path: Path) -> None:
    packed = tmp_path / "merges.txt.gz"
    packed.write_bytes(gzip.compress(tiny.read_bytes()))
    texts = ["abc", "that ab", "x"]
    np.testing.assert_array_equal(
        Tokenizer(packed, vocabulary_size=TINY_SIZE)(texts), Tokenizer(str(tiny), vocabulary_size=TINY_SIZE)(texts)
    )


def test_missing_merges_name_the_file(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"absent\.txt.*cannot be read.*rebuild the bundle"):
        Tokenizer(tmp_path / "absent.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with"),
        (b"version https://git-lfs.github.com/spec/v1\n", "begins with"),
        (b"a b\nab c</w>\nt h\n", "begins with"),
        (b"#version: 0.2\na b\n", "no pair in line 3 of 4"),
        (b"#version: 0.2\na b\na b c\nt h\n", "no pair in line 3 of 4"),
        (b"#version: 0.2\n\xff\xfe\n", "damaged"),
        (gzip.compress(TINY_MERGES.encode(), mtime=0)[:-12], "damaged"),
        (b"\x1f\x8b" + b"x" * 30, "cannot be read"),
    ],
    # the workers of one run have to collect the same names: no bytes in them
    ids=["empty", "git-lfs", "no-header", "short", "three-parts", "not-utf-8", "cut-gzip", "not-gzip"],
)
def test_malformed_merges_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "merges.txt"
    path.write_bytes(content)
    with pytest.raises(BundleError, match=message):
        Tokenizer(path, vocabulary_size=TINY_SIZE)


def test_a_merges_file_is_unpacked_to_a_limit_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wordmask.text.tokenizer._MOST_BYTES", 1 << 20)
    path = tmp_path / "merges.gz"
    path.write_bytes(gzip.compress(b"#version\n" + bytes(16 << 20)))
    tracemalloc.start()
    with pytest.raises(BundleError, match="has no pair in line 2"):
        Tokenizer(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20


def test_too_small_sizes_are_refused(tiny: Path) -> None:
    with pytest.raises(ValueError, match="context_length is 1"):
        Tokenizer(tiny, context_length=1, vocabulary_size=TINY_SIZE)
    with pytest.raises(ValueError, match="vocabulary_size"):
        Tokenizer(tiny, vocabulary_size=514)


def test_importing_the_module_loads_neither_ftfy_nor_regex() -> None:
    code = "import sys, wordmask.text.tokenizer; print(sorted({'ftfy', 'regex', 'torch'} & set(sys.modules)))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
