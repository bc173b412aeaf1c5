"""Options that several commands share. Imports nothing heavy."""

from __future__ import annotations

import argparse
from argparse import Namespace
from argparse import _ArgumentGroup as Group
from collections.abc import Sequence
from typing import Any

from wordmask.options import OPTIONS
from wordmask.photo.options import COLOR_PROFILES, MAX_PIXELS, ReadOptions

BACKBONES = ("dinov2s", "dinov2b", "dinov2s_reg", "dinov2b_reg", "siglip", "siglip2")  # besides clip
BUNDLE = (
    "the models: a name, a folder, a file of `wordmask pack`, or hf:OWNER/NAME[@REVISION] on the Hugging Face hub "
    "(default: the bundle named default, else the shipped tiny)"
)
BACKGROUND = "background words: compete for pixels, left out of the results (%(default)s)"
DEVICE = "auto, cpu, openvino[:bf16], cuda[:N], tensorrt[:N] or tensorrt-rtx[:N] (%(default)s)"
UPSAMPLER = "for LoftUp alone, if memory is short (default: --device)"


def add_bundle(group: Group, text: str = BUNDLE) -> None:
    """--bundle."""
    group.add_argument("--bundle", metavar="NAME_OR_PATH", help=text)


class AddWords(argparse.Action):
    """Adds to the words of an earlier --vocabulary; the first replaces the default ones."""

    def __call__(  # noqa: D102
        self, parser: argparse.ArgumentParser, namespace: Namespace, values: Any, option_string: str | None = None
    ) -> None:
        earlier = getattr(namespace, self.dest)
        setattr(namespace, self.dest, list(values) if earlier is self.default else [*earlier, *values])


def add_vocabulary(group: Group, text: str, *, default: Sequence[str] | None = None) -> None:
    """--vocabulary, which is required where there are no default words; a second one adds words."""
    group.add_argument(
        "--vocabulary", action=AddWords, nargs="+", required=default is None, default=default, metavar="WORD", help=text
    )


def add_background(group: Group) -> None:
    """--background."""
    group.add_argument("--background", default="default", metavar="default|none|@FILE", help=BACKGROUND)


def add_reading(group: Group, max_pixels: int = MAX_PIXELS) -> None:
    """--lenient, --max-pixels and --color-profile, as `read_options` takes them."""
    text = "decode garbled JPEGs as far as possible, with a warning"
    group.add_argument("--lenient", action="store_true", help=text)
    text = "largest photo that is read, in pixels (%(default)s)"
    group.add_argument("--max-pixels", type=int, default=max_pixels, metavar="N", help=text)
    text = "take the colours of photos as they are, or convert those with a colour profile to sRGB (%(default)s)"
    group.add_argument("--color-profile", choices=COLOR_PROFILES, default="ignore", help=text)


def read_options(args: Namespace) -> ReadOptions:
    """The options of `add_reading`.

    Raises:
        ValueError: one is out of range.
    """
    return ReadOptions(args.lenient, args.max_pixels, args.color_profile)


def add_device(group: Group, *, upsampler: bool = False, threads: bool = True) -> None:
    """--device, and where they are asked for --upsampler-device and --threads."""
    group.add_argument("--device", default="cpu", help=DEVICE)
    if upsampler:
        group.add_argument("--upsampler-device", metavar="DEVICE", help=UPSAMPLER)
    if threads:
        group.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all cores)")


def add_tensorrt_precision(group: Group) -> None:
    """--tensorrt-precision."""
    text = "of the TensorRT engines (%(default)s)"
    group.add_argument("--tensorrt-precision", choices=("fp16", "bf16", "fp32"), default="fp16", help=text)


def add_options(group: Group, *names: str) -> None:
    """The command line's options for fields of wordmask.Options."""
    for name in names:
        default, info = OPTIONS[name]
        flag = f"--{name.replace('_', '-')}"
        if info.off is not None:
            pair = group.add_mutually_exclusive_group()
            pair.add_argument(flag, action="store_true", default=None, help=info.help)
            pair.add_argument(info.off[0], action="store_false", dest=name, help=info.off[1])
        elif default is False:
            group.add_argument(flag, action="store_true", help=info.help)
        else:
            group.add_argument(
                flag,
                *info.aliases,
                type=str if info.choices else int if default is None else type(default),
                default=default,
                choices=[choice for choice in info.choices if choice] or None,
                metavar=None if info.choices else "P" if isinstance(default, float) else "N",
                help=info.help if default is None else f"{info.help} (%(default)s)",
            )
