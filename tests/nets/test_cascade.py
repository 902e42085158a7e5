from __future__ import annotations

import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from maskgate.detection.cascade import SIDES, STRIDE  # noqa: E402
from maskgate.nets.cascade import STAGES, ExportedStage, Mask1, Stage  # noqa: E402


def used(stage: int) -> Stage:
    """In evaluation mode, with statistics that are not those of a fresh network."""
    torch.manual_seed(stage)
    net = STAGES[stage]()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return net.eval()


@pytest.mark.parametrize(("height", "width"), [(12, 12), (25, 40), (31, 18)])
def test_the_first_stage_is_itself_over_all_windows(height: int, width: int) -> None:
    """Fully convolutional: a picture's answers are those to its windows, one by one."""
    net = used(0)
    picture = torch.randint(0, 256, (1, 3, height, width)).float()
    side = SIDES[0]
    with torch.inference_mode():
        scores, offsets = net(picture)
        rows, columns = (height - side) // STRIDE + 1, (width - side) // STRIDE + 1
        assert scores.shape == (1, rows, columns)
        assert offsets.shape == (1, rows, columns, 4)
        for i in range(rows):
            for j in range(columns):
                y, x = i * STRIDE, j * STRIDE
                score, offset = net(picture[:, :, y : y + side, x : x + side])
                assert float(score) == pytest.approx(float(scores[0, i, j]), abs=1e-4)
                np.testing.assert_allclose(offset.flatten(), offsets[0, i, j], atol=1e-4)


@pytest.mark.parametrize("stage", [1, 2])
def test_later_stages(stage: int) -> None:
    net = used(stage)
    scores, offsets = net(torch.zeros(5, 3, SIDES[stage], SIDES[stage]))
    assert (scores.shape, offsets.shape) == ((5,), (5, 4))
    with pytest.raises(RuntimeError):
        net(torch.zeros(1, 3, SIDES[stage] * 2, SIDES[stage] * 2))  # windows have one size


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_every_pixel_of_a_window_counts(stage: int) -> None:
    net = used(stage)
    x = (torch.rand(1, 3, SIDES[stage], SIDES[stage]) * 255).requires_grad_()
    torch.cat([part.flatten() for part in net(x)]).square().sum().backward()
    assert (x.grad.abs().sum((0, 1)) > 0).float().mean() > 0.9  # the pooling drops a rim here and there


def test_three_networks_that_grow() -> None:
    sizes = [sum(p.numel() for p in net().parameters()) for net in STAGES]
    assert sizes == sorted(sizes)
    assert sizes[0] < 10_000  # it looks at every window
    assert sizes[2] < 1_000_000


@pytest.mark.parametrize("stage", [0, 1, 2])
def test_the_exported_graph_takes_pixels(stage: int) -> None:
    from maskgate.training.cascade import export_stage

    net = used(stage)
    session = ort.InferenceSession(export_stage(net, SIDES[stage]))
    size = (40, 30) if stage == 0 else (SIDES[stage],) * 2
    windows = np.random.default_rng(0).integers(0, 256, (3, *size, 3)).astype(np.uint8)
    scores, offsets = session.run(["scores", "offsets"], {"windows": windows})
    with torch.inference_mode():
        wanted = ExportedStage(net)(torch.from_numpy(windows))
        raw, _ = net(torch.from_numpy(windows).permute(0, 3, 1, 2).float())
    np.testing.assert_allclose(scores, wanted[0], atol=1e-5)
    np.testing.assert_allclose(scores, 1 / (1 + np.exp(-raw.numpy())), atol=1e-5)
    np.testing.assert_allclose(offsets, wanted[1], atol=1e-4)
    assert isinstance(net, Mask1) == (scores.ndim == 3)
