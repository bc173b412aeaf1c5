"""evaluate_on_pascal_voc: the dataset's protocol is tested in tests/benchmarks; here, what a segmentor makes of it."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from wordmask.compat import LoftUpSCLIPSegmentor, SCLIPSegmentor, evaluate_on_pascal_voc
from wordmask.pipeline import Segmenter

FIGURES = {
    "bilinear": SimpleNamespace(miou=0.4, per_class={"cat": 0.5, "dog": 0.3}),
    "loftup": SimpleNamespace(miou=0.5, per_class={"cat": 0.6, "dog": 0.4}),
    "masks_over_dense": SimpleNamespace(miou=0.6, per_class={"cat": 0.7, "dog": 0.5}),
}


@pytest.fixture
def asked(monkeypatch):
    """What wordmask_bench was asked for; it finds FIGURES."""
    calls = []

    def evaluate(segmenter, **settings):
        calls.append((segmenter, settings))
        kind = "loftup" if settings["loftup"] else "bilinear"
        return SimpleNamespace(maps=FIGURES, figures=FIGURES[kind], photos=7)

    monkeypatch.setattr("wordmask_bench.quality.dataset.evaluate", evaluate)
    return calls


@pytest.mark.parametrize(
    ("make", "settings", "miou"),
    [
        (SCLIPSegmentor, {}, 40),
        (LoftUpSCLIPSegmentor, {"use_loftup": False}, 40),
        (LoftUpSCLIPSegmentor, {}, 50),
        (LoftUpSCLIPSegmentor, {"use_sam": True}, 60),
    ],
    ids=["sclip", "bilinear", "loftup", "sam2"],
)
def test_what_the_segmentor_was_made_with_is_measured_in_per_cent(asked, make, settings, miou):
    segmentor = make(bundle="tiny", verbose=False, **settings)
    found = evaluate_on_pascal_voc(segmentor, "VOCdevkit", limit=7)
    assert found["mIoU"] == pytest.approx(miou)
    assert found["per_class"] == pytest.approx({"cat": miou + 10, "dog": miou - 10})
    assert found["photos"] == 7
    ((segmenter, how),) = asked
    assert isinstance(segmenter, Segmenter)
    assert (how["dataset"], how["root"], how["limit"]) == ("voc21", "VOCdevkit", 7)
    assert (how["masks"], how["options"].use_loftup) == (bool(settings.get("use_sam")), miou > 40)


def test_a_dataset_that_is_not_there_is_told_with_its_layout(tmp_path):
    segmentor = SCLIPSegmentor(bundle="tiny", verbose=False)
    with pytest.raises(ValueError, match="JPEGImages"):
        evaluate_on_pascal_voc(segmentor, tmp_path)
