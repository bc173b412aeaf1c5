"""Winograd's convolution against torch's."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from wordmask_export.graphs.winograd import Winograd  # noqa: E402


@pytest.mark.parametrize("size", [(4, 4), (6, 12), (10, 8)])
def test_it_is_the_convolution_without_padding(size):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(5, 7, 3)
    x = torch.randn(2, 5, *size)
    found = Winograd(conv)(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    torch.testing.assert_close(found, conv(x), rtol=1e-5, atol=1e-5)  # a few roundings of fp32
