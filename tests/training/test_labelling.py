from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort
import pytest

torch = pytest.importorskip("torch")

from maskgate.detection.boxes import iou  # noqa: E402
from maskgate.detection.retinaface import RetinaFaceSettings  # noqa: E402
from maskgate.errors import DataError  # noqa: E402
from maskgate.evaluation.face_pictures import FacePicture  # noqa: E402
from maskgate.nets.retinaface import RetinaFace  # noqa: E402
from maskgate.training.labelling import (  # noqa: E402
    TeacherRecipe,
    export_detector,
    from_photograph,
    from_scene,
    from_teacher,
    from_wider,
    load_detector,
)
from maskgate.training.recipe import Source, build, read_recipe  # noqa: E402
from maskgate.types import Faces, Label  # noqa: E402

RECIPE = TeacherRecipe((), (), certain=0.8, doubtful=0.25)
FILE = Path("a.jpg")


def faces(*rows: tuple[list[float], float]) -> Faces:
    boxes = np.array([box for box, _ in rows], np.float32).reshape(-1, 4)
    points = np.stack([boxes[:, :2]] * 5, 1) + np.arange(10, dtype=np.float32).reshape(1, 5, 2)
    return Faces(boxes, np.array([score for _, score in rows], np.float32), points)


@pytest.mark.parametrize("bare", [True, False])
def test_from_teacher(bare: bool) -> None:
    found = faces(([0, 0, 9, 9], 0.95), ([20, 0, 29, 9], 0.8), ([40, 0, 49, 9], 0.79), ([60, 0, 69, 9], 0.2))
    picture = from_teacher(FILE, found, RECIPE, bare)
    assert picture.path == FILE
    assert picture.boxes.tolist() == [[0, 0, 9, 9], [20, 0, 29, 9]]
    assert np.array_equal(picture.landmarks, found.landmarks[:2])
    assert picture.has_landmarks.all()
    assert picture.ignore.tolist() == [[40, 0, 49, 9]]  # neither a face nor background
    assert picture.bare.tolist() == [bare, bare]
    assert picture.labels.tolist() == ([1, 1] if bare else [-1, -1])


def test_from_photograph() -> None:
    found = faces(
        ([0, 0, 20, 20], 0.9),  # sure, but smaller than the main face
        ([100, 0, 160, 60], 0.5),  # the main face: size counts as well
        ([200, 0, 230, 30], 0.6),  # unsure, of another person
        ([300, 0, 390, 90], 0.3),  # too unsure to be what the photograph is about
        ([400, 0, 430, 30], 0.1),
    )
    picture = from_photograph(FILE, found, RECIPE, Label.INCORRECT)
    assert picture.boxes.tolist() == found.boxes[:2].tolist()
    assert picture.labels.tolist() == [-1, 2]
    assert picture.bare.tolist() == [False, False]
    assert picture.has_landmarks.all()
    assert np.array_equal(picture.landmarks, found.landmarks[:2])
    assert picture.ignore.tolist() == found.boxes[2:4].tolist()
    none = from_photograph(FILE, faces(([0, 0, 9, 9], 0.3)), RECIPE, Label.MASK)
    assert (len(none.boxes), none.ignore.tolist()) == (0, [[0, 0, 9, 9]])
    assert len(from_photograph(FILE, Faces.empty(), RECIPE, Label.MASK).ignore) == 0


def test_from_scene() -> None:
    boxes = np.array([[0, 0, 20, 20], [100, 0, 120, 20], [200, 0, 220, 20], [300, 0, 400, 50]], np.float32)
    labels = np.array([0, 1, 2, 1])
    crowd = np.array([False, False, False, True])
    found = faces(
        ([1, 0, 21, 20], 0.3),  # the first, doubtful but good enough for landmarks
        ([100, 0, 119, 20], 0.24),  # the second, but too unsure
        ([210, 0, 230, 20], 0.9),  # beside the third: IoU 1/3, neither its landmarks nor another face
        ([500, 0, 520, 20], 0.3),  # a face that nobody drew
        ([600, 0, 620, 20], 0.2),  # too unsure to be anything
    )
    picture = from_scene(FILE, boxes, labels, crowd, found, RECIPE)
    assert picture.boxes.tolist() == boxes[:3].tolist()  # as drawn
    assert picture.has_landmarks.tolist() == [True, False, False]
    assert np.array_equal(picture.landmarks[0], found.landmarks[0])
    assert picture.ignore.tolist() == [[300, 0, 400, 50], [500, 0, 520, 20]]
    assert picture.bare.tolist() == [False, True, False]
    assert picture.labels.tolist() == [0, 1, 2]


def test_from_scene_without_anything() -> None:
    none, empty = np.zeros((0, 4), np.float32), np.zeros(0, np.int64)
    picture = from_scene(FILE, none, empty, empty.astype(np.bool_), Faces.empty(), RECIPE)
    assert (picture.boxes.shape, picture.landmarks.shape, picture.ignore.shape) == ((0, 4), (0, 5, 2), (0, 4))
    unseen = from_scene(FILE, none, empty, empty.astype(np.bool_), faces(([0, 0, 9, 9], 0.9)), RECIPE)
    assert unseen.ignore.tolist() == [[0, 0, 9, 9]]


def test_from_wider() -> None:
    boxes = np.array([[0, 0, 20, 20], [30, 0, 50, 20], [60, 0, 80, 20], [90, 0, 90, 0]], np.float32)
    points = np.full((4, 5, 2), np.nan, np.float32)
    points[:2] = 7
    points[2, 0] = 3  # one of five
    annotated = FacePicture(
        FILE, boxes, points, np.array([False, False, False, True]), np.full(4, -1),
        {"occlusion": np.array([0, 2, 0, 0])},
    )  # fmt: skip
    for bare in (True, False):
        picture = from_wider(annotated, bare)
        assert picture.boxes.tolist() == boxes[:3].tolist()
        assert picture.has_landmarks.tolist() == [True, True, False]
        assert np.isfinite(picture.landmarks).all()
        assert picture.ignore.tolist() == [[90, 0, 90, 0]]
        # something covers the second, and nobody knows where to draw on the third
        assert picture.labels.tolist() == ([1, -1, -1] if bare else [-1, -1, -1])


def test_exported_detector_answers_as_the_network(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = RetinaFace().eval()
    export_detector(net, tmp_path / "d.onnx")
    session = ort.InferenceSession(str(tmp_path / "d.onnx"))
    x = torch.randn(2, 3, 96, 128) * 50
    with torch.inference_mode():
        loc, scores, landmarks = net(x)
    outputs = session.run(["loc", "conf", "landmarks"], {"input": x.numpy()})
    for got, want in zip(outputs, (loc, scores.softmax(-1), landmarks), strict=True):
        assert got == pytest.approx(want.numpy(), abs=2e-3)


def test_exported_labels_are_those_of_the_network_at_its_temperature(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = RetinaFace(labels=3).eval()
    export_detector(net, tmp_path / "d.onnx", temperature=2.5)
    session = ort.InferenceSession(str(tmp_path / "d.onnx"))
    x = torch.randn(2, 3, 65, 90) * 50
    with torch.inference_mode():
        loc, scores, landmarks, labels = net(x)
    powers = np.exp(labels.numpy() / 2.5)
    wanted = (loc, scores.softmax(-1), landmarks, torch.from_numpy(powers / powers.sum(-1, keepdims=True)))
    for got, want in zip(session.run(None, {"input": x.numpy()}), wanted, strict=True):
        assert got == pytest.approx(want.numpy(), abs=2e-3)


def test_published_state_is_loaded(tmp_path: Path, astronaut: np.ndarray) -> None:
    torch.manual_seed(0)
    net = RetinaFace().eval()
    torch.save({f"module.{k}": v for k, v in net.state_dict().items()}, tmp_path / "net.pth")
    detector = load_detector(tmp_path / "net.pth", tmp_path, RetinaFaceSettings())
    assert (tmp_path / "net.onnx").exists()
    blob = detector.prepare([astronaut[:64, :96].copy()], (96, 64))
    with torch.inference_mode():
        loc, _, _ = net(torch.from_numpy(blob))
    assert detector.run(blob)[0] == pytest.approx(loc.numpy(), abs=2e-3)


@pytest.mark.parametrize("name", ["gone.onnx", "gone.pth"])
def test_teacher_that_is_not_there(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="is missing; check --weights"):
        load_detector(tmp_path / name, tmp_path, RetinaFaceSettings())


def test_wide_and_tight_pictures_are_labelled(
    shared: Path, tmp_path: Path, astronaut: np.ndarray, astronaut_face: Faces
) -> None:
    """A photograph, and a crop as tight as the face, which alone gets a border."""
    table = read_recipe(Path(__file__).resolve().parents[2] / "recipes" / "classifier.toml")["teacher"]
    recipe = build(TeacherRecipe, table, "[teacher]")
    for folder, image in (("wide", astronaut), ("tight", astronaut[58:177, 179:271])):
        (tmp_path / folder).mkdir()
        cv2.imwrite(str(tmp_path / folder / "a.png"), image[..., ::-1])
    sources = [Source("wide", "photos"), Source("tight", "crops")]
    cache = tmp_path / "run" / "teacher.jsonl"
    cache.parent.mkdir()
    labels = recipe.label(sources, tmp_path, [shared / "weights"], cache)
    assert set(labels) == {"wide/a.png", "tight/a.png"}
    for name, corner in (("wide/a.png", (0, 0)), ("tight/a.png", (179, 58))):
        best = labels[name].select([0])
        assert best.scores[0] > 0.8
        assert iou(best.boxes + np.tile(corner, 2).astype(np.float32), astronaut_face.boxes)[0, 0] > 0.8
