"""`--device auto`: chooses the device and says which it is. Imports nothing heavy until it does."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wordmask.bundle.engines import Precision
    from wordmask.bundle.opening import AnyBundle, PipelineBundle


def open_for_device(args: argparse.Namespace, bundle: str | Path | None) -> PipelineBundle:
    """Opens a bundle of the pipeline; in `args`, the device `auto` gives way to the one that was chosen for it.

    Raises:
        BundleError: the bundle is missing or damaged.
    """
    from wordmask.bundle.opening import open_bundle
    from wordmask.loading import STAGES

    opened = open_bundle(bundle)
    args.device = named_device(args.device, opened, STAGES, getattr(args, "tensorrt_precision", "fp16"))
    return opened


def named_device(device: str, bundle: AnyBundle, graphs: Collection[str], precision: Precision = "fp16") -> str:
    """The device as given, or the one chosen for `auto`; see wordmask.backends.auto.choose_device."""
    from wordmask.backends.auto import AUTO, choose_device

    if device != AUTO:
        return device
    chosen = choose_device(bundle, graphs, precision)
    hint = " (`wordmask doctor` says what a faster one needs)" if chosen.faster else ""
    print(f"--device auto: {chosen.name}{hint}", file=sys.stderr, flush=True)
    return chosen.name
