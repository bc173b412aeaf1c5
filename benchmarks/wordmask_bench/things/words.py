"""The words of the drawn things."""

from __future__ import annotations

ANIMALS = ("dog", "cat", "horse", "cow", "rabbit", "elephant", "bird", "fish", "butterfly", "turtle")
FOOD = ("apple", "banana", "strawberry", "pear", "grapes", "pizza")
VEHICLES = ("car", "bus", "truck", "bicycle", "airplane", "boat")
OBJECTS = ("flower", "umbrella", "ball", "cup", "clock", "book")


def vocabulary() -> tuple[str, ...]:
    """All 28 words: animals, food, vehicles, other objects. Backgrounds have none."""
    return ANIMALS + FOOD + VEHICLES + OBJECTS
