"""The tiny recipe: each training learns, goes on where it stopped, and follows from its seed."""

from __future__ import annotations

import dataclasses

import pytest

torch = pytest.importorskip("torch")
import numpy as np  # noqa: E402

from wordmask.objects import mask_choice  # noqa: E402
from wordmask_bench import things  # noqa: E402
from wordmask_bench.scenes import BACKGROUNDS, HELD_OUT, generate  # noqa: E402
from wordmask_export.models import loftup  # noqa: E402
from wordmask_export.tiny import loftup_stage, loop  # noqa: E402
from wordmask_export.tiny import rough_masks as rough_module  # noqa: E402
from wordmask_export.tiny.ahead import ahead  # noqa: E402
from wordmask_export.tiny.clip_stage import ClipStage, prominent, recoloured  # noqa: E402
from wordmask_export.tiny.data import CLASSES, NO_WORD, TRAINED, WORDS, WindowStream  # noqa: E402
from wordmask_export.tiny.loftup_stage import Crop, LoftupStage, region_features, upsample_pixels  # noqa: E402
from wordmask_export.tiny.loop import Schedule, train  # noqa: E402
from wordmask_export.tiny.phrases import mixed_squares, parts, squares  # noqa: E402
from wordmask_export.tiny.prompts import Phase, PromptStream  # noqa: E402
from wordmask_export.tiny.rough_masks import rough_masks  # noqa: E402
from wordmask_export.tiny.sam2_losses import mask_losses  # noqa: E402
from wordmask_export.tiny.sam2_stage import Sam2Stage  # noqa: E402
from wordmask_export.tiny.squares import crowded_scene  # noqa: E402
from wordmask_export.tiny.towers import COLUMNS, OTHER_BACKGROUNDS, class_logits, new_towers  # noqa: E402

SCHEDULE = Schedule(steps=5, rate=1e-3, warmup=1)


@dataclasses.dataclass
class Repeated:
    """A stage whose steps all see the same data: its loss must fall."""

    stage: object

    def __post_init__(self):
        self.name, self.module, self.hidden = self.stage.name, self.stage.module, self.stage.hidden
        self.losses = []

    def loss(self, step):
        loss, figures = self.stage.loss(0)
        self.losses.append(loss.item())
        return loss, figures

    def weights(self):
        return self.stage.weights()


def new_stage(name, seed=0):
    if name == "clip":
        return ClipStage(seed, batch=(4, 4))
    if name == "loftup":
        return LoftupStage(seed, new_towers(0), batch=(2, 2), scenes=1)
    return Sam2Stage(seed, 100, scenes=4)


def quiet(text):
    pass


@pytest.mark.parametrize("name", ["clip", "loftup", "sam2"])
def test_a_few_steps_reduce_the_loss(name, tmp_path):
    stage = Repeated(new_stage(name))
    assert train(stage, SCHEDULE, tmp_path, report=quiet)
    assert stage.losses[-1] < 0.95 * stage.losses[0]


def test_an_interrupted_training_ends_as_an_uninterrupted_one(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SAVE_EVERY", 0.0)
    whole, first, second = (new_stage("clip") for _ in range(3))
    train(whole, dataclasses.replace(SCHEDULE, steps=3), tmp_path / "whole", report=quiet)

    def stop_at_two(step):
        if step == 2:
            raise KeyboardInterrupt
        return ClipStage.loss(first, step)

    first.loss = stop_at_two
    with pytest.raises(KeyboardInterrupt):
        train(first, dataclasses.replace(SCHEDULE, steps=3), tmp_path / "parts", report=quiet)
    assert train(second, dataclasses.replace(SCHEDULE, steps=3), tmp_path / "parts", report=quiet)
    for name, value in whole.weights().items():
        torch.testing.assert_close(second.weights()[name], value, rtol=0, atol=0)


class Counted:
    """A training of one number, which notes its steps."""

    name, hidden = "counted", ()

    def __init__(self):
        self.module, self.steps = torch.nn.Linear(1, 1), []

    def loss(self, step):
        self.steps.append(step)
        return self.module.weight.square().sum(), {"on_device": torch.tensor(float(step)), "off_device": float(step)}

    def weights(self):
        return dict(self.module.state_dict())


def test_a_training_from_other_weights_begins_with_a_later_step_and_a_warm_up(tmp_path):
    schedule, stage = Schedule(steps=40, rate=1.0, warmup=10, first=20), Counted()
    assert schedule.at(20) == pytest.approx(0.1 * 0.5)
    assert schedule.at(29) == pytest.approx(Schedule(steps=40, rate=1.0, warmup=10).at(29))
    assert train(stage, schedule, tmp_path, report=quiet)
    assert stage.steps == list(range(20, 40))
    resumed = Counted()
    assert train(resumed, schedule, tmp_path, report=quiet)
    assert resumed.steps == []


def test_figures_of_a_report_are_means_of_its_steps(tmp_path):
    train(Counted(), Schedule(steps=20, rate=0.0), tmp_path, report=quiet)
    line = (tmp_path / "counted.log").read_text(encoding="utf-8")
    assert line.startswith("counted 20/20 ")
    assert line.endswith("on_device 9.5000 off_device 9.5000\n")


def test_time_that_runs_out_is_told(tmp_path):
    assert not train(new_stage("clip"), SCHEDULE, tmp_path, seconds=0.0, report=quiet)
    assert (tmp_path / "clip.pt").is_file()


def test_batches_follow_from_the_seed_and_the_step():
    again, other = WindowStream(0, 4, scenes=2), WindowStream(1, 4, scenes=2)
    batch = WindowStream(0, 4, scenes=2)(3)
    again(20)  # another block in between
    assert np.array_equal(again(3).images, batch.images)
    assert not np.array_equal(other(3).images, batch.images)
    prompts = [PromptStream(0, 128, 100, scenes=2).draw(5, Phase(0, 128, 1, 3), (0, 0)) for _ in range(2)]
    assert np.array_equal(prompts[0].coords, prompts[1].coords)
    assert np.array_equal(prompts[0].masks, prompts[1].masks)


def test_batches_of_worker_processes_are_those_of_the_training_process():
    mine, theirs = (PromptStream(0, 256, 8, scenes=2) for _ in range(2))
    theirs.steps_a_block = 3
    with ahead(theirs, 1) as made:
        assert made is not theirs
        for step in (1, 2, 4, 7, 0):  # crops, crowded scenes and whole squares
            pair = zip(dataclasses.astuple(mine(step)), dataclasses.astuple(made(step)), strict=True)
            assert all(np.array_equal(a, b) for a, b in pair)


def test_without_workers_the_stream_is_used_as_it_is():
    stream = WindowStream(0, 4, scenes=2)
    with ahead(stream, 0) as made:
        assert made is stream


def test_scenes_of_few_colours_have_objects_of_one_colour_more_often():
    def same_coloured(scenes):
        colours = [[thing.word.split()[0] for thing in scene.instances] for scene in scenes]
        return sum(len(names) - len(set(names)) for names in colours) / sum(map(len, colours))

    rng = np.random.default_rng(0)
    few = same_coloured([crowded_scene(rng, 0.3, "patterns") for _ in range(30)])
    assert few > 1.5 * same_coloured([generate(seed, size=(120, 120)) for seed in range(30)])


def test_a_mask_that_takes_another_object_costs_more_than_one_that_is_a_little_too_large():
    target = torch.zeros(1, 64, 64)
    target[:, 8:16, 8:16] = 1
    exact = torch.nn.functional.avg_pool2d(target, 2)[:, None] * 20 - 10
    larger, other = exact.clone(), exact.clone()
    larger[..., 4:8, 8] = 10.0
    other[..., 20:28, 20:28] = 10.0
    costs = [float(mask_losses(logits, target)) for logits in (exact, larger, other)]
    assert costs[0] < costs[1] < costs[2] / 3


def test_a_click_is_looked_at_before_training():
    _, figures = new_stage("sam2").loss(0)
    assert figures["astray"] < 3.0  # looking everywhere alike would be log(64) = 4.2


def test_clicks_are_inside_their_masks():
    batch = PromptStream(0, 256, 100, scenes=4).draw(0, Phase(0, 128, 2, 4), (128, 0))
    for (x, y), index, mask in zip(batch.coords[:, 0], batch.image_index, batch.masks, strict=True):
        assert 0 <= x < 128 <= y < 256
        assert index in (0, 1)
        assert mask[int(y - 128) // 2, int(x) // 2] > 0


def test_held_out_words_are_never_a_label_or_a_negative():
    assert len(TRAINED) == len(WORDS) - 8
    assert squares().max() < len(TRAINED)
    windows = WindowStream(0, 24, scenes=2)(0)
    assert set(np.unique(windows.class_maps)) <= set(TRAINED)


def test_windows_of_things_show_their_words_and_backgrounds_with_or_without_one():
    windows = WindowStream(0, 120, world="things", scenes=10)(0)
    found = {WORDS[i] if i < NO_WORD else "" for i in np.unique(windows.class_maps)}
    assert "" in found
    assert found & set(BACKGROUNDS)
    assert len(found & set(things.vocabulary())) > 8
    assert not any(len(word.split()) == 2 for word in found)


def test_a_photo_is_as_likely_as_the_likeliest_background_and_a_thing_is_no_colour_with_a_pattern():
    similarity = torch.randn(2, 3, len(TRAINED) + len(OTHER_BACKGROUNDS))
    both = class_logits(similarity, patterns=True)
    assert both.shape == (2, 3, len(COLUMNS))
    torch.testing.assert_close(both[..., :-1], similarity[..., : len(TRAINED)])
    torch.testing.assert_close(both[..., -1], similarity[..., len(TRAINED) :].amax(-1))
    of_things = class_logits(similarity, patterns=False)
    likely = {WORDS[COLUMNS[i]] if COLUMNS[i] < NO_WORD else "" for i in of_things.amax((0, 1)).gt(-50).nonzero()}
    assert likely == {*things.vocabulary(), *BACKGROUNDS, ""}


def test_mixed_squares_never_hold_a_held_out_pair():
    phrases = mixed_squares(np.random.default_rng(0), 500)
    assert len(phrases) == 2000
    assert HELD_OUT.isdisjoint(phrases)
    assert any("striped" in phrase for phrase in phrases)


def test_parts_of_additive_embeddings_are_found_up_to_a_constant():
    rng = np.random.default_rng(0)
    colours, patterns = rng.normal(size=(8, 1, 4)), rng.normal(size=(1, 5, 4))
    words = (colours + patterns).reshape(40, 4)
    text = words[[word for word in TRAINED if word < 40]]
    found = parts().numpy() @ text
    expected = patterns[0] - patterns[0].mean(0)
    np.testing.assert_allclose(found[8:] - found[8:].mean(0), expected, atol=1e-4)  # pinv in single precision


def test_pixels_of_a_part_are_upsampled_as_those_of_the_whole():
    torch.manual_seed(0)
    module = loftup.random(8, 0)
    guidance = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    features = torch.randn(1, 8, 4, 4)
    whole = module(features, guidance)[0]
    part, row, column = Crop(16, 0, 32), 16 + 5, 1
    pixels = torch.tensor([[5 * 32 + 1]])
    found = upsample_pixels(module, features, guidance, [part], pixels)[0, 0]
    assert part.top + loftup_stage.HALO <= row
    torch.testing.assert_close(found, whole[:, row, column], rtol=1e-4, atol=1e-4)


def test_recoloured_windows_are_grey_or_have_other_channels_and_some_are_inverted():
    images = np.random.default_rng(0).integers(0, 256, (200, 2, 2, 3), dtype=np.uint8)
    changed = recoloured(np.random.default_rng(1), images)
    is_grey = (changed == changed[..., :1]).all((1, 2, 3))
    assert 40 < is_grey.sum() < 90
    has_channels = (np.sort(changed, axis=-1) == np.sort(images, axis=-1)).all((1, 2, 3))
    is_inverted = (np.sort(255 - changed, axis=-1) == np.sort(images, axis=-1)).all((1, 2, 3))
    assert (has_channels | is_inverted)[~is_grey].all()
    assert min(has_channels.sum(), is_inverted.sum()) > 40


def test_an_object_counts_more_than_the_background_it_shares_a_patch_with():
    share = torch.zeros(3, CLASSES)
    share[0, [3, 45]] = torch.tensor([0.2, 0.8])
    share[1, [3, 7]] = 0.5
    share[2, 45] = 1.0
    found = prominent(share)
    torch.testing.assert_close(found[0, [3, 45]], torch.tensor([0.5, 0.8 / 1.0]) / 1.3)
    torch.testing.assert_close(found[1:], share[1:])


def test_a_region_has_the_feature_of_its_purest_patches():
    class_maps = np.full((1, 4, 4), 45, np.uint8)
    class_maps[0, :2, :] = 3
    class_maps[0, 0, 0] = 7  # a quarter of a patch
    features = torch.eye(4)[None].unflatten(2, (2, 2))  # each patch has a direction of its own
    unit, known = region_features(features, class_maps, patch=2)
    assert np.flatnonzero(known[0]).tolist() == [3, 45]
    torch.testing.assert_close(unit[0, 45], torch.tensor([0.0, 0.0, 0.5, 0.5]) ** 0.5)
    torch.testing.assert_close(unit[0, 3], torch.nn.functional.normalize(torch.tensor([0.75**4, 1.0, 0, 0]), dim=0))


def test_rough_masks_are_logits_that_are_mostly_right_and_differ_near_the_object():
    coverage = np.zeros((6, 128, 128), np.float32)
    coverage[:, 30:90, 40:100] = 1
    rough = rough_masks(np.random.default_rng(0), coverage)
    assert (rough.shape, rough.dtype) == ((6, 1, 64, 64), np.float32)
    assert np.abs(rough).max() == mask_choice.REGION_LOGIT == rough_module.REGION_LOGIT
    right = coverage[:, ::2, ::2] > 0.5
    wrong = (rough[:, 0] > 0) != right
    assert 0.002 < wrong.mean() < 0.1
    assert (rough[:, 0, :8] == -6).all()


def test_the_second_half_of_sam2s_training_has_prompts_with_and_without_masks():
    stream = PromptStream(0, 640, 400, scenes=2)
    rough = [stream.draw(step, Phase(0.5, 128, 2, 2, helped=False), (0, 0)).rough for step in (0, 20, 60)]
    assert rough[0] is None
    assert rough[1].shape == rough[2].shape == (4, 1, 32, 32)
    assert stream.draw(20, Phase(0.0, 128, 2, 2), (0, 0)).rough is None
