"""The stages' measurements do the work they name."""

from __future__ import annotations

from wordmask_bench.studies.array_stages import RESIZED, decoder_logits, similarities, stages


def test_the_inputs_look_like_what_the_graphs_give() -> None:
    logits = similarities(0)
    assert logits.shape == (20, *RESIZED)
    assert 0 < logits.mean() < 0.3  # cosine similarities of CLIP
    areas = [float((plane > 0).mean()) for plane in decoder_logits(0)]
    assert all(0.005 < area < 0.25 for area in areas)


def test_every_stage_has_something_to_do() -> None:
    for name, call in stages(1).items():
        found = call()
        if name.startswith(("prompts", "masks")):
            assert len(found) > 5, name  # type: ignore[arg-type]
