"""Arrays come back from bytes as they were, and damage is found."""

from __future__ import annotations

import numpy as np
import pytest

from wordmask.formats.packed_arrays import pack, unpack


@pytest.fixture(scope="module")
def arrays():
    random = np.random.default_rng(1)
    floats = random.normal(size=(1, 8, 16, 16)).astype(np.float32)
    odd = np.array([np.inf, -np.inf, np.nan, -0.0, 1e-45, 3e38], np.float32)
    return {
        "floats": floats,
        "turned": floats.transpose(0, 3, 2, 1),
        "odd": odd,
        "labels": random.integers(0, 300, (5, 7)).astype(np.uint16),
        "flags": random.random((3, 3)) > 0.5,
        "none": np.empty((0, 4), np.int32),
        "one": np.array(7),
    }


def test_every_bit_comes_back(arrays):
    header, found = unpack(pack("about \n them", arrays))
    assert header == "about \n them"
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert found[name].tobytes() == array.tobytes()


def test_values_of_half_precision_take_half_the_space(arrays):
    floats = np.random.default_rng(2).normal(size=1 << 16).astype(np.float32)
    whole, half = (len(pack("", {"x": x})) for x in (floats, floats.astype(np.float16).astype(np.float32)))
    assert whole < 0.9 * floats.nbytes
    assert half < 0.6 * whole  # of four bytes, two and a half are zero or nearly so


def test_damage_is_found(arrays):
    content, random = pack("key", arrays), np.random.default_rng(3)
    for place in random.integers(0, len(content), 200):
        damaged = bytearray(content)
        damaged[place] ^= 1 << int(random.integers(8))
        try:
            header, found = unpack(bytes(damaged))
        except ValueError:
            continue
        # a bit of a name or of the header, whose values are compared with what is expected
        assert header != "key" or set(found) != set(arrays)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b"[]\n", b'{"header": "", "arrays": [{}]}\n', b"\x89PNG\r\n", b"[" * 99_999 + b"\n"],
    ids=["empty", "nothing", "list", "entry", "png", "deep"],
)
def test_something_else_is_refused(content, arrays):
    with pytest.raises(ValueError, match="no packed arrays, or damaged ones"):
        unpack(content)


def test_what_was_cut_off_is_refused(arrays):
    content = pack("key", arrays)
    for length in (len(content) - 1, len(content) // 2, content.index(b"\n")):
        with pytest.raises(ValueError, match="no packed arrays, or damaged ones"):
            unpack(content[:length])
