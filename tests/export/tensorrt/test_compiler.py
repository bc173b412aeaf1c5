"""TensorRT reads and compiles every graph, in every precision, through the product's own builder; no GPU is needed."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("torch")

TINY = Path(__file__).parents[3] / "models_cache" / "tiny"
TYPES = {"fp32": "FLOAT", "fp16": "HALF", "bf16": "BF16"}
SINGLE = {
    "sam2_decoder": 1,
    "sam2_mask_decoder": 1,
}  # products that stay in fp32: the change of coordinates before the sines
GRAPHS = ["clip_image", "clip_text", "loftup", "loftup_features", "sam2_encoder", "sam2_decoder"]
TINYS = [*GRAPHS, "sam2_mask_decoder"]


def check(found, precision, graphs, profiles):
    """Every graph was compiled for all its profiles, with its products in the precision that was asked for."""
    assert list(found) == graphs
    for name, facts in found.items():
        assert facts["plan"] > 10_000
        assert facts["timing_cache"] > 0
        assert facts["profiles"] == profiles.get(name, profiles["others"])
        products, single = dict(facts["products"]), SINGLE.get(name, 0)
        if precision != "fp32":
            assert products.pop("FLOAT", 0) == single, name
        assert set(products) == {TYPES[precision]}, name
        assert facts["layers"][TYPES[precision]] > 20


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_shipped_bundle_compiles(trt_standin, precision):
    found = trt_standin.compile(TINY, precision, TINYS, max_batch=1, max_prompts=8)
    check(found, precision, TINYS, {"others": 1})


@pytest.mark.parametrize("precision", ["fp16"])
def test_a_new_bundle_compiles_with_a_profile_a_bucket(trt_standin, small_bundle, precision):
    found = trt_standin.compile(small_bundle, precision, GRAPHS, max_batch=2, max_prompts=16)
    check(found, precision, GRAPHS, {"others": 2, "clip_text": 1, "sam2_encoder": 1})


def test_an_engine_of_fp32_products_is_refused_where_fp16_was_asked(trt_standin, small_bundle):
    script = """
import sys
from pathlib import Path
from wordmask.bundle.manifest_reading import read_manifest
from wordmask_export.tensorrt.profiles import profiles
from wordmask_export.tensorrt.compiler import compile_network
bundle = Path(sys.argv[1])
manifest = read_manifest(bundle)
entry, sizes = manifest.graphs["loftup"], profiles(manifest, max_batch=1, max_prompts=8)["loftup"]
model = (bundle / entry.file).read_bytes()
compile_network(model, entry, sizes, timing_cache=b"", log=lambda line: None, precision="fp16")
"""
    done = trt_standin.run("-c", script, str(small_bundle))
    assert done.returncode != 0
    assert "fp16 was asked for, but these layers would compute in fp32" in done.stderr


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_class_maps_graph_compiles_with_dynamic_bands(trt_standin, precision):
    """No engine is built of it: on a GPU ONNX Runtime runs it. Sums stay in fp32, where fp16 would overflow."""
    script = """
import sys
import onnx
from wordmask.bundle.engines import Range
from wordmask.bundle.manifest import GraphEntry
from wordmask.dense import device_classmap as cm
from wordmask_export.precision.policy import Island, islands, statistics
from wordmask_export.precision.retype import retype, value_types, widened
from wordmask_export.tensorrt.compiler import compile_network
precision = sys.argv[1]
model = widened(onnx.load(cm.FILE))
if precision == "fp16":
    constants = Island(lambda wiring, _: wiring.of_type("Constant"), "they are cast where they are read")
    model = retype(model, islands(model, (Island(statistics, "range"), constants)), precision)
    value_types(model)
most = {"B": 10, "C": 64, "S": 224, "R": 4, "K": 5, "A": 3, "y": 128, "E": 3, "x": 600, "X": 2048, "Y": 256}
least = {**dict.fromkeys(most, 1), "S": 224}
profile = {symbol: Range(least[symbol], size, size) for symbol, size in most.items()}
entry = GraphEntry(cm.FILE.name, "", 0, cm.INPUTS, cm.OUTPUTS)
found = compile_network(model.SerializeToString(), entry, (profile,), timing_cache=b"", log=lambda line: None)
print(len(found.plan), found.layers.get("HALF", 0))
"""
    done = trt_standin.run("-c", script, precision)
    assert done.returncode == 0, done.stderr[-3000:]
    size, halves = map(int, done.stdout.split())
    assert size > 10_000
    assert (halves > 10) == (precision == "fp16")
