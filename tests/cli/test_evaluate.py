from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskgate.images import read_image, write_image
from maskgate.models import InputSpec
from maskgate.training.occlusion.hand_split import split_hands

GREEN, RED, BLUE = (40, 220, 40), (220, 40, 40), (40, 40, 220)
IDS = {"mask": 1, "no_mask": 2, "incorrect": 3}

Call = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("toys")


@pytest.fixture
def scenes(paint: Call) -> Path:
    """Six faces that count: one mask called no_mask (with the least P(mask)), one no_mask missed."""
    folder = Path("scenes")
    paint("scenes/images/a.png", (0, 0, 50, GREEN), (60, 0, 40, RED), (110, 0, 30, BLUE), (0, 80, 15, RED))
    paint("scenes/images/b.png", (0, 0, 50, (255, 0, 0)), (60, 0, 40, RED))
    faces = [
        (1, "mask", 0, 0, 50), (1, "no_mask", 60, 0, 40), (1, "incorrect", 110, 0, 30),
        (1, "mask", 0, 80, 15),  # too small to count
        (2, "mask", 0, 0, 50), (2, "no_mask", 60, 0, 40), (2, "no_mask", 110, 60, 50),
    ]  # fmt: skip
    content = {
        "categories": [{"id": n, "name": name} for name, n in IDS.items()],
        "images": [
            {"id": i, "file_name": name, "width": 160, "height": 120}
            for i, name in enumerate(["a.png", "b.png"], 1)
        ],
        "annotations": [
            {"id": i, "image_id": image, "category_id": IDS[name], "bbox": [x, y, side, side], "iscrowd": 0}
            for i, (image, name, x, y, side) in enumerate(faces)
        ],
    }
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def test_figures(call: Call, scenes: Path) -> None:
    result = call("evaluate", "scenes", scenes, "--output", "new/figures.json")
    assert (result.status, result.err) == (0, "")
    figures = json.loads(Path("new/figures.json").read_text("utf-8"))
    expected = {
        "faces": 6,
        "face_recall": 5 / 6,
        "false_faces_per_image": 0,
        "accuracy": 3 / 4,
        "recall_mask": 1 / 2,
        "recall_no_mask": 1,
        "precision_mask": 1,
        "roc_auc": 1 / 2,
        "incorrect_flagged": 1,
        "violators_found": 3 / 4,
        "wearers_accused": 1 / 2,
    }
    assert {name: figures[name] for name in expected} == pytest.approx(expected)
    assert set(figures["ap50"]) == set(IDS)
    assert figures["threshold"] == 0.5
    rows = [line.split() for line in result.out.splitlines()]
    for row in (["faces", "6"], ["recall_mask", "0.5000"], ["wearers_accused", "0.5000"]):
        assert row in rows
    assert any(row[:2] == ["face_recall", "0.8333"] and row[3:4] == ["to"] for row in rows)
    assert any(row[:2] == ["ap50", "no_mask"] for row in rows)


def test_options_of_the_models(call: Call, scenes: Path) -> None:
    call("evaluate", "scenes", scenes, "--output", "figures.json", "--score", "0.45", "--threshold", "0.99")
    figures = json.loads(Path("figures.json").read_text("utf-8"))
    assert figures["face_recall"] == pytest.approx(2 / 6)
    assert (figures["threshold"], figures["recall_mask"]) == (0.99, 0)
    named = ["--detector", "squares", "--classifier", "colours"]
    assert call("evaluate", "scenes", scenes, "--output", "figures.json", *named).status == 0
    assert json.loads(Path("figures.json").read_text("utf-8"))["detector"] is None
    wrong = call("evaluate", "scenes", scenes, "--output", "figures.json", "--detector", "nobody")
    assert wrong.status == 2


def test_nothing_is_left_out_in_silence(call: Call, scenes: Path) -> None:
    (scenes / "images" / "b.png").write_bytes(b"")
    result = call("evaluate", "scenes", scenes, "--output", "figures.json")
    assert (result.status, result.out) == (2, "")
    assert result.err == f"maskgate: {scenes / 'images' / 'b.png'} is empty\n"
    assert not Path("figures.json").exists()


@pytest.mark.parametrize("words", [["gone", "--output", "f.json"], ["scenes", "--output", "scenes"]])
def test_wrong_places(call: Call, scenes: Path, words: list[str]) -> None:
    result = call("evaluate", "scenes", *words)
    assert (result.status, result.out) == (2, "")
    assert result.err.count("\n") == 1


def test_cards_are_named_with_their_hashes(call: Call, scenes: Path, add_model: Call) -> None:
    """Other distributions' models have none."""
    card = add_model("mine", one_answer(), **CARD)
    result = call("evaluate", "scenes", scenes, "--output", "figures.json", "--classifier", "mine")
    assert (result.status, result.err) == (0, "")
    figures = json.loads(Path("figures.json").read_text("utf-8"))
    assert figures["classifier"] == {"name": "mine", "sha256": card.sha256}
    assert figures["detector"] is None
    assert figures["recall_mask"] == 1


def write_hand(file: Path, skin: tuple[int, int, int] | None) -> None:
    """A hand on white paper, or the paper alone."""
    image = np.full((160, 120, 3), 250, np.uint8)
    if skin is not None:
        image[40:, 40:80] = skin
    file.parent.mkdir(parents=True, exist_ok=True)
    write_image(file, image)


def test_hands_of_people_that_training_leaves_out(call: Call, paint: Call) -> None:
    for name in ("a.png", "b.png", "c.png"):
        paint(f"faces/{name}", (30, 10, 70, RED))
    names = [f"h{i}.jpg" for i in range(48)]
    rows = [f"{name},{i % 24},20" for i, name in enumerate(names)]
    Path("data/hands").mkdir(parents=True)
    Path("data/hands/dorsal.csv").write_text("\n".join(["imageName,id,age", *rows]), "utf-8")
    folder = Path("data/hands/dorsal")
    learn, kept = split_hands([folder / name for name in names], Path("data"))
    for file in learn:
        write_hand(file, None)
    for file in kept:
        write_hand(file, (200, 150, 120))
    words = ("evaluate", "hands", "--faces", "faces", "--hands", folder, "--output")
    result = call(*words, "hands.json")
    assert (result.status, result.err) == (0, "")
    figures = json.loads(Path("hands.json").read_text("utf-8"))
    assert (figures["pictures"], figures["faces"], figures["called_mask_before"]) == (3, 3, 0)
    assert sum(own["faces"] for own in figures["by_pose"].values()) == 3
    assert (figures["detector"], figures["threshold"]) == ("squares", 0.5)
    Path("some.txt").write_text("a.png\n\nc.png\n", "utf-8")
    assert call(*words, "some.json", "--list", "some.txt").status == 0
    assert json.loads(Path("some.json").read_text("utf-8"))["pictures"] == 2
    for file in kept:
        write_hand(file, None)
    for file in learn:
        write_hand(file, (200, 150, 120))
    result = call(*words, "none.json")
    assert result.status == 2
    assert "--hands" in result.err
    assert not Path("none.json").exists()
    assert call(*words, "all.json", "--all-hands").status == 0


def one_answer() -> bytes:
    """A classifier that calls everything a mask."""
    zeros, sure = np.zeros((768, 3), np.float32), np.float32([5, 0, 0])
    nodes = [
        helper.make_node("Cast", ["crops"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["rows"]),
        helper.make_node("Gemm", ["rows", "zeros", "sure"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    crops = helper.make_tensor_value_info("crops", TensorProto.UINT8, ["batch", 16, 16, 3])
    given = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["batch", 3])
    values = [numpy_helper.from_array(zeros, "zeros"), numpy_helper.from_array(sure, "sure")]
    graph = helper.make_graph(nodes, "g", [crops], [given], values)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


CARD: dict[str, Any] = {
    "task": "classification",
    "architecture": "face_resnet",
    "classes": ("mask", "no_mask", "incorrect"),
    "input": InputSpec(16, 16, "RGB", layout="NHWC"),
    "settings": {"crop": {"kind": "rotate", "size": 16, "margin": 1.0}, "threshold": 0.4},
}


class TestFaces:
    """The toy detector finds bright squares; its score is the side's share of 100 pixels."""

    def wider(self, write_wider: Call, paint: Call) -> Path:
        """Two found at 0.5 and 0.4, one of 8 pixels that does not count as easy, one not annotated."""
        found, small = (0, 0, 50, 50), (110, 0, 8, 8)
        flags = (0, 0, 0, 0, 0, 0)
        folder = write_wider(
            {
                "0--Parade": {
                    "one": [(*found, *flags, "easy", "medium", "hard"), (*small, *flags, "hard")],
                    "two": [(60, 0, 40, 40, *flags, "easy", "medium", "hard")],
                }
            }
        )
        images = f"{folder}/WIDER_val/images/0--Parade"
        paint(f"{images}/one.jpg", (0, 0, 50, GREEN))
        paint(f"{images}/two.jpg", (60, 0, 40, RED), (0, 0, 30, RED))
        return folder

    def test_a_folder_of_wider_face(self, call: Call, write_wider: Call, paint: Call) -> None:
        folder = self.wider(write_wider, paint)
        result = call("evaluate", "faces", folder, "--output", "new/faces.json")
        assert (result.status, result.err) == (0, "")
        figures = json.loads(Path("new/faces.json").read_text("utf-8"))
        # right, right, false; of three faces that are hard, one is not found
        assert figures["wider_ap"] == pytest.approx({"easy": 1, "medium": 1, "hard": 2 / 3, "all": 2 / 3})
        assert (figures["kind"], figures["pictures"], figures["faces"]) == ("WIDER FACE", 2, 2)
        assert (figures["face_recall"], figures["false_faces_per_image"]) == (1, 0.5)
        assert figures["recall_by_size"]["0-10"] == 0
        assert figures["coco_ap"]["ap50"] == pytest.approx(67 / 101)
        assert (figures["scales"], figures["flip"], figures["detector"]) == ([], False, None)
        rows = [line.split() for line in result.out.splitlines()]
        for row in (["WIDER", "AP", "hard", "0.6667"], ["face_recall", "1.0000", "2"]):
            assert row in rows
        assert ["recall", "at", "0-10", "px", "0.0000", "1"] in rows
        assert not any(row[:1] == ["landmark"] for row in rows)

    def test_landmarks_of_label_txt(self, call: Call, write_wider: Call, paint: Call) -> None:
        folder = self.wider(write_wider, paint)
        # the toy's points are (15, 19), (35, 19), (25, 29), (17, 38.5), (33, 38.5) in a square of 50: the
        # nose here is 5 pixels off, over eyes 20 apart
        points = "15 19 0 35 19 0 25 34 0 17 38.5 0 33 38.5 0 0.5"
        (folder / "val").mkdir()
        (folder / "val" / "label.txt").write_text(f"# 0--Parade/one.jpg\n0 0 50 50 {points}\n")
        result = call("evaluate", "faces", folder, "--output", "faces.json")
        figures = json.loads(Path("faces.json").read_text("utf-8"))
        assert figures["landmarks"]["faces"] == 1
        assert figures["landmarks"]["mean"] == pytest.approx(5 / 5 / 20, abs=0.01)  # JPEG blurs the edges
        assert any(line.startswith("landmark error ") for line in result.out.splitlines())

    def test_scenes_and_scores(self, call: Call, scenes: Path) -> None:
        call("evaluate", "faces", scenes, "--output", "faces.json", "--score", "0.45", "--floor", "0.35")
        figures = json.loads(Path("faces.json").read_text("utf-8"))
        assert (figures["score"], figures["floor"]) == (0.45, 0.35)
        assert figures["face_recall"] == pytest.approx(2 / 6)
        assert figures["recall_by_class"] == pytest.approx({"mask": 1, "no_mask": 0, "incorrect": 0})
        # from 0.35 on, all but the faces of 30 and 15 pixels and the one that is not drawn are found
        assert figures["coco_ap"]["ap50"] == pytest.approx(58 / 101)

    def test_errors_as_a_table_and_on_sheets(self, call: Call, write_wider: Call, paint: Call) -> None:
        folder = self.wider(write_wider, paint)
        figures = ("--output", "faces.json", "--errors", "wrong/here")
        assert call("evaluate", "faces", folder, *figures, "--score", "0.45").status == 0
        rows = Path("wrong/here/errors.csv").read_text("utf-8").splitlines()
        assert len(rows) == 2
        assert rows[1].startswith(f"{folder}/WIDER_val/images/0--Parade/two.jpg,missed,60.0,0.0,100.0,40.0,,")
        missed = read_image("wrong/here/missed.jpg")
        # the surroundings of the red square: 100 pixels wide and half of that high, as it is at the edge
        assert missed[4 + 36 + 28, 4 + 72].tolist() == pytest.approx(RED, abs=30)
        assert not Path("wrong/here/false.jpg").exists()
        assert call("evaluate", "faces", folder, *figures, "--score", "0.25").status == 0
        assert Path("wrong/here/false.jpg").exists()
        assert not Path("wrong/here/missed.jpg").exists(), "of the call before"

    def test_errors_where_a_file_is(self, call: Call, scenes: Path) -> None:
        Path("taken").write_text("x")
        result = call("evaluate", "faces", scenes, "--output", "faces.json", "--errors", "taken")
        assert (result.status, result.out) == (2, "")
        assert "taken" in result.err
        assert not Path("faces.json").exists()

    def test_views_of_a_detector_that_has_none(self, call: Call, scenes: Path) -> None:
        result = call(
            "evaluate", "faces", scenes, "--output", "faces.json", "--scales", "500", "800", "--flip"
        )
        assert (result.status, result.out) == (2, "")
        assert "squares is no RetinaFace" in result.err
        assert not Path("faces.json").exists()

    def test_no_scipy(
        self, call: Call, write_wider: Call, paint: Call, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = self.wider(write_wider, paint)
        monkeypatch.setitem(sys.modules, "scipy.io", None)
        result = call("evaluate", "faces", folder, "--output", "faces.json")
        assert (result.status, result.out) == (2, "")
        assert "needs the package scipy" in result.err
        assert "pip install 'maskgate[eval]'" in result.err

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (("--floor", "0"), "floor is 0.0; give a value between 0 and 1"),
            (("--scales", "0"), "'0' is not a whole number of at least 1"),
            (("--detector", "gone"), "there is no detection model 'gone'"),
        ],
    )
    def test_wrong_options(self, call: Call, scenes: Path, words: tuple[str, ...], said: str) -> None:
        result = call("evaluate", "faces", scenes, "--output", "faces.json", *words)
        assert (result.status, result.out) == (2, "")
        assert said in result.err
        assert result.err.count("\n") == 1

    def test_a_folder_of_something_else(self, call: Call, tmp_path: Path) -> None:
        result = call("evaluate", "faces", tmp_path, "--output", tmp_path / "faces.json")
        assert result.status == 2
        assert f"{tmp_path} has no annotations" in result.err
