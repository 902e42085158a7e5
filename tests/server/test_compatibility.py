"""Which changes of a document break clients, on a copy of the real one with one change each."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from maskgate.server.compatibility import breaking_changes

DOCUMENT = json.loads((Path(__file__).resolve().parents[2] / "docs" / "openapi.json").read_text("utf-8"))
Change = Callable[[Any], object]


def schema(d: Any, name: str) -> Any:
    return d["components"]["schemas"][name]


def field(d: Any, of: str, name: str) -> Any:
    return schema(d, of)["properties"][name]


def parameter(d: Any, name: str, path: str = "/v1/events") -> Any:
    return next(p for p in d["paths"][path]["get"]["parameters"] if p["name"] == name)


BREAKING: dict[str, tuple[Change, str]] = {
    "a path is gone": (lambda d: d["paths"].pop("/v1/models"), "GET /v1/models is gone"),
    "a method is gone": (lambda d: d["paths"]["/v1/session"].pop("delete"), "DELETE /v1/session is gone"),
    "a parameter is gone": (
        lambda d: d["paths"]["/v1/events"]["get"]["parameters"].remove(parameter(d, "zone")),
        "GET /v1/events, parameter 'zone' is gone",
    ),
    "a parameter is required": (
        lambda d: parameter(d, "camera").update(required=True),
        "GET /v1/events, parameter 'camera' has become required",
    ),
    "a new parameter is required": (
        lambda d: d["paths"]["/v1/models"]["get"].update(
            parameters=[{"in": "query", "name": "site", "required": True, "schema": {"type": "string"}}]
        ),
        "GET /v1/models, parameter 'site' has become required",
    ),
    "a parameter's range is narrower": (
        lambda d: parameter(d, "limit")["schema"].update(maximum=500),
        "GET /v1/events, parameter 'limit': is narrower: maximum 500 against 1000",
    ),
    "a parameter's type is narrower": (
        lambda d: parameter(d, "since").update(schema={"type": "string", "format": "date-time"}),
        "GET /v1/events, parameter 'since': is narrower or another type: null is not string",
    ),
    "a value is not accepted any more": (
        lambda d: parameter(d, "interval", "/v1/statistics")["schema"]["enum"].remove("day"),
        "GET /v1/statistics, parameter 'interval': is narrower: 'day'",
    ),
    "the body is another": (
        lambda d: d["paths"]["/v1/detect"]["post"]["requestBody"].update(
            content={"application/json": {"schema": {}}}
        ),
        "POST /v1/detect does not take multipart/form-data any more",
    ),
    "a field of the body is another": (
        lambda d: d["paths"]["/v1/detect"]["post"]["requestBody"]["content"]["multipart/form-data"][
            "schema"
        ].update(required=["picture"], properties={"picture": {"type": "string"}}),
        "POST /v1/detect, body: the field 'image' is gone",
    ),
    "a new field of the body is required": (
        lambda d: d["paths"]["/v1/session"]["post"]["requestBody"]["content"]["application/json"][
            "schema"
        ].update(
            required=["token", "name"], properties={"token": {"type": "string"}, "name": {"type": "string"}}
        ),
        "POST /v1/session, body: the field 'name' is new and required",
    ),
    "a response is gone": (
        lambda d: d["paths"]["/v1/detect"]["post"]["responses"].pop("413"),
        "POST /v1/detect does not answer 413 any more",
    ),
    "a response is of another type": (
        lambda d: d["paths"]["/metrics"]["get"]["responses"]["200"].update(content={"application/json": {}}),
        "GET /metrics, answer 200 is not text/plain any more",
    ),
    "a field is gone": (
        lambda d: (field(d, "Face", "box"), schema(d, "Face")["properties"].pop("box")),
        "POST /v1/detect, answer 200: the field 'faces[].box' is gone",
    ),
    "a field may be missing": (
        lambda d: schema(d, "Picture")["required"].remove("faces"),
        "POST /v1/detect, answer 200: the field 'faces' may be missing",
    ),
    "a field is of another type": (
        lambda d: field(d, "Picture", "faces").update(type="object"),
        "POST /v1/detect, answer 200: 'faces' is wider or another type: object is not array",
    ),
    "a field may be null": (
        lambda d: schema(d, "Face")["properties"].update(
            score={"anyOf": [{"type": "number"}, {"type": "null"}]}
        ),
        "POST /v1/detect, answer 200: 'faces[].score' is wider or another type: null is not number",
    ),
    "a field has a new value": (
        lambda d: schema(d, "Label")["enum"].append("visor"),
        "POST /v1/detect, answer 200: 'faces[].label' is wider: 'visor'",
    ),
    "a field's range is wider": (
        lambda d: field(d, "Face", "score").update(maximum=100),
        "POST /v1/detect, answer 200: 'faces[].score' is wider: maximum 1.0 against 100",
    ),
    "a problem lacks its type": (
        lambda d: schema(d, "ProblemDocument")["properties"].pop("type"),
        "GET /health/ready, answer 503: the field 'type' is gone",
    ),
}  # fmt: skip

HARMLESS: dict[str, Change] = {
    "nothing": lambda d: None,
    "a new path": lambda d: d["paths"].update({"/v1/new": d["paths"]["/v1/models"]}),
    "a new method": lambda d: d["paths"]["/v1/models"].update(post=d["paths"]["/v1/models"]["get"]),
    "a new parameter": lambda d: d["paths"]["/v1/models"]["get"].update(
        parameters=[{"in": "query", "name": "site", "required": False, "schema": {"type": "string"}}]
    ),
    "a wider parameter": lambda d: parameter(d, "limit")["schema"].update(maximum=5000),
    "a new value is accepted": lambda d: parameter(d, "interval", "/v1/statistics")["schema"]["enum"].append(
        "week"
    ),
    "a new response": lambda d: d["paths"]["/v1/models"]["get"]["responses"].update(
        {"418": {"description": "tea"}}
    ),
    "a new field": lambda d: schema(d, "Face")["properties"].update(age={"type": "number"}),
    "a field is always there": lambda d: schema(d, "Health")["required"].append("checks"),
    "a field is never null": lambda d: schema(d, "Picture")["properties"].update(width={"type": "integer"}),
    "a narrower field": lambda d: field(d, "Face", "score").update(maximum=0.9),
    "a whole number": lambda d: field(d, "Milliseconds", "decode").update(type="integer"),
    "other words": lambda d: field(d, "Face", "score").update(description="how sure"),
    "an optional field of the body": lambda d: d["paths"]["/v1/detect"]["post"]["requestBody"]["content"][
        "multipart/form-data"
    ]["schema"]["properties"].update(name={"type": "string"}),
}


@pytest.mark.parametrize("name", BREAKING)
def test_what_breaks_clients_is_told(name: str) -> None:
    change, sentence = BREAKING[name]
    changed = copy.deepcopy(DOCUMENT)
    change(changed)
    assert sentence in breaking_changes(DOCUMENT, changed)


@pytest.mark.parametrize("name", HARMLESS)
def test_what_does_not_is_let_through(name: str) -> None:
    changed = copy.deepcopy(DOCUMENT)
    HARMLESS[name](changed)
    assert breaking_changes(DOCUMENT, changed) == []
