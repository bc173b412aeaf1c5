"""Loads a bundle's graphs on their devices, with the batch and tile sizes for each device."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal

from wordmask.backends import Graph
from wordmask.backends.auto import resolve_device
from wordmask.backends.device import Device, parse_device
from wordmask.backends.lazy import LazyGraph
from wordmask.backends.load import load_graph
from wordmask.bundle.manifest import Loftup
from wordmask.bundle.opening import PipelineBundle
from wordmask.dense.device_classmap import load_class_map
from wordmask.dense.loftup import CPU_TILE, GPU_TILE, Tiling, Upsampler
from wordmask.dense.windows import with_stride
from wordmask.errors import BundleError, DeviceError, MissingExtraError
from wordmask.objects.device_graphs import load_pick, load_square
from wordmask.system.limits import processors
from wordmask.types import Options

if TYPE_CHECKING:
    from wordmask.bundle.engines import Precision

logger = logging.getLogger(__name__)
STAGES = ("clip_image", "clip_text", "loftup", "sam2_encoder", "sam2_decoder", "sam2_mask_decoder")
LAZY = ("clip_text", "loftup_features", "sam2_mask_decoder")  # loaded when they are first used
UPSAMPLERS = ("loftup", "loftup_features")
GPU_WINDOWS = 10  # a run, without a preferred batch size; on a CPU one at a time is as fast and takes least memory
IN_FLIGHT = 2  # photos processed at the same time
GPU_IN_FLIGHT = 4  # on a GPU: of 2, 4 and 8 the fastest on an H200 (benchmarks/NOTES.md)


@dataclass(frozen=True, eq=False)
class LoadedGraphs:
    """Graphs by name, with their batch and tile sizes.

    Attributes:
        graphs: those of STAGES that the bundle has, and of LAZY.
        clip_on_cpu: a processor runs CLIP. loftup_on_cpu: and LoftUp.
        kept: outputs of CLIP that may stay on its device, because LoftUp reads them there.
        class_map: classifies LoftUp's logits on LoftUp's device; None where the host does that.
        sam2_square: resizes the photo on SAM2's device; None where the host does that.
        pick_masks: takes the chosen masks on SAM2's device; None where the host does that.
    """

    graphs: Mapping[str, Graph]
    clip_on_cpu: bool
    loftup_on_cpu: bool
    kept: tuple[str, ...] = ()
    class_map: Graph | None = None
    sam2_square: Graph | None = None
    pick_masks: Graph | None = None

    @property
    def windows_a_run(self) -> int:
        """The number of windows that go through CLIP and LoftUp together: the smaller preferred batch size."""
        sizes = [self.graphs[name].preferred_batch_size for name in ("clip_image", "loftup") if name in self.graphs]
        return min((size for size in sizes if size), default=1 if self.clip_on_cpu else GPU_WINDOWS)

    def upsampler(self, graph: str, constants: Loftup | None, windows: int) -> Upsampler:
        """LoftUp by one of UPSAMPLERS: small tiles one by one on a CPU, tiles of as many windows at once on a GPU."""
        assert constants is not None  # the bundle has LoftUp
        tiling = Tiling(CPU_TILE, 1) if self.loftup_on_cpu else Tiling(GPU_TILE, windows)
        return Upsampler(self.graphs[graph], constants, tiling)


def uses_loftup(bundle: PipelineBundle, options: Options) -> bool:
    """Whether LoftUp upsamples the features with these options.

    Raises:
        BundleError: the options ask for LoftUp, and the bundle has none.
    """
    has = bundle.manifest.loftup is not None
    if options.use_loftup and not has:
        raise BundleError(f"{bundle.folder}: the bundle was built without LoftUp; use --no-loftup")
    return has if options.use_loftup is None else options.use_loftup


def uses_mask_prompts(bundle: PipelineBundle, options: Options) -> bool:
    """Whether SAM2 gets the regions of the class map as masks with these options.

    Raises:
        BundleError: the options ask for it, and the bundle has no graph for it.
    """
    has = "sam2_mask_decoder" in bundle.manifest.graphs
    if options.mask_prompts and not has:
        raise BundleError(f"{bundle.folder}: the bundle was built without --mask-prompts; use --no-mask-prompts")
    return has if options.mask_prompts is None else options.mask_prompts


def check_options(bundle: PipelineBundle, options: Options) -> None:
    """Raises BundleError unless the bundle has the graphs that the options ask for, and windows for their stride."""
    uses_loftup(bundle, options)
    uses_mask_prompts(bundle, options)
    with_stride(bundle.manifest.clip, options.stride)


def photos_in_flight(*, on_cpu: bool) -> int:
    """The default number of photos processed at the same time, on a CPU or a GPU."""
    return IN_FLIGHT if on_cpu else GPU_IN_FLIGHT


def upsampling(options: Options, *, on_cpu: bool) -> Literal["full", "selective"]:
    """Where LoftUp is evaluated with these options, on a CPU or a GPU."""
    return options.upsample or ("selective" if on_cpu else "full")


def load_graphs(
    bundle: PipelineBundle,
    *,
    device: str,
    upsampler_device: str | None,
    threads: int | None,
    tensorrt_precision: Precision,
) -> LoadedGraphs:
    """Loads a bundle's graphs; see wordmask.pipeline.Segmenter."""
    named = resolve_device(device, bundle, STAGES, tensorrt_precision)
    devices = dict.fromkeys(bundle.manifest.graphs, parse_device(named))
    if upsampler_device is not None:
        devices |= {name: parse_device(upsampler_device) for name in UPSAMPLERS if name in devices}
    home = replace(bundle, folder=bundle.folder.absolute())  # for what is read later, from another folder
    eager = {name: device for name, device in devices.items() if name in STAGES and name not in LAZY}
    workers = (threads or processors()) if all(device.on_cpu for device in eager.values()) else 1
    load = partial(load_graph, home, threads=threads, tensorrt_precision=tensorrt_precision)
    with ThreadPoolExecutor(workers, "load") as pool:  # ONNX Runtime leaves the interpreter lock
        loading = {name: pool.submit(load, name, device) for name, device in eager.items()}
        graphs: dict[str, Graph] = {name: graph.result() for name, graph in loading.items()}
    graphs |= {name: LazyGraph(partial(load, name, devices[name])) for name in LAZY if name in devices}
    clip, loftup = devices["clip_image"], devices.get("loftup")
    kept = ("features",) if clip == loftup else ()
    sam2 = devices["sam2_encoder"]
    return LoadedGraphs(
        graphs,
        clip.on_cpu,
        loftup is not None and loftup.on_cpu,
        kept,
        class_map=None if loftup is None else _on_gpu(load_class_map, loftup, "classifies pixels"),
        sam2_square=load_square(sam2) if sam2.kind == "cuda" else None,
        pick_masks=_on_gpu(load_pick, sam2, "takes the chosen masks"),
    )


def _on_gpu(load: Callable[[Device], Graph], device: Device, work: str) -> Graph | None:
    """A graph that reads another one's outputs on its GPU: in ONNX Runtime on CUDA, beside TensorRT's engines too.

    None where the host does its work: the results are the same, later.
    """
    if device.kind == "cuda":
        return load(device)
    if device.kind == "tensorrt":
        try:
            return load(Device("cuda", device.index))
        except (DeviceError, MissingExtraError) as error:
            logger.info("the host %s, because ONNX Runtime cannot do it on the GPU: %s", work, error)
    return None
