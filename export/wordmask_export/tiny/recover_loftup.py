"""LoftUp's parameters from its graph, which has norms and means folded into them (wordmask_export.graphs.loftup)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from wordmask.bundle.manifest import Loftup
from wordmask_export.graphs.loftup import table_order
from wordmask_export.models.loftup import HEADS
from wordmask_export.tiny.loftup_stage import LoftupStage
from wordmask_export.tiny.unfold import add_means, half, split_batch_norm, split_bias, split_gains

State = dict[str, Tensor]
BATCHES = 8  # over which the convolutions' outputs are averaged


def loftup_weights(values: Mapping[str, Tensor], constants: Loftup) -> State:
    """LoftUp's by its names; in eval mode they give what the graph gives.

    Args:
        values: constants of the `loftup` graph.
        constants: have the phases.

    Raises:
        ValueError: the graph was not folded from half-precision weights.
    """
    width = len(values["blocks.0.norm_kv.weight"])
    found = _stem(values, table_order(len(constants.frequencies)), width)
    for name, phases in (("fourier_feat.1", constants.phases), ("lr_pe", constants.key_phases)):
        read = torch.tensor(phases)  # (2, frequencies, scalars), as the reference reads (2, scalars, frequencies)
        found[f"{name}.biases"] = read.reshape(2, read.shape[2], read.shape[1])
    for index in range(sum(name.endswith("norm_kv.weight") for name in values)):
        layer, attention, mlp = f"ca_transformer.layers.{index}", f"blocks.{2 * index}", f"blocks.{2 * index + 1}"
        found |= _attention(values, attention, f"{layer}.0", width)
        found |= _normed(
            values[f"{mlp}.first.weight"][:, :width],
            values[f"{mlp}.first.bias"],
            f"{layer}.1.net.0",
            f"{layer}.1.net.1",
        )
        found |= _mean_free(
            values[f"{mlp}.second.weight"][:width], values[f"{mlp}.second.bias"][:width], f"{layer}.1.net.4"
        )
    found |= _normed(values["head.weight"][:, :width], values["head.bias"], "ca_transformer.norm", "final_conv.0")
    found["final_conv.0.weight"] = found["final_conv.0.weight"][:, :, None, None]
    found |= {f"final_conv.1.{kind}": values[f"head_norm.{kind}"] for kind in ("weight", "bias")}
    own = {f"channelnorm.norm.{kind}": values[f"channelnorm.{kind}"] for kind in ("weight", "bias")}
    return own | {f"upsampler.{name}": value for name, value in found.items()}


def _stem(values: Mapping[str, Tensor], order: Tensor, width: int) -> State:
    """The two convolutions with their BatchNorms; all of the biases is given to the BatchNorms."""
    back = order.argsort()
    found = {f"first_conv.0.norm.{kind}": values[f"pixel_norm.{kind}"][back] for kind in ("weight", "bias")}
    for name, index, inputs in (("conv1", 1, back), ("conv2", 4, torch.arange(width))):
        folded = values[f"stem.{name}.weight"][:width, inputs]
        weight, gain, variance = split_batch_norm(folded.flatten(1), nn.BatchNorm2d(1).eps)
        conv, norm = f"first_conv.{index}", f"first_conv.{index + 1}"
        found |= {f"{conv}.weight": weight.reshape(folded.shape), f"{conv}.bias": torch.zeros(width)}
        found |= {f"{norm}.weight": gain, f"{norm}.bias": values[f"stem.{name}.bias"][:width]}
        found |= {f"{norm}.running_var": variance, f"{norm}.running_mean": torch.zeros(width)}
        found[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    return found


def _attention(values: Mapping[str, Tensor], block: str, to: str, width: int) -> State:
    head = width // HEADS

    def unpadded(rows: Tensor) -> Tensor:
        return rows.unflatten(0, (HEADS, -1))[:, :head].flatten(0, 1)

    scale = head**0.5  # the queries' weights have it
    query, bias = (unpadded(values[f"{block}.q.{kind}"]).double() * scale for kind in ("weight", "bias"))
    found = _normed(query[:, :width], bias, f"{to}.norm_q", f"{to}.q")
    others = {kind: [unpadded(values[f"{block}.{part}.{kind}"]) for part in "kv"] for kind in ("weight", "bias")}
    for kind, (key, value) in others.items():
        found[f"{to}.attention.in_proj_{kind}"] = torch.cat([found.pop(f"{to}.q.{kind}"), key, value])
        found[f"{to}.norm_kv.{kind}"] = values[f"{block}.norm_kv.{kind}"]
    out = unpadded(values[f"{block}.out.weight"][:width].T).T
    return found | _mean_free(out, values[f"{block}.out.bias"][:width], f"{to}.attention.out_proj")


def _normed(weight: Tensor, bias: Tensor, norm: str, layer: str) -> State:
    """A LayerNorm's gain and bias, and the linear layer that they were folded into."""
    weights, gains = split_gains(weight.T)
    norm_bias, bias = split_bias(bias.double(), weights.T)
    return {
        f"{norm}.weight": half(gains[:, 0]),
        f"{norm}.bias": norm_bias,
        f"{layer}.weight": weights.T,
        f"{layer}.bias": bias,
    }


def _mean_free(weight: Tensor, bias: Tensor, layer: str) -> State:
    """A linear layer with the means over its outputs that were taken from it."""
    return {f"{layer}.weight": add_means(weight), f"{layer}.bias": add_means(bias[:, None])[:, 0]}


def estimate_means(stage: LoftupStage) -> None:
    """Moves as much of the BatchNorms' biases to their means as the convolutions give on the recipe's windows.

    In eval mode nothing changes. In training a BatchNorm takes the mean of a batch in place of its own.
    """
    module: Any = stage.module.eval()
    stem = module.upsampler.first_conv
    for conv, norm in ((stem[1], stem[2]), (stem[4], stem[5])):
        variance = norm.running_var.clone()
        gain = norm.weight.double() / (variance.double() + norm.eps).sqrt()
        folded = norm.bias.double()
        norm.reset_running_stats()
        norm.momentum = None  # plain averages
        norm.train()
        with torch.no_grad():
            for step in range(BATCHES):
                stage.loss(step)
            bias = half(folded + norm.running_mean.double() * gain)
            mean = half((bias - folded) / gain)
            norm.eval()
            norm.bias.copy_(bias)
            norm.running_mean.copy_(mean)
            norm.running_var.copy_(variance)
            conv.bias.copy_((folded - bias) / gain + mean)  # what halves lack of digits
