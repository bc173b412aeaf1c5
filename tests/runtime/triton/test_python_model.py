"""The chain as Triton's Python backend serves it, against `wordmask run` on the same photos."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

from fake_triton import FakeTriton, Request, TritonError
from photos import png
from wordmask.bundle.opening import open_bundle
from wordmask.cli.main import main
from wordmask.errors import BundleError
from wordmask.triton.repository import Layout, write_repository

INVALID, INTERNAL = TritonError.INVALID_ARG, TritonError.INTERNAL


@pytest.fixture(scope="module")
def repository(fast_tiny, tmp_path_factory):
    out = tmp_path_factory.mktemp("triton") / "models"
    write_repository(open_bundle(fast_tiny), out, Layout(on_cpu=True, max_batch=1))
    return out


@pytest.fixture(scope="module")
def server(repository):
    return FakeTriton(repository)


@pytest.fixture(autouse=True)
def _module(server, monkeypatch):
    monkeypatch.setitem(sys.modules, "triton_python_backend_utils", server)
    server.calls.clear()
    server.faults.clear()


@pytest.fixture(scope="module")
def model(server):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", server)
        model = server.load()
    yield model
    model.finalize()


@pytest.fixture(scope="module")
def scenes(examples):
    return examples.parent / "scenes"


@pytest.fixture(scope="module")
def scene(scenes):
    return (scenes / "04.png").read_bytes()


@pytest.fixture(scope="module")
def words(scenes):
    return (scenes / "words.txt").read_bytes()


def asked(scene, words, *, options=None, **settings):
    chosen = (
        {} if options is None else {"options": options if isinstance(options, bytes) else json.dumps(options).encode()}
    )
    return Request({"photo": scene, "words": words, **chosen}, **settings)


def test_the_answer_is_what_run_writes_byte_for_byte(server, model, scenes, words, fast_tiny, tmp_path):
    photo = scenes / "04.png"
    vocabulary = ["--vocabulary", f"@{scenes / 'words.txt'}", "--background", "none", "--threads", "1"]
    assert main(["run", str(photo), *vocabulary, "--bundle", str(fast_tiny), "--output", str(tmp_path)]) == 0
    request = asked(photo.read_bytes(), words, options={"background": []}, name=str(photo))
    (response,) = server.execute(model, request)
    assert not response.has_error(), response.error().message()
    content = response.content()
    assert len(json.loads(content["annotations"])["annotations"]) >= 3
    assert content["annotations"] == (tmp_path / "annotations.json").read_bytes()
    assert content["semantic"] == (tmp_path / "semantic" / "04.png").read_bytes()
    report, row = json.loads(content["report"]), json.loads((tmp_path / "journal.jsonl").read_text())
    same = ("height", "width", "instances", "prompts", "word_confidence", "notes")
    assert {key: report[key] for key in same} == {key: row[key] for key in same}
    assert report["seconds"]["sam2_encoder"] > 0


def test_a_bad_photo_fails_alone(server, model, scene, words):
    cut, good, none = scene[: len(scene) // 2], scene, b""
    options = {"use_loftup": False, "min_confidence": 1.0}
    responses = server.execute(model, *(asked(photo, words, options=options) for photo in (cut, good, none)))
    codes = [r.error().message().partition(":")[0] if r.has_error() else "ok" for r in responses]
    assert codes == ["DECODE", "ok", "EMPTY"]
    assert {r.error().code() for r in responses if r.has_error()} == {INVALID}


def test_options_are_the_requests_own(server, model, scene, words):
    none, some = (asked(scene, words, options={"min_confidence": c, "use_loftup": False}) for c in (1.0, 0.3))
    nothing, found = (json.loads(r.content()["report"]) for r in server.execute(model, none, some))
    assert nothing["instances"] == 0
    assert "--min-confidence is 1" in nothing["notes"][0]
    assert found["instances"] > 0


def test_what_is_not_asked_for_is_left_out(server, model, scene, words):
    options = {"min_confidence": 1.0, "use_loftup": False}
    (response,) = server.execute(model, asked(scene, words, options=options, outputs=["semantic"]))
    assert list(response.content()) == ["semantic"]


def test_a_word_list_is_embedded_once(server, model, scene):
    request = asked(scene, b"chartreuse spirals\nmauve", options={"min_confidence": 1.0, "use_loftup": False})
    server.execute(model, request)
    assert "wordmask_clip_text" in server.calls
    server.calls.clear()
    server.execute(model, request)
    assert "wordmask_clip_image" in server.calls
    assert "wordmask_clip_text" not in server.calls


@pytest.mark.parametrize(
    ("words", "options", "said"),
    [
        (b" \n ", {}, "vocabulary is empty"),
        (b"caf\xe9", {}, "utf-8"),
        (b"cup\n\nmug, C&#85;P", {}, "line 3 ('mug, C&#85;P') as a word of line 1 ('cup')"),
        (b"cat", b"{", "not valid JSON"),
        (b"cat", [], "expected a JSON object"),
        (b"cat", {"confidence": 1}, "options.confidence is not a field"),
        (b"cat", {"min_confidence": 2.0}, "between 0 and 1"),
        (b"cat", {"background": "sky"}, "options.background is 'sky', expected list"),
        (b"cat", {"lenient": 1}, "options.lenient is 1, expected bool"),
    ],
    ids=["no words", "latin 1", "shared", "cut JSON", "list", "unknown", "range", "background", "lenient"],
)
def test_what_cannot_be_asked_is_an_error_of_the_request(server, model, scene, words, options, said):
    (response,) = server.execute(model, asked(scene, words, options=options))
    assert response.error().code() == INVALID
    assert response.error().message().startswith("REQUEST: ")
    assert said in response.error().message()
    assert server.calls == []


def test_several_photos_in_one_request_are_refused_with_advice(server, model, scene, words):
    (response,) = server.execute(model, Request({"photo": [scene, scene], "words": [words, words]}))
    assert "one photo a request" in response.error().message()


def test_a_missing_input_is_named(server, model, scene):
    (response,) = server.execute(model, Request({"photo": scene}))
    assert "'words' is missing" in response.error().message()


def test_a_cancelled_request_takes_no_work(server, model, scene, words):
    (response,) = server.execute(model, asked(scene, words, cancelled=True))
    assert response.error().code() == TritonError.CANCELLED
    assert server.calls == []


def spoiled(outputs):
    return {name: np.full_like(value, np.nan) for name, value in outputs.items()}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("CUDA error: an illegal access", "INTERNAL"),
        ("Failed to allocate memory for requested buffer", "OOM"),
        (spoiled, "NUMERIC"),
    ],
    ids=["broken", "memory", "NaN"],
)
def test_a_graph_that_fails_is_the_servers_fault(server, model, scene, words, fault, code):
    server.faults["wordmask_clip_image"] = fault
    (response,) = server.execute(model, asked(scene, words, options={"use_loftup": False}))
    assert response.error().code() == INTERNAL
    assert response.error().message().startswith(f"{code}: ")


SHARED_MEMORY = (  # what Triton 2.51 says
    "Failed to increase the shared memory pool size for key 'triton_python_backend_shm_region_1' to 5242880 bytes. If "
    "you are running Triton inside docker, use '--shm-size' flag to control the shared memory region size. Error: No "
    "space left on device"
)


def raised(outputs):
    raise RuntimeError(SHARED_MEMORY)


@pytest.mark.parametrize("fault", [SHARED_MEMORY, raised], ids=["in the answer", "raised"])
def test_full_shared_memory_is_oom_and_says_how_to_get_more(server, model, scene, words, fault):
    server.faults["wordmask_clip_image"] = fault
    (response,) = server.execute(model, asked(scene, words, options={"use_loftup": False}))
    assert response.error().code() == INTERNAL
    assert response.error().message().startswith("OOM: wordmask_clip_image: ")
    assert "docker with a larger --shm-size" in response.error().message()


def test_a_photo_of_too_many_pixels_comes_with_advice_that_a_request_can_follow(server, model, words):
    (response,) = server.execute(model, asked(png(40_000, 40_000, 8, 2, b"\0" * 100), words))
    told = "the header says 40000x40000 pixels (1600 megapixels), at most 178 are allowed: shrink it"
    assert response.error().message() == f"TOO_LARGE: 'photo': {told}"


def test_answers_are_counted_by_code(server, model, scene, words):
    server.counts.clear()
    options = {"use_loftup": False, "min_confidence": 1.0}
    server.execute(model, *(asked(photo, words, options=options) for photo in (scene, b"", scene[:1000])))
    server.execute(model, asked(scene, b""), asked(b"", words))
    name = ("wordmask_answers_total", "wordmask")
    assert server.counts == {(*name, "ok"): 1, (*name, "EMPTY"): 2, (*name, "DECODE"): 1, (*name, "REQUEST"): 1}


def test_a_damaged_repository_does_not_start(server, repository):
    settings = repository / "wordmask" / "1" / "serving.json"
    content = settings.read_text()
    settings.write_text(content.replace('"schema": 1', '"schema": 99'))
    try:
        with pytest.raises(BundleError, match=r"schema is 99.*wordmask triton"):
            server.load()
    finally:
        settings.write_text(content)
