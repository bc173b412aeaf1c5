"""Preprocessing against the reference transforms, for photos of any shape."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from wordmask.dense.windows import cut_windows, resize_for_clip, window_starts, with_stride
from wordmask.errors import BundleError
from wordmask.objects.sam2 import resize_for_sam2

SCLIP = SimpleNamespace(window=224, stride=112, short_side=336, long_side=2048)
SIZES = [(300, 451), (1200, 800), (800, 1200), (37, 21), (1, 1), (1, 320), (336, 336), (100, 2100), (2300, 3100)]


def photo(height, width, seed=0):
    """Smooth shapes and noise, so that filters differ."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 256, (max(2, height // 9), max(2, width // 9), 3), dtype=np.uint8)
    large = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(large + rng.integers(-20, 21, large.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("size", SIZES)
def test_clip_resize_is_mmcvs(size):
    """mmcv.imrescale((2048, 336)): the scale that fits both, sizes int(x * scale + 0.5), cv2 bilinear."""
    height, width = size
    scale = min(2048 / max(size), 336 / min(size))
    expected = cv2.resize(photo(*size), (max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))))
    np.testing.assert_array_equal(resize_for_clip(photo(*size), SCLIP), expected)


@pytest.mark.parametrize(
    ("length", "starts"), [(224, [0]), (100, [0]), (225, [0, 1]), (336, [0, 112]), (504, [0, 112, 224, 280])]
)
def test_windows_step_by_the_stride_and_the_last_is_shifted_back(length, starts):
    assert window_starts(length, 224, 112) == starts


@pytest.mark.parametrize("size", [(336, 504), (336, 336), (100, 300), (50, 60)])
def test_windows_cover_every_pixel_and_repeat_the_edge_beyond(size):
    resized = photo(*size)
    windows, corners = cut_windows(resized, SCLIP)
    covered = np.zeros(size, bool)
    for window, (y, x) in zip(windows, corners, strict=True):
        inside = resized[y : y + 224, x : x + 224]
        height, width = inside.shape[:2]
        np.testing.assert_array_equal(window[:height, :width], inside)
        np.testing.assert_array_equal(window[height:], np.broadcast_to(window[height - 1], window[height:].shape))
        np.testing.assert_array_equal(
            window[:, width:], np.broadcast_to(window[:, width - 1 : width], window[:, width:].shape)
        )
        covered[y : y + 224, x : x + 224] = True
    assert covered.all()


def test_truck_sized_photos_have_eight_windows():
    assert len(cut_windows(resize_for_clip(photo(1200, 1800), SCLIP), SCLIP)[1]) == 8


@pytest.mark.parametrize("size", [s for s in SIZES if min(s) > 1] + [(1024, 1024), (4000, 3000)])
def test_sam2_resize_is_the_references(size):
    torch = pytest.importorskip("torch")
    from torchvision.transforms import functional

    image = photo(*size)
    tensor = torch.from_numpy(image).permute(2, 0, 1).float() / 255
    expected = functional.resize(tensor, [1024, 1024], antialias=True).permute(1, 2, 0).numpy() * 255
    found = resize_for_sam2(image, 1024)
    assert (found.dtype, found.shape) == (np.float32, (1024, 1024, 3))
    np.testing.assert_allclose(found, expected, atol=0.01)  # torch's scale is in single precision


@pytest.mark.filterwarnings("ignore:`torch\\.jit\\.script` is deprecated:FutureWarning:torch")  # sam2 calls it
def test_sam2_transforms_of_the_installed_package_agree():
    pytest.importorskip("sam2")
    import torch
    from sam2.utils.transforms import SAM2Transforms

    image = photo(601, 417)
    reference = SAM2Transforms(resolution=256, mask_threshold=0.0)(image)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    levels = (reference.permute(1, 2, 0) * std + mean).numpy() * 255
    np.testing.assert_allclose(resize_for_sam2(image, 256), levels, atol=0.01)


def test_long_photos_keep_the_long_side_within_its_limit():
    tight = SimpleNamespace(**{**vars(SCLIP), "long_side": 500})
    assert resize_for_clip(photo(100, 1000), tight).shape[:2] == (50, 500)


@dataclass(frozen=True)
class Steps:
    window: int = 224
    stride: int = 112


def test_the_step_between_windows_can_be_chosen_from_an_eighth_of_their_side_to_all_of_it():
    assert with_stride(Steps(), None) == Steps()
    for stride in (28, 64, 224):
        assert with_stride(Steps(), stride) == Steps(stride=stride)
    for stride in (1, 27, 225):
        with pytest.raises(BundleError, match=f"stride is {stride}: it must lie between 28 and 224, the side of the"):
            with_stride(Steps(), stride)
    with pytest.raises(BundleError, match="between 13 and 100"):
        with_stride(Steps(100, 50), 12)
