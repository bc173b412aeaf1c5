"""The model repository: Triton's own protobuf reads it, ONNX Runtime runs it, and engines keep their rules."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import shutil
import sys

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from fake_triton import FakeTriton
from fake_triton import Request as Question
from wordmask import Options, Segmenter
from wordmask.backends.onnxruntime.graph import session_options
from wordmask.backends.onnxruntime.io_binding import ELEMENT_TYPES
from wordmask.backends.tensorrt.buckets import Buckets
from wordmask.bundle.engines import FOLDER, PLAN, SCHEMA, SIDECAR, Request, Sidecar, Target
from wordmask.bundle.manifest import File
from wordmask.bundle.opening import Bundle, open_bundle
from wordmask.cli.main import main
from wordmask.errors import DeviceError, EngineError, OutputError
from wordmask.loading import STAGES
from wordmask.triton.graph import TritonGraph
from wordmask.triton.repository import EngineChoice, Layout, write_repository
from wordmask.triton.serving_json import read_serving
from wordmask_export.tensorrt.profiles import profiles

TYPES = {"uint8": "TYPE_UINT8", "int32": "TYPE_INT32", "float32": "TYPE_FP32"}
HERE = Target("10.13.3.9", "sm_90")
BATCHES = {"clip_image", "clip_text", "sam2_encoder"}  # all of whose tensors have rows


@pytest.fixture(scope="module")
def bundle(fast_tiny):
    return open_bundle(fast_tiny)


@pytest.fixture(scope="module")
def repository(bundle, tmp_path_factory):
    out = tmp_path_factory.mktemp("triton") / "models"
    write_repository(bundle, out, Layout())
    return out


@pytest.fixture(scope="module")
def built(bundle, tmp_path_factory):
    """A bundle with engines, whose plans are its ONNX files: what a fake server can run."""
    folder = tmp_path_factory.mktemp("built")
    for name, ranges in profiles(bundle.manifest, max_batch=4, max_prompts=8).items():
        entry = bundle.manifest.graphs[name]
        request = Request(name, entry.sha256, "fp16", ranges, HERE)
        place = folder / FOLDER / request.key
        place.mkdir(parents=True, mode=0o700)
        plan = bundle.path(entry).read_bytes()
        facts = File(PLAN, hashlib.sha256(plan).hexdigest(), len(plan))
        (place / PLAN).write_bytes(plan)
        (place / SIDECAR).write_text(Sidecar(SCHEMA, request, facts, "GPU", {"HALF": 1}, 1.0).to_json())
    for file in bundle.manifest.files():
        shutil.copyfile(bundle.path(file), folder / file.file)
    return Bundle(folder, bundle.manifest)


@pytest.fixture(scope="module")
def engines(built, tmp_path_factory):
    out = tmp_path_factory.mktemp("triton") / "models"
    write_repository(built, out, Layout(), EngineChoice("fp16", HERE))
    return out


def config_of(repository, model):
    triton = pytest.importorskip("tritonclient.grpc.model_config_pb2", reason="of the extra `test`")
    from google.protobuf import text_format

    text = (repository / model / "config.pbtxt").read_text()
    config = text_format.Parse(text, triton.ModelConfig())
    assert config.name == model
    return config


def interface(config):
    """Names, types and dims as Triton lets clients send them, the batch included."""
    import tritonclient.grpc.model_config_pb2 as triton

    batch = [-1] if config.max_batch_size else []
    return [(t.name, triton.DataType.Name(t.data_type), [*batch, *t.dims]) for t in (*config.input, *config.output)]


@pytest.mark.parametrize("name", STAGES)
def test_a_graphs_config_has_the_interface_of_its_onnx_file(repository, name):
    config = config_of(repository, f"wordmask_{name}")
    path = repository / config.name / "1" / config.default_model_filename
    session = onnxruntime.InferenceSession(str(path), session_options(onnxruntime, 1))
    found = [
        (t.name, TYPES[ELEMENT_TYPES[t.type]], [-1 if isinstance(size, str) else size for size in t.shape])
        for t in (*session.get_inputs(), *session.get_outputs())
    ]
    assert interface(config) == found
    assert config.backend == "onnxruntime"
    assert [group.kind for group in config.instance_group] == [config.instance_group[0].KIND_GPU]
    assert (config.max_batch_size > 0) == config.HasField("dynamic_batching") == (name in BATCHES)


@pytest.mark.parametrize("name", STAGES)
def test_a_warm_up_is_a_run_that_the_graph_takes(repository, name):
    config = config_of(repository, f"wordmask_{name}")
    import tritonclient.grpc.model_config_pb2 as triton

    (sample,) = config.model_warmup
    dtypes = {value: key for key, value in TYPES.items()}
    fed = {}
    for key, value in sample.inputs.items():
        shape = [*([sample.batch_size] if config.max_batch_size else []), *value.dims]
        fed[key] = np.zeros(shape, dtypes[triton.DataType.Name(value.data_type)])
        assert value.zero_data
    path = repository / config.name / "1" / config.default_model_filename
    session = onnxruntime.InferenceSession(str(path), session_options(onnxruntime, 1))
    assert all(len(output) for output in session.run(None, fed))


def test_the_chain_takes_bytes_and_gives_bytes(repository):
    config = config_of(repository, "wordmask")
    assert interface(config) == [
        (name, "TYPE_STRING", [-1, 1]) for name in ("photo", "words", "options", "annotations", "semantic", "report")
    ]
    assert [tensor.name for tensor in config.input if tensor.optional] == ["options"]
    assert config.backend == "python"
    assert not config.model_warmup  # the models it calls may not be ready yet


def test_batches_hold_what_the_runtime_sends_at_once(repository):
    graphs = read_serving(repository / "wordmask" / "1").graphs
    assert {name: served.rows for name, served in graphs.items()} == {
        "clip_image": 8,
        "clip_text": 64,
        "loftup": None,
        "sam2_encoder": 8,
        "sam2_decoder": None,
        "sam2_mask_decoder": None,
    }
    for served in graphs.values():
        assert config_of(repository, served.model).max_batch_size == (served.rows or 0)


def test_engines_are_served_with_all_their_profiles_and_without_the_servers_batches(engines, built):
    graphs = read_serving(engines / "wordmask" / "1").graphs
    for name in STAGES:
        config = config_of(engines, f"wordmask_{name}")
        assert (config.backend, config.max_batch_size) == ("tensorrt", 0)
        assert not config.HasField("dynamic_batching")
        count = len(graphs[name].profiles)
        assert list(config.instance_group[0].profile) == [str(i) for i in range(count)]
        assert len(config.model_warmup) == count
        plan = (engines / config.name / "1" / config.default_model_filename).read_bytes()
        assert hashlib.sha256(plan).hexdigest() == built.manifest.graphs[name].sha256


def graph_of(repository, bundle, name):
    server = FakeTriton(repository)
    served, entry = read_serving(repository / "wordmask" / "1").graphs[name], bundle.manifest.graphs[name]
    return server, TritonGraph(server, served.model, entry, buckets=Buckets(name, entry, served.profiles))


def test_rows_are_padded_and_cut_to_an_engines_buckets(engines, bundle):
    server, graph = graph_of(engines, bundle, "clip_image")
    side = bundle.manifest.clip.window
    images = np.random.default_rng(0).integers(0, 256, (7, side, side, 3), dtype=np.uint8)
    assert graph.preferred_batch_size == 4
    seen = []
    server.faults["wordmask_clip_image"] = lambda outputs: seen.append(len(outputs["features"])) or outputs
    with server.answering():
        together = graph.run({"image": images})["features"]
        alone = [graph.run({"image": image[None]})["features"][0] for image in images]
    assert seen == [4, 4, 1, 1, 1, 1, 1, 1, 1]  # four rows, three and one that pads them; then one by one
    np.testing.assert_allclose(together, np.stack(alone), atol=1e-4)


def test_the_chain_over_engines_finds_what_the_local_one_finds(engines, bundle, examples, tmp_path):
    """Other batches, so other last bits: the same objects, not the same bytes."""
    words = ["green checkered", "blue plain", "blue zigzag", "orange striped", "stone"]
    scene = tmp_path / "scene.png"
    Image.open(examples.parent / "scenes" / "04.png").crop((0, 0, 320, 320)).save(scene)
    local = Segmenter(bundle, threads=1)(scene, words, background=[], options=Options(upsample="full"))
    server = FakeTriton(engines)
    asked = {
        "photo": scene.read_bytes(),
        "words": "\n".join(words).encode(),
        "options": b'{"background": [], "upsample": "full"}',
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", server)
        model = server.load()
        (response,) = server.execute(model, Question(asked))
        model.finalize()
    assert not response.has_error(), response.error().message()
    content = response.content()
    found = json.loads(content["annotations"])["annotations"]
    assert [i.word for i in local.instances] == [words[a["category_id"] - 1] for a in found]
    assert len(found) >= 2
    assert (np.asarray(Image.open(io.BytesIO(content["semantic"]))) == local.semantic).mean() > 0.999


def test_sizes_an_engine_was_not_built_for_are_refused_before_the_server_is_asked(engines, bundle):
    server, graph = graph_of(engines, bundle, "clip_text")
    with pytest.raises(EngineError, match="not built for these sizes: L is 78"):
        graph.run({"tokens": np.zeros((1, 78), np.int32)})
    assert server.calls == []


def test_a_cancelled_graph_asks_the_server_nothing(engines, bundle):
    server, graph = graph_of(engines, bundle, "clip_image")
    graph.cancel()
    with pytest.raises(DeviceError, match="cancelled"):
        graph.run({"image": np.zeros((1, 128, 128, 3), np.uint8)})
    assert server.calls == []


def test_an_engine_that_others_could_have_written_is_not_served(built, tmp_path):
    plan = next((built.folder / FOLDER).glob("loftup-*")) / PLAN
    plan.chmod(0o666)
    try:
        with pytest.raises(EngineError, match="others may write it"):
            write_repository(built, tmp_path / "models", Layout(), EngineChoice("fp16", HERE))
    finally:
        plan.chmod(0o600)
    assert list(tmp_path.iterdir()) == []


def test_engines_for_another_machine_are_not_served(built, tmp_path):
    with pytest.raises(EngineError, match=r"no fp16 engine of clip_image for sm_89 .*sm_90"):
        write_repository(built, tmp_path / "models", Layout(), EngineChoice("fp16", Target("10.13.3.9", "sm_89")))


def test_a_repository_is_written_whole_or_not_at_all(bundle, tmp_path, monkeypatch):
    def full(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("wordmask.triton.repository.copy_file", full)
    with pytest.raises(OutputError, match=r"models: No space left"):
        write_repository(bundle, tmp_path / "models", Layout())
    assert list(tmp_path.iterdir()) == []


def test_what_stands_there_is_not_overwritten(tmp_path, capsys):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "other").touch()
    assert main(["triton", "tiny", str(tmp_path / "models")]) == 4
    assert "is there already" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["other"]


def test_a_processor_gets_its_own_form_of_loftup_and_single_windows(bundle, tmp_path, capsys):
    assert main(["triton", "tiny", str(tmp_path / "models"), "--device", "cpu", "--name", "seg"]) == 0
    assert "the model seg and 6 graphs" in capsys.readouterr().out
    graphs = bundle.manifest.graphs
    content = (tmp_path / "models" / "seg_loftup" / "1" / "model.onnx").read_bytes()
    assert hashlib.sha256(content).hexdigest() == graphs["loftup_cpu"].sha256 != graphs["loftup"].sha256
    serving = read_serving(tmp_path / "models" / "seg" / "1")
    assert serving.on_cpu
    assert serving.graphs["clip_image"].rows == 1


def test_a_bundle_without_loftup_is_served_without_it(bundle, tmp_path):
    graphs = {name: graph for name, graph in bundle.manifest.graphs.items() if not name.startswith("loftup")}
    manifest = dataclasses.replace(bundle.manifest, graphs=graphs, loftup=None).sealed()
    serving = write_repository(Bundle(bundle.folder, manifest), tmp_path / "models", Layout())
    assert set(serving.graphs) == set(STAGES) - {"loftup"}
    server = FakeTriton(tmp_path / "models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", server)
        server.load().finalize()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--engines", "--device", "cpu"], "--engines run on a GPU"),
        (["--workers", "0"], "workers is 0"),
        (["--name", "../x"], "name is '../x'"),
    ],
    ids=["engines on a CPU", "no workers", "name"],
)
def test_what_makes_no_sense_is_refused(tmp_path, capsys, arguments, said):
    assert main(["triton", "tiny", str(tmp_path / "models"), *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
