"""The document under version control against the application that runs."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from maskgate.server.compatibility import breaking_changes
from maskgate.server.openapi import breaks_without_saying, main, to_text

FILE = Path(__file__).resolve().parents[2] / "docs" / "openapi.json"


@pytest.fixture(scope="module")
def kept() -> Any:
    return json.loads(FILE.read_text("utf-8"))


@pytest.fixture(scope="module")
def served(plain: Any) -> Any:
    with plain.client() as client:
        return client.get("/openapi.json").json()


def test_the_application_is_as_its_document_says(kept: Any, served: Any) -> None:
    broken = breaks_without_saying(kept, served)
    assert broken == [], "this breaks clients; take it back, or raise API_VERSION's first number"
    assert to_text(served) == FILE.read_text("utf-8"), (
        "no client breaks, but the document is old; run: python -m maskgate.server.openapi docs/openapi.json"
    )


def test_the_test_above_can_fail(kept: Any, served: Any) -> None:
    changed = copy.deepcopy(served)
    del changed["paths"]["/v1/detect"]
    assert breaks_without_saying(kept, changed) == ["POST /v1/detect is gone"]
    changed["info"]["version"] = "2.0"
    assert breaks_without_saying(kept, changed) == []
    assert breaking_changes(kept, changed)


def test_writing_refuses_what_breaks_clients(
    tmp_path: Path, kept: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "openapi.json"
    promised = copy.deepcopy(kept)
    promised["paths"]["/v1/more"] = promised["paths"]["/v1/models"]
    path.write_text(to_text(promised))
    before = path.read_bytes()
    monkeypatch.setattr("sys.argv", ["openapi", str(path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 1
    assert "GET /v1/more is gone" in capsys.readouterr().err
    assert path.read_bytes() == before
    path.unlink()
    main()
    assert json.loads(path.read_text("utf-8")) == kept


def test_every_error_is_described_as_a_problem(kept: Any) -> None:
    for path, methods in kept["paths"].items():
        for method, operation in methods.items():
            for status, response in operation["responses"].items():
                kinds = set(response.get("content", {}))
                if status >= "400":
                    assert kinds == {"application/problem+json"}, (method, path, status)
                else:
                    assert "application/problem+json" not in kinds
    assert "HTTPValidationError" not in kept["components"]["schemas"]


def test_answers_fulfil_their_schemas(plain: Any, kept: Any, jpeg: bytes) -> None:
    def check(name: str, content: Any) -> None:
        Draft202012Validator({"$ref": f"#/components/schemas/{name}", **kept}).validate(content)

    with plain.client() as client:
        check("Picture", client.post("/v1/detect", files={"image": jpeg}).json())
        files = [("image", jpeg), ("image", b"x")]
        check("Pictures", client.post("/v1/detect/batch", files=files).json())
        check("ProblemDocument", client.post("/v1/detect").json())
        check("ProblemDocument", client.get("/v1/events?limit=0").json())
        for name, path in (
            ("Models", "/v1/models"),
            ("Events", "/v1/events"),
            ("Statistics", "/v1/statistics"),
            ("Cameras", "/v1/cameras"),
            ("Receivers", "/v1/receivers"),
            ("Session", "/v1/session"),
            ("Health", "/health/ready"),
        ):
            check(name, client.get(path).json())
