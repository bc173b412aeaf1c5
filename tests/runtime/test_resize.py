"""Bilinear resizing against torch, and of windows against the whole."""

from __future__ import annotations

import time

import numpy as np
import pytest

from wordmask.resize import bilinear

# (source shape, output size): enlarged, shrunk, mixed, unchanged, and single rows or columns.
SHAPES = [
    ((5, 34, 51), (120, 180)),
    ((5, 51, 34), (180, 120)),
    ((256, 256), (301, 777)),
    ((2, 4, 64, 48), (19, 30)),
    ((4, 20, 30), (11, 90)),
    ((4, 20, 30), (20, 30)),
    ((4, 1, 7), (9, 3)),
    ((4, 6, 1), (1, 8)),
    ((4, 14, 14), (1, 2000)),
]


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_it_gives_what_torch_gives(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    torch = pytest.importorskip("torch")
    image = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    planes = torch.from_numpy(image.reshape(1, -1, *shape[-2:]))
    expected = torch.nn.functional.interpolate(planes, size, mode="bilinear", align_corners=False).numpy()
    # Mostly the last bit; but one of torch's kernels (few channels, one thread) rounds positions once less.
    tolerance = 1e-5 * np.abs(expected).max()
    np.testing.assert_allclose(bilinear(image, size), expected.reshape(*shape[:-2], *size), rtol=0, atol=tolerance)


def test_doubling_mixes_neighbours_three_to_one_and_repeats_the_border() -> None:
    image = np.array([[0.0, 4.0], [8.0, 12.0]], dtype=np.float32)
    expected = [[0, 1, 3, 4], [2, 3, 5, 6], [6, 7, 9, 10], [8, 9, 11, 12]]
    np.testing.assert_array_equal(bilinear(image, (4, 4)), np.array(expected, dtype=np.float32))


def test_shrinking_takes_the_two_nearest_samples_without_a_wider_filter() -> None:
    image = np.array([[99, 1, 3, 99, 99, 5, 0, 99]], dtype=np.float32)
    np.testing.assert_array_equal(bilinear(image, (1, 2)), [[2.0, 2.5]])  # at 1.5 and 5.5


@pytest.mark.parametrize(("shape", "size"), SHAPES)
def test_a_window_is_the_same_part_of_the_whole_to_the_last_bit(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    image = rng.standard_normal(shape, dtype=np.float32)
    whole = bilinear(image, size)
    for _ in range(5):
        rows, columns = (slice(*np.sort(rng.integers(0, side + 1, 2)).tolist()) for side in size)
        np.testing.assert_array_equal(bilinear(image, size, rows, columns), whole[..., rows, columns])


def test_the_source_is_not_changed() -> None:
    image = np.random.default_rng(2).standard_normal((3, 8, 8), dtype=np.float32)
    before = image.copy()
    bilinear(image, (8, 8))
    bilinear(image, (20, 20))
    np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize(("shape", "size"), [((3, 0, 4), (5, 5)), ((3, 4, 4), (0, 5)), ((4,), (5, 5))])
def test_sides_of_zero_are_refused(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="cannot resize"):
        bilinear(np.zeros(shape, dtype=np.float32), size)


def test_a_strip_costs_itself_and_not_the_whole() -> None:
    image = np.random.default_rng(3).standard_normal((8, 84, 126), dtype=np.float32)

    def fastest(rows: slice) -> float:
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            bilinear(image, (1200, 900), rows)
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    assert fastest(slice(600, 630)) < fastest(slice(None)) / 4  # a fortieth of the rows
