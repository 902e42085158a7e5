"""The page to try it, in a real browser before a real service."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from maskgate import MaskGate
from maskgate.drawing import COLOURS
from maskgate.serialisation import verdicts_to_json
from maskgate.types import Label

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"
ASTRONAUT = EXAMPLES / "astronaut.jpg"


def expect(locator: Any) -> Any:
    from playwright.sync_api import expect

    return expect(locator)


def test_an_uploaded_picture_is_shown_with_its_faces(
    recogniser: Any, open_page: Callable[..., Any], gate: MaskGate
) -> None:
    page = open_page(recogniser.url)
    with page.expect_response("**/v1/detect") as answered:
        page.get_by_label("Choose a picture").last.set_input_files(ASTRONAUT)
    answer = answered.value.body()
    wanted = verdicts_to_json(gate(ASTRONAUT))
    assert json.loads(answer)["faces"] == wanted["faces"]

    expect(page.get_by_role("heading", name="1 face")).to_be_focused()
    row = page.get_by_role("table").get_by_role("row").nth(1)
    expect(row).to_contain_text("No mask")
    share = wanted["faces"][0]["probabilities"]["no_mask"]
    expect(row.locator("[data-chosen] .value")).to_have_text(f"{share:.0%}".replace("%", "\u00a0%"))
    expect(page.locator("#size")).to_have_text("512 × 512 pixels")
    expect(page.locator("#time")).to_contain_text("ms (decode")
    expect(page.get_by_role("img", name="1 no mask")).to_be_visible()
    expect(page.get_by_role("status")).to_have_text("1 face, 1 no mask")

    with page.expect_download() as saving:
        page.get_by_role("button", name="Download JSON").click()
    assert saving.value.suggested_filename == "astronaut.json"
    assert Path(saving.value.path()).read_bytes() == answer

    with page.expect_download() as saving:
        page.get_by_role("button", name="Download picture").click()
    assert saving.value.suggested_filename == "astronaut-drawn.jpg"
    drawn = Image.open(saving.value.path()).convert("RGB")
    box = np.array(wanted["faces"][0]["box"]) * drawn.width / 512
    assert np.mean([_is_near(drawn, place, COLOURS[Label.NO_MASK]) for place in _along(box)]) > 0.9
    assert not _is_near(drawn, box[:2] - 150, COLOURS[Label.NO_MASK])


def _along(box: np.ndarray) -> list[np.ndarray]:
    """Places in the middle of the line along the left, right and lower sides of a box."""
    x1, y1, x2, y2 = box
    sides = [((x1, y1), (x1, y2)), ((x2, y1), (x2, y2)), ((x1, y2), (x2, y2))]
    return [
        np.array(a) + share * (np.array(b) - np.array(a))
        for a, b in sides
        for share in np.linspace(0.2, 0.8, 7)
    ]


def _is_near(picture: Image.Image, place: np.ndarray, colour: tuple[int, int, int]) -> bool:
    """Whether the pixel there, or a neighbour, has about that colour."""
    pixels = np.asarray(picture, np.float32)
    x, y = np.rint(place).astype(int)
    near = pixels[y - 1 : y + 2, x - 1 : x + 2].reshape(-1, 3)
    return bool((np.abs(near - colour).max(1) < 48).any())


def test_faces_are_numbered_as_in_the_answer_and_can_be_picked(
    recogniser: Any, open_page: Callable[..., Any]
) -> None:
    page = open_page(recogniser.url)
    with page.expect_response("**/v1/detect") as answered:
        page.get_by_role("button", name="Try an example").click()
    faces = answered.value.json()["faces"]
    expect(page.get_by_role("heading", name="4 faces")).to_be_visible()
    words = {"mask": "Mask", "no_mask": "No mask", "incorrect": "Worn wrongly"}
    expect(page.locator("#faces tbody .tag")).to_have_text([words[face["label"]] for face in faces])
    assert sorted(face["label"] for face in faces) == ["incorrect", "incorrect", "mask", "no_mask"]
    expect(page.locator("#counts .tag")).to_have_text(["1 mask", "2 worn wrongly", "1 no mask"])

    # a click on a face in the picture picks its row
    place = page.locator("#canvas").bounding_box()
    x1, y1, x2, y2 = faces[2]["box"]
    scale = place["width"] / 1200
    page.mouse.click(place["x"] + (x1 + x2) / 2 * scale, place["y"] + (y1 + y2) / 2 * scale)
    expect(page.locator("[aria-pressed=true]")).to_have_text(["3"])
    page.get_by_role("button", name="Face 1").click()
    expect(page.locator("[aria-pressed=true]")).to_have_text(["1"])


def test_a_picture_can_be_dropped_pasted_and_taken(recogniser: Any, open_page: Callable[..., Any]) -> None:
    page = open_page(recogniser.url, permissions=["camera"])
    data = b64encode(ASTRONAUT.read_bytes()).decode()
    give = """([data, type]) => {
        const transfer = new DataTransfer();
        const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
        transfer.items.add(new File([bytes], type + ".jpg", { type: "image/jpeg" }));
        const options = { bubbles: true, cancelable: true, dataTransfer: transfer, clipboardData: transfer };
        const event = type === "paste" ? new ClipboardEvent(type, options) : new DragEvent(type, options);
        document.body.dispatchEvent(event);
    }"""
    for type in ("drop", "paste"):
        page.evaluate(give, [data, type])
        expect(page.locator("#name")).to_have_text(f"{type}.jpg")
        expect(page.locator("#faces tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("dialog", name="The camera")).to_be_visible()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Take the picture").click()
    expect(page.locator("#name")).to_have_text("camera.jpg")
    expect(page.locator("#faces tbody .tag")).to_have_text(["No mask"])
    assert page.evaluate("document.getElementById('video').srcObject") is None  # the camera is off


def test_a_camera_that_is_not_allowed_is_told(recogniser: Any, open_page: Callable[..., Any]) -> None:
    page = open_page(recogniser.url)
    page.get_by_role("button", name="Use the camera").click()
    expect(page.get_by_role("alert")).to_contain_text("The camera is not allowed")


def test_a_bad_picture_is_explained(recogniser: Any, open_page: Callable[..., Any], tmp_path: Path) -> None:
    astronaut = ASTRONAUT.read_bytes()
    (tmp_path / "truncated.jpg").write_bytes(astronaut[:500])
    (tmp_path / "huge.jpg").write_bytes(astronaut * 40)
    Image.new("P", (64, 64)).save(tmp_path / "drawing.gif")
    bad = {
        "truncated.jpg": (422, "This picture cannot be read"),
        "huge.jpg": (413, "The picture is too large"),
    }
    bad["drawing.gif"] = (415, "This kind of file is not taken")
    page = open_page(recogniser.url, expected=tuple(f"status of {status}" for status, _ in bad.values()))
    for name, (_, words) in bad.items():
        page.locator("#file").set_input_files(ASTRONAUT)
        expect(page.locator("#result")).to_be_visible()
        page.locator("#file").set_input_files(tmp_path / name)
        alert = page.get_by_role("alert")
        expect(alert).to_contain_text(words)
        detail = alert.locator("p").inner_text()
        assert detail[0].isupper()
        assert detail.endswith(".")
        assert "{" not in detail
        expect(page.locator("#result")).to_be_hidden()  # nobody takes the old answer for the new one


def test_other_kinds_of_pictures(recogniser: Any, open_page: Callable[..., Any], tmp_path: Path) -> None:
    page = open_page(recogniser.url)

    # TIFF, which this browser cannot show, is answered all the same
    Image.open(ASTRONAUT).save(tmp_path / "astronaut.tiff")
    page.locator("#file").set_input_files(tmp_path / "astronaut.tiff")
    expect(page.locator("#faces tbody .tag")).to_have_text(["No mask"])
    expect(page.get_by_role("img", name="This browser cannot show the file itself")).to_be_visible()

    # a picture that lies on its side is turned by the service and by the browser in the same way
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn clockwise to see it upright
    lying = Image.open(ASTRONAUT).crop((0, 0, 512, 400)).transpose(Image.Transpose.ROTATE_90)
    lying.save(tmp_path / "turned.jpg", exif=exif, quality=95)
    page.locator("#file").set_input_files(tmp_path / "turned.jpg")
    expect(page.locator("#size")).to_have_text("512 × 400 pixels")
    with page.expect_download() as saving:
        page.get_by_role("button", name="Download picture").click()
    drawn = np.asarray(Image.open(saving.value.path()).convert("RGB").resize((512, 400)), np.float32)
    upright = np.asarray(Image.open(ASTRONAUT).convert("RGB"), np.float32)[:400]
    assert np.median(np.abs(drawn - upright)) < 8

    # nobody in it
    Image.new("RGB", (320, 200), (90, 120, 90)).save(tmp_path / "wall.png")
    page.locator("#file").set_input_files(tmp_path / "wall.png")
    expect(page.get_by_role("heading", name="No face found")).to_be_visible()
    expect(page.locator("#faces")).to_be_hidden()


def test_the_keyboard_is_enough(recogniser: Any, open_page: Callable[..., Any]) -> None:
    page = open_page(recogniser.url)
    choosers: list[Any] = []
    page.on("filechooser", lambda chooser: choosers.append(chooser))
    focused = page.locator(":focus")
    page.keyboard.press("Tab")
    expect(focused).to_have_text("Skip to the content")
    expect(focused).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(focused).to_have_id("file")
    page.keyboard.press("Enter")
    for _ in range(100):
        if choosers:
            break
        page.wait_for_timeout(50)
    choosers[0].set_files(ASTRONAUT)
    expect(focused).to_have_text("1 face")  # what is new is read, and goes on from there
    page.keyboard.press("Tab")
    expect(focused).to_have_accessible_name("Face 1, show it in the picture")
    page.keyboard.press("Space")
    expect(focused).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    with page.expect_download():
        page.keyboard.press("Enter")
