"""Checkpoints of any content: tensors, or one WeightsError; nothing is executed."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from safetensors.torch import save  # noqa: E402

from fuzzing import fuzz  # noqa: E402
from wordmask_export.models.weights import WeightsError, read  # noqa: E402


def samples() -> dict[str, bytes]:
    state = {"a.weight": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4, dtype=torch.float16)}
    new, old = io.BytesIO(), io.BytesIO()
    torch.save({"model": state}, new)
    torch.save(state, old, _use_new_zipfile_serialization=False)
    return {"safetensors": save(state), "bin": new.getvalue(), "pt": old.getvalue(), "pkl": pickle.dumps({"a": [1]})}


SAMPLES = samples()


@st.composite
def damaged(draw: st.DrawFn) -> tuple[str, bytes]:
    """The suffix and the content of a checkpoint with up to three places changed."""
    suffix = draw(st.sampled_from(sorted(SAMPLES)))
    data = SAMPLES[suffix]
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(data)))
        patch = draw(st.binary(max_size=8))
        data = data[:start] + patch + data[start + draw(st.sampled_from([len(patch), 0, 20, len(data)])) :]
    return suffix, data


# A damaged pickle begins with any number: torch names the protocol, and then reads it or raises.
@pytest.mark.filterwarnings("ignore:Detected pickle protocol:UserWarning:torch")
@fuzz(damaged() | st.tuples(st.sampled_from(sorted(SAMPLES)), st.binary()), examples=100)
def test_a_checkpoint_is_tensors_or_refused(case: tuple[str, bytes], folder: Path) -> None:
    path = folder / f"weights.{case[0]}"
    path.write_bytes(case[1])
    try:
        state = read(path)
    except WeightsError as error:
        assert str(path) in str(error)
        return
    assert state
    assert all(isinstance(value, torch.Tensor) and value.dtype == torch.float32 for value in state.values())
