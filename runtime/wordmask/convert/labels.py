"""Words as names of classes in files that cannot hold every text."""

from __future__ import annotations

from collections.abc import Collection, Sequence


def distinct_labels(words: Sequence[str], *, without: str = "", taken: Collection[str] = ()) -> list[str]:
    """The words with single blanks and `_` for what cannot be printed; of equal ones the later are numbered.

    Args:
        words: of the run, each its own.
        without: more letters that become `_`.
        taken: names that none may have.
    """
    names: list[str] = []
    for word in words:
        plain = "".join("_" if c in without or not c.isprintable() else c for c in " ".join(word.split()))
        numbered = (plain if number == 1 else f"{plain}-{number}" for number in range(1, len(words) + len(taken) + 2))
        names.append(next(name for name in numbered if name not in names and name not in taken))
    return names
