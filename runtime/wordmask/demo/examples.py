"""Example photos of the page, with words to look for: for models of photos, and for those of synthetic scenes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from wordmask.system.package_data import data_path


@dataclass(frozen=True)
class Example:
    """An example.

    Attributes:
        file: name of the photo in the package's assets.
        about: what is seen on it.
        words: to look for, as a user would type them.
    """

    file: str
    about: str
    words: str

    @property
    def path(self) -> Path:
        """The photo on disk."""
        return data_path("wordmask.demo", "assets/examples") / self.file


PHOTOS = (
    Example("coffee.jpg", "a cup of coffee", "cup, spoon, saucer, table"),
    Example("chelsea.jpg", "a cat", "cat, eye, nose"),
    Example("astronaut.jpg", "an astronaut", "person, flag, helmet, rocket"),
    Example("rocket.jpg", "a rocket", "rocket, tower, sky, light"),
)
SCENES = (
    Example("thing-01.jpg", "things on tea gardens", "dog, apple, bicycle, bus, car, elephant, pear, pizza"),
    Example("thing-06.jpg", "things on snow", "dog, apple, clock, fish, pizza, airplane"),
    Example("scene-04.jpg", "zigzags on paper", "orange zigzag, blue zigzag, yellow zigzag, black checkered, paper"),
    Example("scene-02.jpg", "gears on paper", "orange zigzag, blue zigzag, white zigzag, yellow checkered, paper"),
)


def examples_for(domain: str) -> tuple[Example, ...]:
    """The examples for a bundle that was trained on this domain (see the manifest)."""
    return SCENES if domain == "synthetic" else PHOTOS
