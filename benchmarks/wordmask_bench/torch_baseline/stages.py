"""The stages of the PyTorch chain with the inputs and outputs of the graphs, for comparisons on a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from wordmask.bundle.manifest import HALO, Manifest
from wordmask.objects.prompts import extract_prompts
from wordmask.photo.reading import decode
from wordmask.types import Options
from wordmask_bench.torch_baseline.case import Arrays, Case
from wordmask_bench.torch_baseline.chain import EagerChain, Masks
from wordmask_export.models.pipeline import Choice, decode_masks, load

Tensors = dict[str, Tensor]


def choice_of(manifest: Manifest, *, clip: str | None = None, sam2: str | None = None) -> Choice:
    """The models a bundle was built from.

    Args:
        manifest: the bundle's.
        clip: configuration file of CLIP, if the bundle was built from one.
        sam2: the same for SAM2.
    """
    models = manifest.models
    source = models["clip"].source
    return Choice(
        clip=clip or models["clip"].name,
        loftup=models["loftup"].name if "loftup" in models else "none",
        sam2=sam2 or models["sam2"].name,
        weights=source if source.startswith("random:") else None,
    )


@dataclass(frozen=True, eq=False)
class Segmented:
    """A photo's classes i64 (H, W), 0 for the first word, and its masks."""

    class_map: NDArray[np.int64]
    masks: Masks

    @property
    def prompts(self) -> int:
        """Number of prompts given to SAM2."""
        return len(self.masks.iou)


@dataclass(frozen=True, eq=False)
class Eager:
    """The chain in one precision: fp32, or autocast to fp16 on a GPU and to bf16 on a CPU."""

    chain: EagerChain
    half: bool = False

    @contextlib.contextmanager
    def mode(self) -> Iterator[None]:
        """Inference without gradients, in this precision; fp32 products are not rounded to TF32."""
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        kind = self.chain.device.type
        low = torch.float16 if kind == "cuda" else torch.bfloat16
        with torch.inference_mode(), torch.autocast(kind, low, enabled=self.half):
            yield

    def upload(self, inputs: Arrays) -> Tensors:
        """Inputs on the chain's device."""
        return {name: torch.from_numpy(value).to(self.chain.device) for name, value in inputs.items()}

    def compute(self, name: str, inputs: Tensors) -> Tensors:
        """A graph's outputs from inputs on the device, all rows in one call; outputs stay on the device."""
        stage: Callable[[EagerChain, Tensors], Tensors] = STAGES[name]
        with self.mode():
            return stage(self.chain, inputs)

    def run(self, name: str, inputs: Arrays) -> Arrays:
        """A graph's outputs from numpy inputs, as numpy arrays."""
        return {key: value.float().cpu().numpy() for key, value in self.compute(name, self.upload(inputs)).items()}

    def alone(self, name: str, case: Case) -> Arrays:
        """Outputs of a case with each row run alone, because the published LoftUp mixes the rows of a batch."""
        rows = []
        for row in range(case.rows):
            one = {k: value[row : row + 1] if k in case.batched else value for k, value in case.inputs.items()}
            rows.append(self.run(name, one))
        return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}

    def photo(self, path: Path, text: Tensor, options: Options) -> Segmented:
        """Runs a photo from its file to masks, with word embeddings (C, D)."""
        with self.mode():
            photo = decode(path).copy()
            index, probabilities = self.chain.class_map(photo, text)
            confidence = probabilities.amax(0).float().cpu().numpy()
            prompts = extract_prompts(index, confidence, len(text), options)
            return Segmented(index, self.chain.masks(photo, prompts))


def load_chain(choice: Choice, manifest: Manifest, device: str) -> EagerChain:
    """Loads the PyTorch models onto a device."""
    return EagerChain(load(choice), manifest.clip, device=device)


def _clip_image(chain: EagerChain, inputs: Tensors) -> Tensors:
    return {"features": chain.features(chain.normalise(inputs["image"]))}


def _clip_text(chain: EagerChain, inputs: Tensors) -> Tensors:
    tokens = inputs["tokens"].long()
    whole = F.pad(tokens, (0, chain.constants.context_length - tokens.shape[1]))  # open_clip needs the full length
    return {"embeddings": chain.models.clip.encode_text(whole, normalize=True)}


def _loftup(chain: EagerChain, inputs: Tensors) -> Tensors:
    guidance = inputs["guidance"][:, HALO:-HALO, HALO:-HALO]
    return {"logits": chain.upsample(inputs["features"], chain.normalise(guidance), inputs["text"])}


def _sam2_encoder(chain: EagerChain, inputs: Tensors) -> Tensors:
    """The steps of SAM2ImagePredictor.set_image after its transforms."""
    model = chain.models.sam2
    mean, std = (torch.tensor(x, device=chain.device) for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    image = (inputs["image"] / 255 - mean).div(std).permute(0, 3, 1, 2)
    _, flat, _, sizes = model._prepare_backbone_features(model.forward_image(image))  # noqa: SLF001  (sam2 has no public name for it)
    if model.directly_add_no_mem_embed:
        flat[-1] = flat[-1] + model.no_mem_embed
    maps = [level.permute(1, 2, 0).reshape(len(image), -1, *size) for level, size in zip(flat, sizes, strict=True)]
    return dict(zip(("high_res_0", "high_res_1", "image_embed"), maps, strict=True))


def _sam2_decoder(chain: EagerChain, inputs: Tensors) -> Tensors:
    """All prompts in one call, with four masks for each, like the graph."""
    masks, iou = decode_masks(chain.models.sam2, inputs, inputs["point_coords"], inputs["point_labels"])
    return {"masks": masks, "iou": iou}


STAGES: dict[str, Callable[[EagerChain, Tensors], Tensors]] = {
    "clip_image": _clip_image,
    "clip_text": _clip_text,
    "loftup": _loftup,
    "sam2_encoder": _sam2_encoder,
    "sam2_decoder": _sam2_decoder,
}
