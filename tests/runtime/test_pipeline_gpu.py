"""The whole chain on fake GPUs: the same results, and what is large never comes back to the host."""

from __future__ import annotations

import logging
import shutil
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from fake_cuda import FakeCuda
from fake_tensorrt_runtime import FakeTensorRT
from wordmask import Options, Segmenter
from wordmask.backends.device import Device
from wordmask.backends.onnxruntime.graph import OrtGraph
from wordmask.backends.tensorrt.cuda_memory import CudaTensor
from wordmask.bundle.engines import FOLDER, PLAN, SIDECAR
from wordmask.bundle.manifest_reading import read_manifest
from wordmask.dense.device_classmap import load_class_map
from wordmask.errors import DeviceError, EngineError
from wordmask.objects.device_graphs import load_pick
from wordmask.photo.reading import decode
from wordmask.rle import decode as decode_rle
from wordmask.text.vocabulary import Vocabulary
from wordmask_export.tensorrt.profiles import profiles

WORDS = ["red striped", "blue", "green dotted"]
OPTIONS = Options(min_confidence=0.3, upsample="full", stride=128)
VOCABULARY = Vocabulary.parse(WORDS)


@pytest.fixture(scope="module")
def photo(examples):
    """Large enough for more windows than a bucket holds, and no larger."""
    scene = decode(examples.parent / "scenes" / "01.png")
    return np.ascontiguousarray(scene[:160, :320])


@pytest.fixture(scope="module")
def on_cpu(fast_tiny):
    return Segmenter(fast_tiny)


@pytest.fixture(scope="module")
def expected(on_cpu, photo):
    result = segment(on_cpu, photo)
    assert result.instances
    return result


def segment(segmenter, photo, options=OPTIONS):
    return segmenter(photo, WORDS, background=(), options=options)


@pytest.fixture
def gpu(monkeypatch):
    cuda = FakeCuda()
    cuda.install(monkeypatch)
    trt = FakeTensorRT(cuda)
    trt.install(monkeypatch)
    return trt


@pytest.fixture
def bundle(gpu, fast_tiny, tmp_path):
    """The shipped bundle, with few windows, and with an engine for each graph, which ONNX Runtime computes."""
    folder = shutil.copytree(fast_tiny, tmp_path / "tiny")
    manifest = read_manifest(folder)
    for name, ranges in profiles(manifest, max_batch=10, max_prompts=16).items():
        entry = manifest.graphs[name]
        plan, sidecar = gpu.add(name, entry, ranges, OrtGraph(folder / entry.file, entry, device="cpu").run)
        place = folder / FOLDER / sidecar.request.key
        place.mkdir(parents=True, mode=0o755)
        (place / PLAN).write_bytes(plan)
        (place / PLAN).chmod(0o644)
        (place / SIDECAR).write_text(sidecar.to_json())
    (folder / FOLDER).chmod(0o755)
    return folder


def same(found, expected):
    """Batches differ from single windows in the last digits only."""
    assert (found.dense == expected.dense).mean() > 0.999
    np.testing.assert_allclose(found.confidence, expected.confidence, atol=1e-3)
    assert [i.word for i in found.instances] == [i.word for i in expected.instances]
    for a, b in zip(found.instances, expected.instances, strict=True):
        one, other = decode_rle(a.mask), decode_rle(b.mask)
        assert (one & other).sum() >= 0.99 * (one | other).sum()


def test_engines_give_the_cpus_result_and_features_and_maps_stay(gpu, bundle, photo, expected):
    segmenter = Segmenter(bundle, device="tensorrt")
    segmenter.embed(VOCABULARY)
    gpu.cuda.sources.clear()
    same(segment(segmenter, photo), expected)
    came_back = {gpu.names[source] for source in gpu.cuda.sources}
    assert came_back == {"loftup.logits", "sam2_mask_decoder.masks", "sam2_mask_decoder.iou"}
    assert "cudaMemcpy" not in gpu.cuda.calls
    rows = [sizes["B"] for name, _, sizes in gpu.enqueued if name == "clip_image"]
    assert set(rows) <= {1, 2, 4, 6, 8, 10}
    assert 10 in rows  # windows fill the largest bucket


class OnFakeCuda:
    """A session on the CPU that counts as one on CUDA, where memory is the host's; `bound` is what it read there."""

    def __init__(self, session):
        self.session, self.bound = session, []

    def io_binding(self):
        real = self.session.io_binding()

        def bind_input(name, device, index, dtype, shape, pointer):
            assert (device, index) == ("cuda", 0)
            self.bound.append(name)
            real.bind_input(name, "cpu", 0, dtype, shape, pointer)

        functions = ("bind_cpu_input", "bind_output", "synchronize_inputs", "synchronize_outputs", "get_outputs")
        return SimpleNamespace(real=real, bind_input=bind_input, **{name: getattr(real, name) for name in functions})

    def run_with_iobinding(self, binding, options):
        self.session.run_with_iobinding(binding.real, options)


@pytest.fixture
def beside(monkeypatch):
    """ONNX Runtime on the GPU of the engines: the sessions that were opened there, of the class map and the masks."""
    opened = []

    def load(load_on, device):
        assert device == Device("cuda", 0)
        graph = load_on(Device("cpu"))
        graph._memory, graph._session = ("cuda", 0), OnFakeCuda(graph._session)
        opened.append(graph._session)
        return graph

    monkeypatch.setattr("wordmask.loading.load_class_map", partial(load, load_class_map))
    monkeypatch.setattr("wordmask.loading.load_pick", partial(load, load_pick))
    return opened


def test_onnxruntime_beside_the_engines_reads_their_logits_and_masks_where_they_are(gpu, bundle, photo, on_cpu, beside):
    square = np.ascontiguousarray(photo[:, :160])  # its windows fit into one run
    segmenter = Segmenter(bundle, device="tensorrt")
    segmenter.embed(VOCABULARY)
    gpu.cuda.sources.clear()
    same(segment(segmenter, square), segment(on_cpu, square))
    assert {gpu.names[source] for source in gpu.cuda.sources} == {"sam2_mask_decoder.iou"}
    class_map, pick = beside
    assert class_map.bound == ["logits"]
    assert set(pick.bound) == {"masks"}


def test_more_windows_than_a_run_takes_are_classified_by_the_host(gpu, bundle, photo, expected, beside):
    same(segment(Segmenter(bundle, device="tensorrt"), photo), expected)
    assert beside[0].bound == []


def test_without_cuda_in_onnxruntime_the_host_classifies_and_the_log_says_so(gpu, bundle, caplog):
    caplog.set_level(logging.INFO)
    loaded = Segmenter(bundle, device="tensorrt").loaded
    assert (loaded.class_map, loaded.pick_masks) == (None, None)
    assert "the host classifies pixels" in caplog.text
    assert "the host takes the chosen masks" in caplog.text


def test_an_encoded_photo_stays_on_the_gpu_and_serves_many_prompts(gpu, bundle, photo):
    segmenter = Segmenter(bundle, device="tensorrt")
    encoded = segmenter.encode(photo)
    assert all(isinstance(value, CudaTensor) for value in encoded.maps.values())
    assert gpu.cuda.to_host == []


def test_without_loftup_features_come_back(gpu, bundle, photo, on_cpu):
    options = Options(min_confidence=0.3, use_loftup=False)
    found = segment(Segmenter(bundle, device="tensorrt"), photo, options)
    same(found, segment(on_cpu, photo, options))
    assert "clip_image.features" in {gpu.names[source] for source in gpu.cuda.sources}


@pytest.mark.parametrize("devices", [("tensorrt", "cpu"), ("cpu", "tensorrt")])
def test_loftup_may_run_elsewhere(gpu, bundle, photo, expected, devices):
    segmenter = Segmenter(bundle, device=devices[0], upsampler_device=devices[1])
    same(segment(segmenter, photo), expected)
    used = {name for name, _, _ in gpu.enqueued}
    assert ("loftup" in used) == (devices[1] == "tensorrt")


def test_a_precision_without_engines_is_an_error(bundle):
    with pytest.raises(EngineError, match=r"no bf16 engine.*--tensorrt-precision bf16"):
        Segmenter(bundle, device="tensorrt", tensorrt_precision="bf16")


def test_a_gpu_that_is_not_there_is_an_error(bundle):
    with pytest.raises(DeviceError, match="GPU 3"):
        Segmenter(bundle, device="tensorrt:3")


def test_a_cancelled_segmenter_ends_with_an_error(bundle, photo):
    segmenter = Segmenter(bundle, device="tensorrt")
    segmenter.cancel()
    with pytest.raises(DeviceError, match="cancelled"):
        segmenter.encode(photo)
