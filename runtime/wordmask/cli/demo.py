"""`wordmask demo`: the options, and starting and ending the server. Imports nothing heavy until it runs."""

from __future__ import annotations

import argparse
import os
import socket
import tempfile
import threading

from wordmask.bundle.domains import DOMAINS
from wordmask.cli.arguments import add_background, add_bundle, add_device, add_reading, read_options
from wordmask.cli.device import open_for_device
from wordmask.text.word_lists import background_words

MOST_PIXELS = 32_000_000  # by default: every visitor's photo takes memory
LOCAL = ("127.0.0.1", "localhost")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `wordmask demo`."""
    models, server = parser.add_argument_group("models and words"), parser.add_argument_group("server")
    add_bundle(models)
    add_device(models)
    add_background(models)
    add_reading(parser.add_argument_group("photos"), max_pixels=MOST_PIXELS)
    add = server.add_argument
    add("--host", default="127.0.0.1", help="address to listen at; anyone who reaches it can use it (%(default)s)")
    add("--port", type=int, help="port to listen at (default: the first free one from 7860 on)")


def run(args: argparse.Namespace) -> int:
    """Serves the page until it is interrupted.

    Raises:
        MissingExtraError: Gradio is not installed.
        ValueError: the host or port cannot be had.
    """
    from wordmask import extras

    extras.need("wordmask demo", "demo", ("gradio",))
    _check_place(args.host, args.port)
    from wordmask.demo.cached_segmenter import Workbench
    from wordmask.pipeline import Segmenter

    background = background_words(args.background)
    segmenter = Segmenter(open_for_device(args, args.bundle), device=args.device, threads=args.threads)
    with tempfile.TemporaryDirectory(prefix="wordmask-demo-") as folder:
        # Gradio reads these when it is imported
        os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        from wordmask.demo.page import serve

        workbench = Workbench(segmenter, background, reading=read_options(args))
        notice = DOMAINS.get(segmenter.manifest.domain)
        try:
            with serve(workbench, host=args.host, port=args.port, notice=notice) as address:
                _announce(address, args.host)
                threading.Event().wait()
        finally:
            segmenter.cancel()  # nobody waits for runs under way
    return 0


def _check_place(host: str, port: int | None) -> None:
    """Raises ValueError, before models are loaded, if the server cannot listen there."""
    try:
        socket.create_server((host, port or 0)).close()
    except (OSError, OverflowError) as error:
        place = host if port is None else f"{host}, port {port}"
        raise ValueError(f"cannot listen at {place} ({error}): choose another --port or --host") from error


def _announce(address: str, host: str) -> None:
    print(f"wordmask demo: {address}  (Ctrl-C ends it)", flush=True)
    if host not in LOCAL:
        print("WARNING: anyone who reaches this address can use the page; it has no password", flush=True)
