"""Which CLIP models can be built, and what a build takes from their weights' entry in open_clip."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

import open_clip  # noqa: E402

from wordmask.errors import WordmaskWarning  # noqa: E402
from wordmask_export.models import clip_csa, clip_text, pipeline  # noqa: E402
from wordmask_export.models.clip_config import ClipConfig, read_clip_config  # noqa: E402
from wordmask_export.models.weights import WeightsError  # noqa: E402

BUILT = {
    *("ViT-B-32", "ViT-B-32-quickgelu", "ViT-B-32-256", "ViT-B-16", "ViT-B-16-quickgelu"),
    *("ViT-L-14", "ViT-L-14-quickgelu", "ViT-L-14-336", "ViT-L-14-336-quickgelu"),
}
FAMILIES = ("openai", "laion2b_", "datacomp_", "dfn2b")
HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("model", "weights", "quick_gelu"),
    [
        ("ViT-B-16", "openai", True),
        ("ViT-B-16-quickgelu", "openai", True),
        ("ViT-B-16", "dfn2b", True),
        ("ViT-B-16", "laion2b_s34b_b88k", False),
        ("ViT-B-16", "datacomp_xl_s13b_b90k", False),
        ("ViT-L-14", "dfn2b_s39b", False),
        ("ViT-B-16", None, False),
        ("ViT-B-16-quickgelu", None, True),
        ("ViT-B-16-quickgelu", "of/a/file.safetensors", True),
    ],
)
def test_the_activation_is_that_of_the_weights_and_without_them_that_of_the_name(model, weights, quick_gelu):
    config = read_clip_config(model, weights)
    assert config.quick_gelu is quick_gelu
    with torch.device("meta"):  # no memory, no time
        block = config.new_model().transformer.resblocks[0]
    assert type(block.mlp.gelu).__name__ == ("QuickGELU" if quick_gelu else "GELU")


def test_a_file_for_a_model_with_two_activations_is_warned_of():
    with pytest.warns(WordmaskWarning, match="run with GELU.*need ViT-B-16-quickgelu"):
        assert not read_clip_config("ViT-B-16", "somewhere/ViT-B-16.safetensors").quick_gelu


def test_mean_and_std_are_those_of_the_weights():
    laion = read_clip_config("ViT-L-14", "laion2b_s32b_b82k")
    assert (laion.mean, laion.std) == (HALF, HALF)
    openai = read_clip_config("ViT-L-14", "openai")
    assert openai.mean == open_clip.OPENAI_DATASET_MEAN
    assert openai.std == open_clip.OPENAI_DATASET_STD


def test_every_model_of_the_large_families_is_built_or_refused_by_name():
    named = {model for model, tag in open_clip.list_pretrained() if tag.startswith(FAMILIES)}
    for model in named - BUILT:
        with pytest.raises(WeightsError, match=f"^{model} is (not an OpenAI-style|too large)"):
            read_clip_config(model, None)
    assert named > BUILT
    for model in BUILT:
        assert read_clip_config(model, None).dim in (512, 768)


@pytest.mark.parametrize(
    ("model", "quick_gelu"),
    [
        *(("ViT-B-32", True), ("ViT-B-32-256", False), ("ViT-B-16", False)),
        *(("ViT-L-14", False), ("ViT-L-14-336", True), ("ViT-H-14", False)),
    ],
)
def test_each_family_gives_open_clips_embeddings_at_its_width(model, quick_gelu):
    """With one layer in place of up to 32, and few tokens: what differs between the families is all there."""
    settings = open_clip.get_model_config(model)
    vision, text = settings["vision_cfg"] | {"layers": 1}, settings["text_cfg"] | {"layers": 1, "vocab_size": 20}
    config = ClipConfig(
        {"embed_dim": 64, "vision_cfg": vision, "text_cfg": text, "quick_gelu": quick_gelu}, quick_gelu, (), ()
    )
    with torch.random.fork_rng(), torch.inference_mode():
        torch.manual_seed(0)
        clip = config.new_model().eval()
        image, tokens = torch.randn(1, 3, vision["image_size"], vision["image_size"]), torch.randint(0, 19, (2, 77))
        tokens[0, 7] = tokens[1, 76] = 19  # the end
        state, (image_heads, text_heads) = clip.state_dict(), config.heads
        tower = clip_csa.load(state, heads=image_heads, attention="plain", quick_gelu=quick_gelu)
        torch.testing.assert_close(tower.tokens(image)[:, 0], clip.encode_image(image), rtol=1e-4, atol=1e-5)
        words = clip_text.load(state, heads=text_heads, quick_gelu=quick_gelu)(tokens)
        torch.testing.assert_close(words, clip.encode_text(tokens, normalize=True), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("coca_ViT-B-32", "does not compute|do not compute its multimodal_cfg"),
        ("roberta-ViT-B-32", r"text_cfg\.hf_model_name"),
        ("ViT-L-14-CLIPA", r"vision_cfg\.(no_ln_pre|pool_type|final_ln_after_pool)"),
        ("ViT-B-16-SigLIP", "OpenAI-style vision transformer"),
        ("ViT-H-14", r"takes 2\.5 GB, and an ONNX file holds 2\.1 GB"),
    ],
)
def test_what_the_graphs_do_not_compute_is_named(model, message):
    with pytest.raises(WeightsError, match=message):
        read_clip_config(model, None)


def test_only_openais_weights_have_openais_licence():
    licences = {
        tag: pipeline._clip_wanted(pipeline.Choice(clip="ViT-B-16", clip_weights=tag)).licence
        for tag in ("openai", "dfn2b", "of/a/file.pt")
    }
    assert licences == {
        "openai": "MIT (OpenAI)",
        "dfn2b": "see huggingface.co/apple/DFN2B-CLIP-ViT-B-16",
        "of/a/file.pt": "",
    }
