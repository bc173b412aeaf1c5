"""`wordmask demo`: the options, and the server's life. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import os
import tempfile
import threading

from wordmask.cli_arguments import background_words
from wordmask.run_cli import DOMAINS

LOCAL = ("127.0.0.1", "localhost", "::1")


def add_demo_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask demo`."""
    add = parser.add_argument
    add(
        "--bundle", metavar="NAME_OR_PATH", help="the models (default: the bundle named default, else the shipped tiny)"
    )
    add(
        "--device", default="cpu", help="cpu, openvino[:bf16], cuda[:N], tensorrt[:N] or tensorrt-rtx[:N] (%(default)s)"
    )
    add("--threads", type=int, help="CPU threads (default: all cores)")
    add("--background", default="default", metavar="default|none|@FILE", help="words that take pixels unseen")
    add("--host", default="127.0.0.1", help="address to listen at; anyone who reaches it can use it (%(default)s)")
    add("--port", type=int, help="port to listen at (default: the first free one from 7860 on)")


def run_demo(args: argparse.Namespace) -> int:
    """Serves the page until it is interrupted.

    Raises:
        MissingExtraError: Gradio is not installed.
        ValueError: the host or port cannot be had.
    """
    from wordmask import extras

    extras.need("wordmask demo", "demo", ("gradio",))
    from wordmask.demo.workbench import Workbench
    from wordmask.pipeline import Segmenter

    background = background_words(args.background)
    segmenter = Segmenter(args.bundle, device=args.device, threads=args.threads)
    with tempfile.TemporaryDirectory(prefix="wordmask-demo-") as folder:
        # Gradio reads these when it is imported
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        from wordmask.demo.page import serve

        notice = DOMAINS.get(segmenter.manifest.domain)
        try:
            with serve(Workbench(segmenter, background), host=args.host, port=args.port, notice=notice) as address:
                _announce(address, args.host)
                threading.Event().wait()
        except OSError as error:
            raise ValueError(f"cannot serve at {args.host}, port {args.port or '7860 on'}: {error}") from error
        finally:
            segmenter.cancel()  # what is under way answers nobody
    return 0


def _announce(address: str, host: str) -> None:
    print(f"wordmask demo: {address}  (Ctrl-C ends it)", flush=True)
    if host not in LOCAL:
        print("WARNING: whoever reaches this address can use the page: it asks for no password", flush=True)
