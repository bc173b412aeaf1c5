"""The words of the scenes: colour x pattern for objects, and backgrounds; and the combinations held out."""

from __future__ import annotations

from typing import Literal, get_args

Combinations = Literal["train", "test", "unseen"]

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
PATTERNS = ("plain", "striped", "checkered", "dotted", "zigzag")
BACKGROUNDS = ("grass", "sky", "sand", "water", "brick", "wood", "stone", "paper")

# One per colour; every pattern is trained in at least six other colours.
HELD_OUT: frozenset[str] = frozenset(
    {
        "red zigzag",
        "green striped",
        "blue checkered",
        "yellow dotted",
        "purple plain",
        "orange checkered",
        "white striped",
        "black dotted",
    }
)

_OBJECTS = tuple(f"{colour} {pattern}" for colour in COLOURS for pattern in PATTERNS)


def vocabulary() -> tuple[str, ...]:
    """All 48 phrases: the 40 of objects, colour by colour ("red plain", "red striped", ...), then the 8 backgrounds."""
    return _OBJECTS + BACKGROUNDS


def object_words(combinations: Combinations) -> tuple[str, ...]:
    """The phrases that objects may have.

    Args:
        combinations: "train" for all but HELD_OUT, "unseen" for HELD_OUT only, "test" for all.

    Returns:
        A part of vocabulary(), in its order.

    Raises:
        ValueError: another value.
    """
    if combinations not in get_args(Combinations):
        raise ValueError(f"combinations is {combinations!r}: give one of {', '.join(get_args(Combinations))}")
    if combinations == "test":
        return _OBJECTS
    return tuple(word for word in _OBJECTS if (word in HELD_OUT) == (combinations == "unseen"))
