"""What the service answers, for the OpenAPI document: the fields, their types and what they mean."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from maskgate.events.types import EventType
from maskgate.types import Label

Share = Annotated[float, Field(ge=0, le=1)]
Time = Annotated[str, Field(description="in UTC with milliseconds", examples=["2026-01-01T00:00:00.040Z"])]
Four = Annotated[list[float], Field(min_length=4, max_length=4)]


class Answer(BaseModel):
    """Fields may be added without notice; clients ignore those that they do not know."""

    model_config = ConfigDict(extra="allow", json_schema_extra={"additionalProperties": True})


class Probabilities(Answer):
    """One for each label; they sum to 1."""

    mask: Share
    no_mask: Share
    incorrect: Share


class Face(Answer):
    """One face and what is on it."""

    box: Annotated[Four, Field(description="x1, y1, x2, y2 in pixels, from the top left corner")]
    score: Annotated[Share, Field(description="the detector's confidence")]
    landmarks: Annotated[
        list[list[float | None]],
        Field(description="eyes, nose, mouth corners; x, y in pixels; null where the detector gives none"),
    ]
    roll: Annotated[float | None, Field(description="degrees, positive when the right eye is lower")]
    label: Label
    uncertain: Annotated[bool, Field(description="too small, too blurred or too close to call")]
    probabilities: Probabilities


class Milliseconds(Answer):
    """Time spent on each step; of pictures looked at together, the picture's share."""

    decode: float
    detect: float
    align: float
    classify: float


class Picture(Answer):
    """The verdicts on one picture, as ``maskgate detect`` prints them."""

    width: int | None
    height: int | None
    faces: list[Face]
    milliseconds: Milliseconds | None
    error: Annotated[str | None, Field(description="why the picture could not be read")]


class Pictures(Answer):
    """One object for each picture, in the order of the request."""

    pictures: list[Picture]


class Event(Answer):
    """One thing that a camera saw, or that happened to a camera; see ``docs/events.md``."""

    id: str
    type: EventType
    schema_: Annotated[int, Field(alias="schema")]
    time: Time
    camera: str
    track: str | None
    zone: str | None
    label: Label | None
    violation: bool | None
    confidence: Share | None
    votes: int | None
    box: Four | None
    media_seconds: float | None


class Events(Answer):
    """A page of events."""

    events: list[Event]
    next: Annotated[str | None, Field(description="give it as 'after' for the page after this one")]


class Tracks(Answer):
    """Followed faces by the verdict that was confirmed."""

    mask: int
    no_mask: int
    incorrect: int


class Interval(Answer):
    """One hour or day of one camera."""

    start: Time
    camera: str
    tracks: Tracks
    violations: Annotated[int, Field(description="verdicts that break a rule, confirmed or changed to")]
    compliance: Annotated[
        Share | None, Field(description="share of the confirmed tracks that break no rule; null without any")
    ]


class Statistics(Answer):
    """Intervals in order of time; those in which nothing happened are left out."""

    interval: Literal["hour", "day"]
    since: Time
    until: Time
    intervals: list[Interval]


class Frames(Answer):
    """What has become of a camera's pictures since the service was started."""

    received: int
    processed: int
    skipped: Annotated[int, Field(description="a newer one came before they were looked at")]
    passed: Annotated[int, Field(description="passed over for the rate that was asked for")]


class Camera(Answer):
    """One camera."""

    name: str
    address: Annotated[
        str | None, Field(description="without user, password and path; null if not known here")
    ]
    state: Literal["online", "offline", "never"]
    since: Annotated[Time | None, Field(description="of the state")]
    last_event: Time | None
    frames: Annotated[Frames | None, Field(description="null where another process watches the camera")]


class Cameras(Answer):
    """All cameras that are watched here, or that kept events are of, by name."""

    cameras: list[Camera]


class Model(Answer):
    """A network that is in use."""

    name: str
    version: str | None
    architecture: str | None
    sha256: str | None
    licence: str | None
    description: str | None


class Models(Answer):
    """What decides."""

    detector: Model
    classifier: Annotated[Model | None, Field(description="null where the detector says what is on faces")]
    threshold: Annotated[Share, Field(description="P(mask) from which a face counts as masked")]


class Receiver(Answer):
    """The store or a sink, and what it has not got yet."""

    name: str
    waiting: int
    refused: int
    trouble: Annotated[str | None, Field(description="why its last delivery failed")]


class Receivers(Answer):
    """Those of the watching in this process."""

    receivers: list[Receiver]


class Health(Answer):
    """``checks`` has a word for each part of the service."""

    status: Literal["ok"]
    checks: dict[str, str] = {}


class SessionRequest(BaseModel):
    """Signing in with a browser."""

    model_config = ConfigDict(extra="forbid")

    token: Annotated[str, Field(min_length=1, max_length=512)]


class Session(Answer):
    """Who is signed in."""

    name: str
    roles: list[Literal["recognise", "read", "admin"]]
    authentication: Annotated[
        Literal["token", "session", "none"], Field(description="none: the service asks for no token")
    ]


class FieldError(Answer):
    """One thing that is wrong with a request."""

    field: str
    detail: str


class ProblemDocument(Answer):
    """An error, as RFC 9457 has it."""

    type: Annotated[str, Field(examples=["urn:maskgate:problem:picture-too-large"])]
    title: str
    status: int
    detail: str
    errors: list[FieldError] | None = None
