from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from safetensors.torch import load_file  # noqa: E402

from maskgate.nets.face_resnet import (  # noqa: E402
    BLOCKS,
    Affine,
    FaceBlock,
    FaceResNet,
)


def test_affine_by_hand() -> None:
    affine = Affine(2)
    affine.weight.data[:] = torch.tensor([2.0, -1])
    affine.bias.data[:] = torch.tensor([0.5, 3])
    assert affine(torch.ones(1, 2, 1, 1)).flatten().tolist() == [2.5, 2]


@pytest.mark.parametrize("side", [3, 4, 5, 8, 13, 26])
def test_halving_block_against_plain_numpy(side: int) -> None:
    torch.manual_seed(side)
    block = FaceBlock(2, 3, True)
    for parameter in block.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(1, 2, side, side)
    with torch.inference_mode():
        y = block(x)[0].numpy()
        inner = block.aff2(block.conv2(torch.relu(block.aff1(block.conv1(x)))))[0].numpy()
    # floor((side - 3) / 2) + 1 positions of a 3 × 3 window at stride 2, floor(side / 2) pairs
    assert inner.shape[1] == (side - 3) // 2 + 1
    half = side // 2
    pairs = x[0, :, : 2 * half, : 2 * half].numpy().reshape(2, half, 2, half, 2).mean((2, 4))
    wanted = np.zeros((3, max(half, inner.shape[1]), max(half, inner.shape[1])), np.float32)
    wanted[:2, :half, :half] += pairs
    wanted[:, : inner.shape[1], : inner.shape[2]] += inner
    np.testing.assert_allclose(y, np.maximum(wanted, 0), atol=1e-5)


def test_block_without_halving_keeps_its_shape() -> None:
    block = FaceBlock(4, 4, False)
    torch.nn.init.zeros_(block.aff2.weight)
    x = torch.randn(1, 4, 5, 6)
    torch.testing.assert_close(block(x), x.clamp(min=0))


@pytest.mark.parametrize(("blocks", "smallest"), [(BLOCKS, 103), (BLOCKS[:-1], 55), (BLOCKS[:11], 55)])
def test_smallest_input(blocks: tuple[tuple[int, bool], ...], smallest: int) -> None:
    net = FaceResNet(blocks).eval()
    with torch.inference_mode():
        assert net(torch.zeros(1, 3, smallest, smallest)).shape == (1, net.channels)
        with pytest.raises(RuntimeError):
            net(torch.zeros(1, 3, smallest - 1, smallest - 1))


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, torch.Tensor]:
    """dlib's weights."""
    state: dict[str, torch.Tensor] = load_file(shared / "weights" / "face" / "dlib_resnet29.safetensors")
    return state


def test_embeddings_tell_people_apart(
    published: dict[str, torch.Tensor], shared: Path, astronaut: np.ndarray
) -> None:
    """dlib's own rule: the same person where the Euclidean distance is below 0.6."""
    net = FaceResNet(embedding=True)
    net.load_state_dict({k: v.float() for k, v in published.items()})
    views = []
    for x, y, side in ((150, 45, 150), (157, 50, 146), (143, 42, 160)):
        views.append(cv2.resize(astronaut[y : y + side, x : x + side], (150, 150)))
    views.append(np.ascontiguousarray(views[0][:, ::-1]))
    other = sorted((shared / "data" / "crops" / "rmfd-web" / "no_mask").glob("*.jpg"))[0]
    picture = cv2.cvtColor(cv2.imread(str(other)), cv2.COLOR_BGR2RGB)
    views.append(cv2.resize(picture, (150, 150)))
    x = torch.from_numpy(np.stack(views).transpose(0, 3, 1, 2)).float()
    with torch.inference_mode():
        vectors = net.eval()(x)
    assert vectors.shape == (5, 128)
    distances = torch.cdist(vectors, vectors).numpy()
    assert distances[0, 1:4].max() < 0.6 < distances[4, :4].min()


def test_stages_name_every_part_once() -> None:
    net = FaceResNet(BLOCKS[:9])
    names = [name for stage in net.stages for name in stage]
    assert len(set(names)) == len(names)
    parts = {id(p) for name in names for p in net.get_submodule(name).parameters()}
    assert parts == {id(p) for p in net.parameters()}
    assert len(net.stages) == 4  # the stem, and one for each size of map
