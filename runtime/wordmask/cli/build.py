"""`wordmask build`: the options, and what they mean. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from wordmask.cli.arguments import BACKBONES
from wordmask.cli.engines import add_tensorrt_arguments, build_engines_of

AUTO, LARGE, SMALLEST = "auto", "sam2.1_hiera_large", "sam2.1_hiera_tiny"
CORE_SECONDS = {LARGE: 45.0, SMALLEST: 9.0}  # of SAM2's encoder for one photo, on one core: see docs/first-build.md
BEARABLE = 6.0  # seconds a photo
MEMORY = 9 * 2**30  # bytes that a build with the large one needs, with room for the system
PUBLISHED = re.compile(r"sam2(\.1)?_hiera_(tiny|small|base_plus|large)")  # names of files and of models
OF_CLIP = (  # options that only its bundles have
    *("clip", "loftup", "sam2", "clip_weights", "sam2_weights"),
    *("clip_attention", "stride", "short_side", "long_side", "mask_prompts", "tensorrt"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask build`."""
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the new bundle, e.g. models_cache/default")
    parser.add_argument("--force", action="store_true", help="replace an existing bundle")
    add = parser.add_argument_group("models").add_argument
    text = "clip, or a backbone for `wordmask features` only (%(default)s)"
    add("--backbone", choices=("clip", *BACKBONES), default="clip", help=text)
    add("--clip", default="ViT-B-16-quickgelu", help="open_clip model, or a JSON configuration (%(default)s)")
    add("--loftup", default="loftup_clip", help="LoftUp checkpoint, or none (%(default)s)")
    text = "SAM2 model, a YAML configuration, or auto: large or tiny, as this machine bears it (%(default)s)"
    add("--sam2", default=AUTO, help=text)
    text = "attention of CLIP's last block (%(default)s)"
    add("--clip-attention", choices=("csa", "maskclip"), default="csa", help=text)
    add = parser.add_argument_group("weights").add_argument
    add("--backbone-weights", default="hub", metavar="hub|PATH", help="of a backbone other than clip (%(default)s)")
    add("--clip-weights", default="openai", metavar="TAG|PATH", help="open_clip's tag, or a file (%(default)s)")
    add("--loftup-weights", default="hub", metavar="hub|PATH", help="from the hub, or a file (%(default)s)")
    add("--sam2-weights", default="hub", metavar="hub|PATH", help="from the hub, or a file (%(default)s)")
    text = "build from what other scripts left here: in torch hub's, CLIP's and the Hugging Face cache"
    add("--from-torch-hub-cache", action="store_true", help=text)
    text = "search this folder for checkpoints too (implies --from-torch-hub-cache); may be given again"
    add("--weights-folder", type=Path, action="append", default=[], metavar="DIR", help=text)
    add("--weights", metavar="random:SEED", help="seeded random weights instead of checkpoints, for speed tests")
    add = parser.add_argument_group("precision, windows and prompts").add_argument
    add("--precision", choices=("fp32", "fp16"), default="fp32", help="of the graphs (%(default)s)")
    add("--half-weights", action="store_true", help="store weights in half precision, for half the size")
    add("--window", type=int, default=224, help="side of a sliding window, in pixels (%(default)s)")
    add("--stride", type=int, default=112, help="step between windows, in pixels (%(default)s)")
    add("--short-side", type=int, default=336, help="to which photos are resized, in pixels (%(default)s)")
    add("--long-side", type=int, default=2048, help="limit of the resized long side, in pixels (%(default)s)")
    text = "give SAM2 the regions of the class map as masks, beside the points; not measured with published weights"
    add("--mask-prompts", action="store_true", help=text)
    parser.add_argument("--tensorrt", action="store_true", help="then build TensorRT engines for this machine's GPU")
    add_tensorrt_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Runs `wordmask build`; gives the exit status."""
    from wordmask import extras

    extras.need("wordmask build", "export", extras.BUILD)
    if args.tensorrt:
        extras.need("wordmask build --tensorrt", "trt", extras.ENGINES)
    from wordmask_export.build import BuildError
    from wordmask_export.models.weights import WeightsError

    try:
        if args.backbone == "clip":
            _build_pipeline(args)
        else:
            _build_features(args)
    except (BuildError, WeightsError, ValueError) as error:
        print(f"wordmask build: {error}", file=sys.stderr)
        return 1 if isinstance(error, BuildError) else 2
    except OSError as error:
        if error.filename and not Path(error.filename).absolute().is_relative_to(args.out.absolute().parent):
            raise  # what the bundle is made of cannot be read
        print(f"wordmask build: cannot write {args.out}: {error}", file=sys.stderr)
        return 4
    return build_engines_of(args.out, args) if args.tensorrt else 0


def finds_weights(args: argparse.Namespace) -> bool:
    """Whether checkpoints that lie on this machine are searched for.

    Raises:
        ValueError: and random ones are asked for.
    """
    if not (args.from_torch_hub_cache or args.weights_folder):
        return False
    if args.weights is not None:
        raise ValueError("--weights random:SEED needs no checkpoints: leave out --from-torch-hub-cache")
    return True


def _build_pipeline(args: argparse.Namespace) -> None:
    from wordmask_export.build import build
    from wordmask_export.graphs.specs import Protocol
    from wordmask_export.models.pipeline import Choice
    from wordmask_export.tensorrt.build import find_target

    if args.backbone_weights != "hub":
        raise ValueError("--backbone-weights is for other backbones than clip: use --clip-weights")
    choice = Choice(
        clip=args.clip,
        loftup=args.loftup,
        sam2=_chosen_sam2(args.sam2_weights) if args.sam2 == AUTO else args.sam2,
        clip_weights=args.clip_weights,
        loftup_weights=args.loftup_weights,
        sam2_weights=args.sam2_weights,
        weights=args.weights,
    )
    if finds_weights(args):
        from wordmask_export.models.found_weights import choose_found
        from wordmask_export.models.messages import log

        choice = choose_found(choice, args.weights_folder, log, any_sam2=args.sam2 == AUTO)
    if args.tensorrt:
        find_target(args.gpu)  # the export takes minutes: check first that this GPU can have engines
    protocol = Protocol(
        args.window,
        args.stride,
        args.short_side,
        args.long_side,
        attention=args.clip_attention,
        mask_prompts=args.mask_prompts,
    )
    build(args.out, choice, protocol, precision=args.precision, half_weights=args.half_weights, force=args.force)
    if args.weights is None:
        print(f"wordmask check {args.out} says whether these weights behave as trained ones do", file=sys.stderr)


def _chosen_sam2(weights: str) -> str:
    """The SAM2 of a file of weights, or for this machine; says which and why."""
    from wordmask.cli.doctor import has_nvidia_gpu
    from wordmask.system.limits import memory, processors

    if weights != "hub":
        name = PUBLISHED.fullmatch(Path(weights).stem)
        if name is None:
            raise ValueError(f"--sam2-weights is {weights}, whose name tells no model: name it with --sam2")
        return name[0]
    chosen, reason = sam2_for(gpu=has_nvidia_gpu(), cores=processors(), memory=memory())
    print(f"--sam2 auto is {chosen}: {reason}", file=sys.stderr, flush=True)
    return chosen


def sam2_for(*, gpu: bool, cores: int, memory: int) -> tuple[str, str]:
    """The most exact SAM2.1 that is bearable on a machine, and why.

    Args:
        gpu: whether there is an NVIDIA GPU.
        cores: that may be used.
        memory: bytes that may be used.
    """
    all_the_same = f"--sam2 {LARGE} takes the most exact all the same"
    if memory < MEMORY:
        needed, here = f"{MEMORY / 2**30:.0f} GiB of memory", f"{memory / 2**30:.1f} GiB"
        return SMALLEST, f"a build with {LARGE} needs {needed}, and this machine has {here}; {all_the_same}"
    if gpu:
        return LARGE, "the most exact, and this machine has an NVIDIA GPU"
    large, smallest = (CORE_SECONDS[model] / cores for model in (LARGE, SMALLEST))
    here = f"on {cores} core{'s' if cores > 1 else ''} without an NVIDIA GPU"
    if large <= BEARABLE:
        return LARGE, f"the most exact, and its encoder takes about {large:.0f} s a photo {here}"
    took = f"its encoder takes about {smallest:.0f} s a photo {here}, that of {LARGE} about {large:.0f} s"
    return SMALLEST, f"{took}; {all_the_same}"


def _build_features(args: argparse.Namespace) -> None:
    from wordmask_export.build_features import build_features
    from wordmask_export.models.backbones import BackboneChoice

    parser = argparse.ArgumentParser()
    add_arguments(parser)
    given = [f"--{name.replace('_', '-')}" for name in OF_CLIP if getattr(args, name) != parser.get_default(name)]
    if given:
        raise ValueError(
            f"{', '.join(given)}: only for --backbone clip; {args.backbone}'s bundle is for features alone"
        )
    choice = BackboneChoice(args.backbone, args.backbone_weights, args.loftup_weights, args.weights)
    if finds_weights(args):
        from wordmask_export.models.found_weights import choose_found_backbone
        from wordmask_export.models.messages import log

        choice = choose_found_backbone(choice, args.weights_folder, log)
    build_features(
        args.out,
        choice,
        window=args.window,
        precision=args.precision,
        half_weights=args.half_weights,
        force=args.force,
    )
