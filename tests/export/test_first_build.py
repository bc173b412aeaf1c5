"""docs/first-build.md, run by a shell line by line, against a hub on this machine that has the three repositories.

The models are narrow ones under the published names, so that it takes a minute; test_full_size.py builds at full size.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")

import hub_server
from published_weights import publish, write
from wordmask.bundle.opening import open_bundle

pytestmark = pytest.mark.soak

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "first-build.md").read_text(encoding="utf-8")
INSTALLS = ("pip ", "python3 -m venv", "source ")
DATA = ROOT / "tests" / "data"
SAM2 = "sam2.1_hiera_tiny"
NARROW = f"""
import sys
if sys.argv[1] == "build":
    from omegaconf import OmegaConf
    from wordmask.cli import doctor
    from wordmask.system import limits
    from wordmask_export.models import pipeline
    read_clip, read_sam2 = pipeline.read_clip_config, pipeline._sam2_config
    pipeline.read_clip_config = lambda name, weights: read_clip({str(DATA / "small_clip.json")!r}, None)
    pipeline._sam2_config = lambda choice: (OmegaConf.load({str(DATA / "small_sam2.yaml")!r}), read_sam2(choice)[1])
    doctor.has_nvidia_gpu, limits.processors = (lambda: False), (lambda: 2)
from wordmask.cli.main import main
sys.exit(main())
"""  # `wordmask` on a small machine, with narrow models in place of the published ones


def lines() -> list[str]:
    """The page's commands but for those that install."""
    found = re.findall(r"^ {4}(\S.*)$", re.sub(r"```.*?```", "", PAGE, flags=re.DOTALL), re.MULTILINE)
    return [line for line in found if not line.startswith(INSTALLS)]


@pytest.fixture
def published(small_models, tmp_path):
    (tmp_path / "published").mkdir()
    return write(small_models, tmp_path / "published", SAM2)


@pytest.fixture
def shell(tmp_path):
    """What a shell in an empty folder needs: the commands, and the photos of the checkout."""
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    (tmp_path / "bin").mkdir()
    (tmp_path / "narrow.py").write_text(NARROW)
    for name, program in (("wordmask", tmp_path / "narrow.py"), ("hf", Path(sys.executable).with_name("hf"))):
        command = tmp_path / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {sys.executable} {program} "$@"\n')
        command.chmod(0o755)
    return {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("runtime", "export", "benchmarks")),
        "WORDMASK_CACHE": str(tmp_path / "cache"),
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",  # the client's look for a newer one of itself
    }


def kill_after(graph: str, record: Path, process: subprocess.Popen) -> None:
    """Kills a build when a graph is finished."""
    while not (record.exists() and f'"{graph}"' in record.read_text()):
        assert process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()


def test_every_line_of_the_page_runs_though_the_first_start_is_killed(published, shell, tmp_path):
    with hub_server.running() as hub:
        publish(hub, published)
        environment = hub.environment(tmp_path / "hf_home") | shell
        build = next(line for line in lines() if line.startswith("wordmask build"))
        process = subprocess.Popen(["bash", "-c", f"exec {build}"], cwd=tmp_path, env=environment)
        kill_after("clip_text", tmp_path / "models_cache" / "default.unfinished" / "unfinished.json", process)
        script = "\n".join(("set -e", *lines()))
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=3600,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert len(hub.requests("GET", "open_clip_model.safetensors", "storage")) == 1
    assert f"--sam2 auto is {SAM2}" in done.stderr
    assert "an earlier start of this build finished clip_image, clip_text" in done.stderr
    built, offline = (open_bundle(tmp_path / "models_cache" / name).manifest for name in ("default", "offline"))
    assert built.models["sam2"].name == SAM2
    assert (built.bundle_id, built.graphs) == (offline.bundle_id, offline.graphs)  # in two starts, and in one
    assert (tmp_path / "out" / "overlay" / "chelsea.jpg").is_file()
