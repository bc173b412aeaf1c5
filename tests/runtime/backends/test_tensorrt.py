"""TensorRT engines on a fake GPU: buckets, padding, buffers, streams, captured graphs, errors."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading

import numpy as np
import pytest

from fake_cuda import FakeCuda, Status
from fake_tensorrt_runtime import TARGET, FakeTensorRT
from wordmask.backends.tensorrt.cuda import Gpu, GpuMemoryError, target_of
from wordmask.backends.tensorrt.cuda_memory import CudaTensor
from wordmask.backends.tensorrt.graph import MAX_SLOTS, TrtGraph, load_engine
from wordmask.bundle.engines import FOLDER, PLAN, SIDECAR, Range
from wordmask.bundle.manifest import GraphEntry, Tensor
from wordmask.errors import DeviceError, EngineError, MissingExtraError, NumericError


def fixed(size):
    return Range(size, size, size)


def square(inputs):
    """Each row by itself: its square plus the weight."""
    return {"y": inputs["x"] ** 2 + inputs["w"], "sums": inputs["x"].sum(axis=(1, 2))}


ENTRY = GraphEntry(
    "square.onnx",
    "a" * 64,
    10,
    (Tensor("x", "float32", ("B", "C", 3)), Tensor("w", "float32", ("C", 3))),
    (Tensor("y", "float32", ("B", "C", 3)), Tensor("sums", "float32", ("B",))),
)
WORDS = Range(1, 2, 5)
PROFILES = tuple({"B": fixed(rows), "C": WORDS} for rows in (1, 4, 8))
READER = GraphEntry(
    "mean.onnx",
    "b" * 64,
    10,
    (Tensor("y", "float32", ("B", "C", 3)),),
    (Tensor("mean", "float32", ("B",)),),
)


@pytest.fixture
def cuda(monkeypatch):
    fake = FakeCuda(gpus=2)
    fake.install(monkeypatch)
    yield fake
    assert fake.while_capturing == [], "these calls broke the recording of a stream on the same thread"


@pytest.fixture
def trt(cuda, monkeypatch):
    fake = FakeTensorRT(cuda)
    fake.install(monkeypatch)
    return fake


def load(trt, function=square, entry=ENTRY, profiles=PROFILES, name="square", **settings):
    plan, sidecar = trt.add(name, entry, profiles, function)
    return TrtGraph(plan, sidecar, entry, **settings)


def load_reader(trt, **settings):
    return load(trt, lambda inputs: {"mean": inputs["y"].mean(axis=(1, 2))}, READER, PROFILES, "mean", **settings)


def inputs(rows, words=2, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x": rng.standard_normal((rows, words, 3), dtype=np.float32),
        "w": rng.standard_normal((words, 3), dtype=np.float32),
    }


def check(found, given):
    expected = square(given)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize(
    ("rows", "buckets"), [(1, [1]), (2, [4]), (4, [4]), (5, [8]), (8, [8]), (9, [8, 1]), (21, [8, 8, 8])]
)
def test_rows_take_the_smallest_profile_that_holds_them_and_more_are_cut(trt, rows, buckets):
    graph, given = load(trt, cuda_graphs=False), inputs(rows)
    check(graph.run(given), given)
    assert [sizes["B"] for _, _, sizes in trt.enqueued] == buckets
    assert [PROFILES[profile]["B"].maximum for _, profile, _ in trt.enqueued] == buckets
    assert graph.preferred_batch_size == 8


def test_rows_that_pad_are_zero_whatever_was_there_before(trt):
    seen = []

    def spy(given):
        seen.append(given["x"])
        return square(given)

    graph = load(trt, spy)
    graph.run(inputs(4))
    few = inputs(3, seed=1)
    check(graph.run(few), few)
    np.testing.assert_array_equal(seen[-1][:3], few["x"])
    assert not seen[-1][3:].any()


def test_a_result_does_not_depend_on_the_rows_beside_it(trt):
    graph, given = load(trt), inputs(7)
    together = graph.run(given)
    for row in range(7):
        alone = graph.run({"x": given["x"][row : row + 1], "w": given["w"]})
        np.testing.assert_array_equal(alone["y"][0], together["y"][row])


def test_what_padding_rows_hold_is_no_result(trt):
    """A row of zeros may well divide by zero."""
    graph = load(trt, lambda given: {**square(given), "sums": 1 / given["x"].sum(axis=(1, 2))})
    with np.errstate(divide="ignore"):
        found = graph.run(inputs(3))
    assert np.isfinite(found["sums"]).all()


def test_not_a_number_in_a_row_is_an_error(trt):
    graph, given = load(trt), inputs(2)
    given["x"][1, 0, 0] = np.nan
    with pytest.raises(NumericError, match="square: the output 'y' holds NaN"):
        graph.run(given)


def test_arrays_may_lie_in_memory_in_any_order(trt):
    given = inputs(4)
    strided = {"x": np.asfortranarray(given["x"]), "w": given["w"][::-1][::-1]}
    check(load(trt).run(strided), given)


def test_results_of_earlier_runs_stay_as_they_were(trt):
    graph = load(trt)
    given = [inputs(3, seed=seed) for seed in range(4)]
    found = [graph.run(each) for each in given]
    for result, each in zip(found, given, strict=True):
        check(result, each)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"x": np.zeros((2, 9, 3), np.float32), "w": np.zeros((9, 3), np.float32)}, r"C is 9 \(it takes 1 to 5\)"),
        ({"x": np.zeros((2, 2, 3), np.float64)}, r"'x' is float64 \(2, 2, 3\), expected float32"),
        ({"w": np.zeros((3, 3), np.float32)}, r"'w' is float32 \(3, 3\)"),
        ({"x": np.zeros((2, 2, 4), np.float32)}, r"'x' is float32 \(2, 2, 4\)"),
    ],
)
def test_sizes_the_engine_was_not_built_for_are_named(trt, change, said):
    with pytest.raises(EngineError, match=said):
        load(trt).run({**inputs(2), **change})
    with pytest.raises(EngineError, match="'w' is nothing"):
        load(trt).run({"x": inputs(2)["x"]})


# tensors that stay on the device


@pytest.mark.parametrize("rows", [1, 3, 8, 11])
def test_kept_outputs_go_from_graph_to_graph_without_the_host(trt, cuda, rows):
    graph, reader, given = load(trt), load_reader(trt), inputs(rows)
    outputs = graph.run(given, keep=("y", "sums"))
    assert isinstance(outputs["y"], CudaTensor)
    assert (outputs["y"].shape, outputs["y"].dtype) == ((rows, 2, 3), np.float32)
    assert cuda.to_host == []
    mean = reader.run({"y": outputs["y"]})["mean"]
    np.testing.assert_allclose(mean, square(given)["y"].mean(axis=(1, 2)), rtol=1e-6)
    assert sum(cuda.to_host) == 4 * rows  # the means alone
    np.testing.assert_array_equal(outputs["y"].numpy(), square(given)["y"])


def test_a_reader_waits_for_the_writer_s_stream(trt, cuda):
    graph, reader = load(trt), load_reader(trt)
    kept = graph.run(inputs(2), keep=("y", "sums"))
    cuda.waits.clear()
    reader.run({"y": kept["y"]})
    reading, writing = cuda.waits[0]
    assert reading is not writing
    assert writing is kept["y"].ready.handle.stream


def test_a_tensor_may_be_dropped_as_soon_as_it_was_read(trt):
    graph, reader, given = load(trt), load_reader(trt), inputs(2)
    kept = graph.run(given, keep=("y", "sums"))["y"]
    mean = reader.run({"y": kept}, keep=("mean",))["mean"]
    block = kept.pointer
    del kept
    other = graph.run(inputs(2, seed=1), keep=("y",))["y"]  # its run is done: "sums" came back
    assert other.pointer == block
    np.testing.assert_allclose(mean.numpy(), square(given)["y"].mean(axis=(1, 2)), rtol=1e-6)


def test_kept_tensors_survive_later_runs(trt):
    graph = load(trt)
    given = [inputs(2, seed=seed) for seed in range(3)]
    kept = [graph.run(each, keep=("y",))["y"] for each in given]
    for tensor, each in zip(kept, given, strict=True):
        np.testing.assert_array_equal(tensor.numpy(), square(each)["y"])


def test_memory_of_dropped_tensors_is_used_again(trt, cuda):
    graph, reader = load(trt), load_reader(trt)
    blocks = set()
    for seed in range(6):
        given = inputs(4, seed=seed)
        kept = graph.run(given, keep=("y",))["y"]
        blocks.add(kept.pointer)
        np.testing.assert_allclose(reader.run({"y": kept})["mean"], square(given)["y"].mean(axis=(1, 2)), rtol=1e-6)
        del kept
    assert len(blocks) == 1


def test_a_tensor_of_another_gpu_comes_through_the_host(trt, cuda):
    graph, reader, given = load(trt), load_reader(trt, device=1), inputs(2)
    kept = graph.run(given, keep=("y",))["y"]
    np.testing.assert_allclose(reader.run({"y": kept})["mean"], square(given)["y"].mean(axis=(1, 2)), rtol=1e-6)
    assert "cudaMemcpy" in cuda.calls


# captured graphs


def test_a_bucket_is_captured_once_after_a_first_run_and_then_replayed(trt, cuda):
    graph = load(trt)
    for seed in range(5):
        for rows in (1, 3, 8):
            given = inputs(rows, seed=seed)
            check(graph.run(given), given)
    assert sorted(profile for _, profile, _ in trt.captures) == [0, 1, 2]
    assert cuda.calls.count("cudaGraphInstantiate") == 3
    assert cuda.calls.count("cudaGraphLaunch") == 3 * 4
    assert len(trt.enqueued) == 3 * 2  # the first run, and the recording
    assert len(trt.contexts) == 3


def test_shapes_that_come_once_are_not_captured(trt):
    graph = load(trt)
    for words in (1, 2, 3, 4, 5):
        given = inputs(2, words)
        check(graph.run(given), given)
    assert trt.captures == []


def test_a_captured_context_keeps_its_shapes(trt):
    """Other shapes take a context of their own: to change those of a captured one is undefined."""
    graph = load(trt)
    for _ in range(3):
        for words in (2, 4):
            given = inputs(3, words)
            check(graph.run(given), given)
    assert len(trt.contexts) == len(trt.captures) == 2


def test_the_shapes_used_least_recently_make_room(trt, cuda):
    profiles = tuple({"B": fixed(rows), "C": Range(1, 2, 50)} for rows in (1, 4, 8))
    graph = load(trt, profiles=profiles)
    held = []
    for words in [*range(1, MAX_SLOTS + 5), 1]:
        given = inputs(2, words)
        check(graph.run(given), given)
        held.append(cuda.kinds()["device"])
    assert held[-1] == held[MAX_SLOTS - 1] == 1 + 4 * MAX_SLOTS
    assert len(trt.contexts) == MAX_SLOTS + 5


@pytest.mark.parametrize("way", ["engine", "stream", "instantiate"])
def test_where_a_capture_fails_kernels_are_launched_one_by_one(trt, cuda, caplog, way):
    graph = load(trt)
    trt.capturable = way != "engine"
    cuda.capture_breaks = way == "stream"
    if way == "instantiate":
        cuda.fail("cudaGraphInstantiate", Status.cudaErrorLaunchFailure)
    for seed in range(4):
        given = inputs(2, seed=seed)
        check(graph.run(given), given)
    assert len(trt.captures) == 1
    assert "cudaGraphLaunch" not in cuda.calls
    assert "square.onnx: no CUDA graph" in caplog.text
    del graph
    gc.collect()
    assert cuda.kinds() == {}


def test_what_becomes_garbage_while_a_thread_records_is_freed_afterwards(trt, cuda):
    """Garbage of any origin is collected at any time; to free memory on the recording thread breaks the recording."""
    graph, other = load(trt), load_reader(trt)
    other.run({"y": inputs(1)["x"]})
    cycle = [other]
    cycle.append(cycle)
    held = cuda.kinds()
    del other, cycle
    trt.known["square"].during_run = lambda: gc.collect() if cuda.capturing else None
    gc.disable()
    try:
        for seed in range(3):
            given = inputs(1, seed=seed)
            check(graph.run(given), given)
    finally:
        gc.enable()
    assert len(trt.captures) == 1
    assert "cudaGraphLaunch" in cuda.calls
    assert cuda.kinds()["stream"] == held["stream"] - 1  # the reader is gone


def test_captured_graphs_can_be_switched_off(trt):
    graph = load(trt, cuda_graphs=False)
    for _ in range(3):
        given = inputs(2)
        check(graph.run(given), given)
    assert trt.captures == []
    assert len(trt.enqueued) == 3


# errors and the end


CALLS = [
    "cudaSetDevice",
    "cudaMalloc",
    "cudaHostAlloc",
    "cudaMemcpyAsync",
    "cudaMemsetAsync",
    "cudaEventSynchronize",
    "cudaEventRecord",
    "cudaEventCreateWithFlags",
    "cudaStreamWaitEvent",
    "cudaGraphLaunch",
]


@pytest.mark.parametrize("name", CALLS)
def test_every_status_is_looked_at(trt, cuda, name):
    graph, reader = load(trt), load_reader(trt)

    def work():
        for _ in range(3):
            reader.run({"y": graph.run(inputs(2), keep=("y",))["y"]})

    cuda.fail(name, Status.cudaErrorIllegalAddress)
    with pytest.raises(DeviceError, match=rf"GPU 0: {name} failed with cudaErrorIllegalAddress \(the reason of 700\)"):
        work()
    work()


def test_loading_names_the_call_that_fails(trt, cuda):
    for name in ("cudaSetDevice", "cudaStreamCreateWithFlags"):
        cuda.fail(name, Status.cudaErrorInvalidDevice)
        with pytest.raises(DeviceError, match=f"{name} failed with cudaErrorInvalidDevice"):
            load(trt)


@pytest.mark.parametrize("name", ["cudaMalloc", "cudaHostAlloc"])
def test_too_little_memory_says_what_to_do(trt, cuda, name):
    graph = load(trt)
    cuda.fail(name, Status.cudaErrorMemoryAllocation, after=2 if name == "cudaMalloc" else 1)
    with pytest.raises(GpuMemoryError, match=rf"GPU 0 is out of memory \({name}\).*--max-batch.*--upsampler-device"):
        graph.run(inputs(2))
    check(graph.run(inputs(2)), inputs(2))
    assert issubclass(GpuMemoryError, MemoryError)


def test_a_context_that_does_not_come_is_an_error(trt):
    graph = load(trt)
    trt.gives_contexts = False
    with pytest.raises(DeviceError, match="no execution context"):
        graph.run(inputs(1))


def test_an_engine_that_does_not_run_is_an_error(trt):
    graph = load(trt)
    trt.known["square"].refuses = True
    with pytest.raises(DeviceError, match=r"square\.onnx: TensorRT could not run its engine"):
        graph.run(inputs(1))


def test_a_cancelled_graph_ends_with_an_error(trt):
    graph = load(trt)
    graph.run(inputs(1))
    graph.cancel()
    with pytest.raises(DeviceError, match="square: cancelled"):
        graph.run(inputs(1))


def test_a_plan_that_tensorrt_refuses_says_what_it_was_built_for(trt):
    _, sidecar = trt.add("square", ENTRY, PROFILES, square)
    with pytest.raises(EngineError, match=r"refuses the engine.*11\.4\.0\.106 on Fake GPU \(sm_90\).*wordmask engines"):
        TrtGraph(b"damaged", sidecar, ENTRY)


def test_an_engine_of_another_graph_is_refused(trt):
    plan, sidecar = trt.add("square", ENTRY, PROFILES, square)
    with pytest.raises(EngineError, match="expected"):
        TrtGraph(plan, sidecar, READER)


def test_rows_must_come_first(trt):
    entry = GraphEntry("g.onnx", "", 0, (Tensor("x", "float32", (3, "B")),), (Tensor("y", "float32", ("B",)),))
    with pytest.raises(EngineError, match="rows must be of one kind and come first"):
        load(trt, entry=entry, profiles=({"B": fixed(1)},))


def test_all_is_given_back_at_the_end(trt, cuda):
    graph, reader = load(trt), load_reader(trt)
    kept = []
    for rows in (1, 3, 8, 3, 3, 11):
        kept += graph.run(inputs(rows), keep=("y", "sums")).values()
        reader.run({"y": kept[-2]})
    assert set(cuda.kinds()) == {"device", "pinned", "stream", "event", "executable"}
    del graph, reader
    np.testing.assert_array_equal(kept[-2].numpy(), square(inputs(11))["y"])  # a tensor outlives its graph
    kept.clear()
    gc.collect()
    assert cuda.kinds() == {}


def test_all_is_given_back_after_errors(trt, cuda):
    graph = load(trt)
    for name in CALLS:
        cuda.fail(name, Status.cudaErrorIllegalAddress)
        for _ in range(3):
            try:
                graph.run(inputs(3), keep=("y",))
            except DeviceError:
                continue
    del graph
    gc.collect()
    assert cuda.kinds() == {}


def test_threads_share_a_graph(trt):
    graph = load(trt)
    wrong = []

    def work(seed):
        for step in range(20):
            given = inputs(1 + (seed + step) % 9, seed=seed)
            try:
                check(graph.run(given), given)
            except AssertionError as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_copies_and_waits_of_one_run_do_not_hold_up_the_next(trt, cuda, monkeypatch):
    graph, held = load(trt), []
    synchronize = FakeCuda.cudaEventSynchronize

    def watched(fake, event):
        held.append(graph._lock.locked())
        return synchronize(fake, event)

    monkeypatch.setattr(FakeCuda, "cudaEventSynchronize", watched)
    for seed in range(3):
        given = inputs(5, seed=seed)
        check(graph.run(given), given)
    assert held
    assert not any(held)
    assert "cudaStreamSynchronize" not in cuda.calls


def test_a_run_under_way_keeps_its_pinned_memory(trt, cuda):
    graph = load(trt)
    given = [inputs(2, seed=seed) for seed in range(3)]
    kept = [graph.run(each, keep=("y", "sums")) for each in given]  # nothing waits for these
    for each, outputs in zip(given, kept, strict=True):
        check({name: value.numpy() for name, value in outputs.items()}, each)


def test_two_branches_run_on_streams_of_their_own(trt, cuda):
    graph, reader = load(trt), load_reader(trt)
    for _ in range(3):
        reader.run({"y": graph.run(inputs(2), keep=("y", "sums"))["y"]})
    assert cuda.kinds()["stream"] == 2


# what the machine has


def test_the_gpu_that_is_not_there_is_named(trt):
    with pytest.raises(DeviceError, match="GPU 7: cudaSetDevice failed with cudaErrorInvalidDevice"):
        Gpu(7)
    with pytest.raises(DeviceError, match="GPU 7 cannot be used"):
        target_of(7)
    assert target_of(1) == (TARGET, "Fake GPU")


@pytest.mark.parametrize(("missing", "module"), [("tensorrt", "tensorrt"), ("cuda.bindings", "cuda")])
def test_what_is_not_installed_names_the_extra(trt, monkeypatch, missing, module):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtraError, match=rf"{module}.*\[trt\]"):
        target_of(0)


def place(bundle, plan, sidecar):
    folder = bundle / FOLDER / sidecar.request.key
    folder.mkdir(parents=True, mode=0o755)
    (bundle / FOLDER).chmod(0o755)
    (folder / PLAN).write_bytes(plan)
    (folder / PLAN).chmod(0o644)
    (folder / SIDECAR).write_text(sidecar.to_json())


def test_the_engine_for_this_gpu_is_loaded(trt, tmp_path):
    place(tmp_path, *trt.add("square", ENTRY, PROFILES, square))
    graph = load_engine(tmp_path, "square", ENTRY, "fp16", 0)
    check(graph.run(inputs(5)), inputs(5))
    with pytest.raises(EngineError, match="no bf16 engine of square for sm_90"):
        load_engine(tmp_path, "square", ENTRY, "bf16", 0)


def test_a_plan_that_was_changed_never_reaches_tensorrt(trt, tmp_path):
    plan, sidecar = trt.add("square", ENTRY, PROFILES, square)
    place(tmp_path, plan, sidecar)
    (tmp_path / FOLDER / sidecar.request.key / PLAN).write_bytes(b"other!")
    with pytest.raises(EngineError, match="not the plan that was built"):
        load_engine(tmp_path, "square", ENTRY, "fp16", 0)


def test_importing_the_package_imports_neither_tensorrt_nor_cuda():
    modules = "wordmask, wordmask.pipeline, wordmask.backends.tensorrt.graph"
    code = f"import sys, {modules}\nprint({{'tensorrt', 'cuda'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "set()", done.stderr
