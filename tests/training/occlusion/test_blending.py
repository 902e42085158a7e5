from __future__ import annotations

import numpy as np
import pytest

from maskgate.training.occlusion.blending import Area, exposure, fill_polygon, lay_over, local_light


def test_area() -> None:
    image = np.arange(60 * 80 * 3, dtype=np.uint32).astype(np.uint8).reshape(60, 80, 3)
    area = Area.around(image, np.array([[10.5, 20.2], [30.0, 40.9]]))
    assert area == Area(6, 16, 35, 46)
    part = area.cut(image)
    assert np.array_equal(part, image[16:46, 6:35])
    part[:] = 0
    assert image[20, 20].any()  # a copy
    area.put(image, part)
    assert not image[16:46, 6:35].any()
    assert image[15, 20].any()
    assert area.corner.tolist() == [6, 16]


def test_area_is_cut_at_the_edge_or_none() -> None:
    image = np.zeros((60, 80, 3), np.uint8)
    assert Area.around(image, np.array([[-50.0, -50], [200, 200]])) == Area(0, 0, 80, 60)
    assert Area.around(image, np.array([[-50.0, 10], [-10, 20]])) is None
    assert Area.around(image, np.array([[10.0, 63], [20, 90]])) is None


def test_polygon_covers_its_area() -> None:
    cover = fill_polygon((40, 50), np.array([[10.0, 10], [30, 10], [30, 25], [10, 25]]))
    assert (cover.shape, cover.dtype) == ((40, 50), np.float32)
    assert cover.min() == 0
    assert cover.max() == 1
    assert (cover[11:25, 11:30] == 1).all()
    assert cover[:9].max() == cover[27:].max() == cover[:, :9].max() == cover[:, 32:].max() == 0
    half = fill_polygon((400, 400), np.array([[10.0, 10], [310, 10], [10, 310]]))
    assert half.sum() == pytest.approx(300 * 300 / 2, rel=0.03)


def test_local_light_follows_the_shadow() -> None:
    image = np.full((60, 60, 3), 160, np.uint8)
    image[:, :30] = 80
    cover = np.zeros((60, 60), np.float32)
    cover[10:50, 5:55] = 1
    light = local_light(image, cover, 4.0)
    assert light[30, 48] > 1.2 > 0.8 > light[30, 12]
    even = local_light(np.full((60, 60, 3), 90, np.uint8), cover, 4.0)
    assert even[20:40, 15:45] == pytest.approx(np.ones((20, 30)), abs=0.02)
    assert local_light(image, np.zeros_like(cover), 4.0).dtype == np.float32  # nothing covered


@pytest.mark.parametrize(("grey", "wanted"), [(150, 1.0), (75, 0.5), (0, 0.25), (255, 1.25)])
def test_exposure(grey: int, wanted: float) -> None:
    image = np.full((20, 20, 3), 255, np.uint8)
    cover = np.zeros((20, 20), np.float32)
    cover[5:15, 5:15] = 1
    image[5:15, 5:15] = grey
    assert exposure(image, cover) == pytest.approx(wanted)
    assert exposure(image, 0 * cover) == 1.0


def test_lay_over() -> None:
    image = np.full((40, 40, 3), 100, np.uint8)
    cover = np.zeros((40, 40), np.float32)
    cover[10:20, 10:20], cover[10:20, 20:30] = 1, 0.5
    colour = np.broadcast_to(np.array([200, 0, 400], np.float32), (40, 40, 3))
    out = lay_over(image, colour, cover)
    assert out.dtype == np.uint8
    assert out[15, 15].tolist() == [200, 0, 255]
    assert out[15, 25].tolist() == [150, 50, 250]
    assert (out[:9] == 100).all()
    shaded = lay_over(image, colour, cover, shadow=0.6)
    assert np.array_equal(shaded[12:18, 12:18], out[12:18, 12:18])  # no shadow on the layer itself
    assert shaded[8, 15, 0] < 100
    assert (shaded[38] == 100).all()
