from __future__ import annotations

import math
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from maskgate.nets.mtcnn import OutputNet, ProposalNet, RefinementNet, _flat  # noqa: E402


@pytest.mark.parametrize(("height", "width"), [(12, 12), (13, 12), (14, 15), (30, 31), (101, 64)])
def test_proposal_map_has_a_place_for_every_window(height: int, width: int) -> None:
    with torch.inference_mode():
        offsets, scores = ProposalNet()(torch.randn(2, 3, height, width))
    h, w = math.ceil((height - 2) / 2) - 4, math.ceil((width - 2) / 2) - 4
    assert offsets.shape == (2, 4, h, w)
    assert scores.shape == (2, 2, h, w)
    torch.testing.assert_close(scores.sum(1), torch.ones(2, h, w))


def test_a_window_of_the_map_is_the_crop_at_twice_its_place() -> None:
    torch.manual_seed(0)
    net, picture = ProposalNet().eval(), torch.randn(1, 3, 31, 40)
    with torch.inference_mode():
        offsets, scores = net(picture)
        for y, x in ((0, 0), (3, 7), (9, 14)):
            window = net(picture[:, :, 2 * y : 2 * y + 12, 2 * x : 2 * x + 12])
            torch.testing.assert_close(offsets[:, :, y, x], window[0][:, :, 0, 0])
            torch.testing.assert_close(scores[:, :, y, x], window[1][:, :, 0, 0])


@pytest.mark.parametrize(
    ("kind", "size", "widths"), [(RefinementNet, 24, (4, 2)), (OutputNet, 48, (4, 2, 10))]
)
def test_shapes_of_the_others(kind: type[torch.nn.Module], size: int, widths: tuple[int, ...]) -> None:
    with torch.inference_mode():
        outputs = kind()(torch.randn(3, 3, size, size))
    assert [o.shape for o in outputs] == [(3, width) for width in widths]
    torch.testing.assert_close(outputs[1].sum(1), torch.ones(3))


def test_flat_goes_down_the_columns_first() -> None:
    x = torch.arange(12).reshape(1, 2, 2, 3)  # channel, row, column
    wanted = [x[0, c, row, column] for column in range(3) for row in range(2) for c in range(2)]
    assert _flat(x)[0].tolist() == [int(v) for v in wanted]


@pytest.mark.parametrize(
    ("kind", "file"), [(ProposalNet, "pnet.pt"), (RefinementNet, "rnet.pt"), (OutputNet, "onet.pt")]
)
def test_published_weights_have_our_names(kind: type[torch.nn.Module], file: str, shared: Path) -> None:
    state = torch.load(shared / "weights" / "mtcnn" / file, weights_only=True)
    kind().load_state_dict(state, strict=True)
