from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

from maskgate.classification.pca import Eigenfaces, eigenfaces_to_bytes
from maskgate.errors import DataError
from maskgate.studies.eigenfaces import eigenfaces_plot, write_eigenfaces_plot

IMAGE = ".//{http://www.w3.org/2000/svg}image"


def made(count: int) -> Eigenfaces:
    rng = np.random.default_rng(0)
    arrays = (
        rng.normal(size=64), rng.normal(size=(count, 64)), np.ones(count), np.zeros((3, count)),
        np.zeros((3, count)), np.zeros(3),
    )  # fmt: skip
    return Eigenfaces(*(np.asarray(a, np.float32) for a in arrays))


@pytest.mark.parametrize(("count", "pictures"), [(3, 4), (14, 12)])
def test_a_picture_for_the_mean_and_each_of_the_first(count: int, pictures: int) -> None:
    explained = 0.5 ** np.arange(1, 17)
    svg = eigenfaces_plot(made(count), explained)
    root = ET.fromstring(svg)
    assert len(root.findall(IMAGE)) == pictures
    assert svg == eigenfaces_plot(made(count), explained)
    # how many are in use shows
    assert svg != eigenfaces_plot(made(count + 1), explained)


def test_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "explained.csv").write_text("component,share\n1,0.6\n2,0.3\n")
    with pytest.raises(DataError, match="is no folder of finished eigenfaces"):
        write_eigenfaces_plot(tmp_path)
    (tmp_path / "model.npz").write_bytes(eigenfaces_to_bytes(made(2)))
    path = write_eigenfaces_plot(tmp_path)
    assert path == tmp_path / "eigenfaces.svg"
    assert path.read_text() == eigenfaces_plot(made(2), np.array([0.6, 0.3])) + "\n"
