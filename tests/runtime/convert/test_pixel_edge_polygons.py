"""Masks as polygons: filled by others' rules, they are the same masks."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from wordmask.arrays import BoolMask
from wordmask.convert.pixel_centre_polygons import contours, joined, simplified
from wordmask.convert.pixel_edge_polygons import outlines

coco = pytest.importorskip("pycocotools.mask")


def masks() -> Iterator[BoolMask]:
    """Noise with parts and holes that touch in corners, smooth shapes, and the smallest masks."""
    rng = np.random.default_rng(0)
    for _ in range(300):
        yield rng.random(rng.integers(1, 14, 2)) < rng.choice([0.3, 0.5, 0.7, 0.9])
    for _ in range(20):
        field = cv2.GaussianBlur(rng.normal(size=(30, 30)).astype(np.float32), (0, 0), 3)
        yield cv2.resize(field, tuple(rng.integers(20, 150, 2).tolist())) > 0
    yield np.ones((1, 1), bool)
    yield np.zeros((5, 4), bool)


def filled(ring, size):
    code = coco.merge(coco.frPyObjects([ring.astype(float).ravel().tolist()], *size))
    return coco.decode(code).astype(np.int64)


def turns_left(ring) -> bool:
    x, y = ring.T
    return np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y) > 0


def test_outlines_filled_by_pycocotools_are_the_mask():
    for mask in masks():
        painted = np.zeros(mask.shape, np.int64)
        for polygon in outlines(mask):
            painted += filled(polygon.exterior, mask.shape)
            for hole in polygon.holes:
                painted -= filled(hole, mask.shape)
        np.testing.assert_array_equal(painted, mask)


def test_exteriors_run_counterclockwise_holes_clockwise_and_no_ring_meets_itself():
    holes = 0
    for mask in masks():
        for polygon in outlines(mask):
            assert turns_left(polygon.exterior)
            assert not any(map(turns_left, polygon.holes))
            for ring in (polygon.exterior, *polygon.holes):
                assert len(np.unique(ring, axis=0)) == len(ring)
                steps = np.roll(ring, -1, axis=0) - ring
                assert ((steps == 0).sum(axis=1) == 1).all()  # along rows and columns alone
            holes += len(polygon.holes)
    assert holes > 100


def test_an_outline_has_corners_only():
    (polygon,) = outlines(np.ones((30, 20), bool))
    assert sorted(map(tuple, polygon.exterior.tolist())) == [(0, 0), (0, 30), (20, 0), (20, 30)]


def test_contours_drawn_by_pillow_are_the_mask_where_there_are_no_holes():
    tried = 0
    for mask in masks():
        parts = contours(mask, (0, 0))
        if any(part.holes or len(simplified(part.exterior)) < 3 for part in parts):
            continue
        picture = Image.new("L", mask.shape[::-1])
        for part in parts:
            points = [tuple(point) for point in simplified(part.exterior).tolist()]
            ImageDraw.Draw(picture).polygon(points, outline=1, fill=1)
        np.testing.assert_array_equal(np.asarray(picture) > 0, mask)
        tried += 1
    assert tried > 20


def test_one_ring_around_a_part_and_its_holes_filled_by_opencv_is_the_mask():
    holes = 0
    for mask in masks():
        parts = contours(mask, (0, 0))
        if len(parts) == 1:
            np.testing.assert_array_equal(painted_by_opencv(parts, mask), mask)
            holes += len(parts[0].holes)
    assert holes > 100


def test_one_ring_around_several_parts_adds_bridges_as_short_as_can_be():
    mask = np.zeros((20, 40), bool)
    mask[2:8, 2:10] = mask[12:18, 2:10] = mask[12:18, 30:38] = True
    mask[4:6, 4:8] = False
    added = painted_by_opencv(contours(mask, (0, 0)), mask) & ~mask
    assert added.sum() == 4 + 20  # from row 7 to 12, and from column 9 to 30
    for mask in masks():
        assert painted_by_opencv(contours(mask, (0, 0)), mask)[mask].all()


def painted_by_opencv(parts, mask):
    picture = np.zeros(mask.shape, np.uint8)
    if parts:
        cv2.fillPoly(picture, [simplified(joined(parts)).astype(np.int32)], 1)
    return picture > 0


def test_contours_stand_where_the_box_stands():
    (part,) = contours(np.ones((2, 3), bool), (100, 50))
    assert part.exterior.min(axis=0).tolist() == [100, 50]
    assert part.exterior.max(axis=0).tolist() == [102, 51]
