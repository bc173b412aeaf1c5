"""The page: layout of its controls, and the event handlers. Needs Gradio."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr
from gradio.processing_utils import save_bytes_to_cache

from wordmask.demo.answers import HINT, VIEWS, head_html
from wordmask.demo.cached_segmenter import Workbench
from wordmask.demo.examples import Example, examples_for
from wordmask.demo.replies import Asked, Reply, reply
from wordmask.system.package_data import data_path
from wordmask.types import Options

MOST_UPLOADED = "64mb"
MOST_WAITING = 64
WORDS = "one a line, or with commas between"
CONFIDENCE = "of each pixel, at least"
REGION_SIZE = "in pixels, at least; 0 goes by the photo"
IOU = "of a word's masks, at most"
DOWNLOADS = ("COCO JSON", "label map", "overlay")
HOUR = 3600
CSS = data_path("wordmask.demo", "assets/demo.css")
FONT = ("system-ui", "Segoe UI", "Roboto", "Helvetica Neue", "Arial", "sans-serif")  # the reader's own: no downloads
MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")
# On a phone the result stands above the controls: a click that asks for one goes to it.
SHOW_RESULT = "() => { if (innerWidth < 700) document.querySelector('#result').scrollIntoView({behavior: 'smooth'}) }"
ONE_AT_A_TIME = {
    "concurrency_limit": 1,
    "concurrency_id": "segmenter",
    "api_visibility": "private",
    "trigger_mode": "always_last",
}


@contextlib.contextmanager
def serve(workbench: Workbench, *, host: str, port: int | None, notice: str | None) -> Iterator[str]:
    """Serves the page while the context lasts; gives its address.

    Args:
        workbench: what answers.
        host: the address to listen at.
        port: None takes the first free one from 7860 on.
        notice: what readers should know of the bundle.
    """
    page = make_page(workbench, notice)
    page.queue(max_size=MOST_WAITING)
    _, address, _ = page.launch(
        server_name=host,
        server_port=port,
        share=False,
        prevent_thread_lock=True,
        quiet=True,
        max_file_size=MOST_UPLOADED,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        pwa=False,
        mcp_server=False,
        theme=_theme(),
        css_paths=CSS,
    )
    try:
        yield address
    finally:
        page.close(verbose=False)


def make_page(workbench: Workbench, notice: str | None) -> gr.Blocks:
    """The page: controls on the left, the picture and what is known of it on the right."""
    with gr.Blocks(title="wordmask", analytics_enabled=False, delete_cache=(HOUR, 24 * HOUR), fill_width=True) as page:
        gr.HTML(head_html(notice), elem_id="head")
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=1, min_width=300, elem_id="controls"):
                photo = gr.File(label="Photo", file_types=["image"], height=130, elem_id="photo")
                words = gr.Textbox(label="Words", placeholder=WORDS, lines=4, max_lines=7, elem_id="words")
                start = gr.Button("Find them", variant="primary", elem_id="start")
                examples = examples_for(workbench.segmenter.manifest.domain)
                gallery = _gallery(examples)
                sliders = _sliders()
                use_loftup = _loftup(workbench)
            with gr.Column(scale=3, min_width=300, elem_id="result"):
                view, downloads = _bar()
                picture = gr.Image(
                    label="Picture",
                    show_label=False,
                    interactive=False,
                    height="62vh",
                    buttons=["fullscreen"],
                    elem_id="picture",
                )
                with gr.Row():
                    with gr.Column(min_width=280):
                        summary = gr.HTML(HINT, elem_id="summary")
                        objects = gr.HTML(elem_id="objects")
                    with gr.Column(min_width=280):
                        chosen = gr.HTML(elem_id="chosen")
        controls = [photo, words, *sliders, use_loftup, view]  # in the order of Asked
        outputs = [picture, summary, chosen, objects, *downloads]
        _connect(workbench, controls, start, outputs)
        _connect_examples(workbench, controls, examples, gallery, outputs)
    return page


def _gallery(examples: Sequence[Example]) -> gr.Gallery:
    return gr.Gallery(
        [(example.path, example.about) for example in examples],
        label="Examples",
        columns=4,
        height="auto",
        object_fit="cover",
        allow_preview=False,
        interactive=False,
        buttons=[],
        elem_id="examples",
    )


def _bar() -> tuple[gr.Radio, list[gr.DownloadButton]]:
    with gr.Row(elem_id="bar"):
        view = gr.Radio(VIEWS, value=VIEWS[0], label="View", show_label=False, container=False, elem_id="view")
        downloads = [
            gr.DownloadButton(name, interactive=False, size="sm", elem_id=f"download-{i}")
            for i, name in enumerate(DOWNLOADS)
        ]
    return view, downloads


def _sliders() -> tuple[gr.Slider, gr.Slider, gr.Slider]:
    options = Options()
    return (
        gr.Slider(0, 1, options.min_confidence, step=0.01, label="Confidence", info=CONFIDENCE, elem_id="confidence"),
        gr.Slider(
            0, 5000, options.min_region_size or 0, step=1, label="Region size", info=REGION_SIZE, elem_id="region"
        ),
        gr.Slider(0, 1, options.iou_threshold, step=0.01, label="IoU", info=IOU, elem_id="iou"),
    )


def _theme() -> Any:
    grey = {"body_text_color_subdued": "*neutral_500", "block_info_text_color": "*neutral_500"}
    return gr.themes.Default(primary_hue="blue", neutral_hue="zinc", font=FONT, font_mono=MONO).set(**grey)


def _loftup(workbench: Workbench) -> gr.Checkbox:
    has = workbench.segmenter.uses_loftup(Options())
    info = "sharpens CLIP's features" if has else "this bundle was built without it"
    return gr.Checkbox(has, label="LoftUp", info=info, interactive=has, elem_id="loftup")


def _connect(workbench: Workbench, controls: list[Any], start: gr.Button, outputs: list[Any]) -> None:
    """Connects every control to a new answer, and a click into the picture to the object there."""

    def show(*values: Any) -> list[Any]:
        return _updates(reply(workbench, Asked(*values)), outputs[0].GRADIO_CACHE)

    def choose(event: gr.SelectData, *values: Any) -> list[Any]:
        return _updates(reply(workbench, Asked(*values), tuple(event.index)), outputs[0].GRADIO_CACHE)

    photo, _words, *others = controls  # typing asks for nothing
    triggers = [photo.upload, photo.clear, start.click, *(control.input for control in others)]
    gr.on(triggers, show, controls, outputs, show_progress_on=outputs[0], **ONE_AT_A_TIME)
    start.click(None, js=SHOW_RESULT)
    outputs[0].select(choose, controls, outputs, show_progress="hidden", **ONE_AT_A_TIME)


def _connect_examples(
    workbench: Workbench, controls: list[Any], examples: Sequence[Example], gallery: gr.Gallery, outputs: list[Any]
) -> None:
    """Connects a click on an example to its photo and words in the controls, and to the answer."""

    def take(event: gr.SelectData, *others: Any) -> list[Any]:
        example, folder = examples[event.index], outputs[0].GRADIO_CACHE
        photo = save_bytes_to_cache(example.path.read_bytes(), example.file, folder)
        shown = reply(workbench, Asked(photo, example.words, *others))
        return [photo, example.words, *_updates(shown, folder)]

    photo, words, *others = controls
    gallery.select(take, others, [photo, words, *outputs], show_progress_on=outputs[0], **ONE_AT_A_TIME)
    gallery.select(None, js=SHOW_RESULT)


def _updates(shown: Reply, folder: str) -> list[Any]:
    """A reply as the outputs' new values; its files stand in Gradio's folder, where it finds and later clears them."""
    paths = [save_bytes_to_cache(content, name, folder) for name, content in shown.files.items()]
    path = None if shown.picture is None else save_bytes_to_cache(shown.picture, "picture.jpg", folder)
    picture = gr.Image(value=path, alt_text=shown.alt)
    values = paths or [None] * len(DOWNLOADS)
    downloads = [gr.DownloadButton(value=value, interactive=value is not None) for value in values]
    return [picture, shown.summary, shown.chosen, shown.objects, *downloads]
