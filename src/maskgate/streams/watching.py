"""From verdicts on frames to events: faces followed, votes counted, rules applied, for one camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from maskgate.events.ids import id_of, new_id
from maskgate.events.types import Event, EventType
from maskgate.streams.frames import Frame
from maskgate.streams.rules import Rule, Rules
from maskgate.streams.tracking import FaceTracker, TrackingSettings
from maskgate.streams.voting import Ballot, VotedVerdict, vote_weight
from maskgate.types import Verdict, Verdicts


@dataclass
class _Presence:
    """A track in one place: a zone, or outside all."""

    track: int
    zone: str | None
    rule: Rule
    seen: float
    box: tuple[float, ...]
    ballot: Ballot = field(default_factory=Ballot)
    told: VotedVerdict | None = None

    @property
    def gone_at(self) -> float:
        return self.seen + self.rule.absence


class CameraWatch:
    """Watches one camera or file. Frames go in, in order of time; events come out, in order of time.

    Args:
        camera: its name.
        rules: of all cameras.
        recorded: whether it is a file: its events then have positions, and ids and tracks' names are
            the same in each run. Else tracks' names begin with the time at which this object was made.
        tracking: how faces are followed; ``lost`` is set to the longest absence of a rule.
    """

    def __init__(
        self, camera: str, rules: Rules, *, recorded: bool, tracking: TrackingSettings | None = None
    ) -> None:
        self.camera = camera
        self._rules = rules.of_camera(camera)
        self._recorded = recorded
        lost = max((rule.absence for rule in self._rules.rules), default=0.1)
        self._tracker = FaceTracker(replace(tracking or TrackingSettings(), lost=lost))
        self._prefix = "" if recorded else f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}"[:-3] + "-"
        self._presences: dict[tuple[int, str | None], _Presence] = {}
        self._alerts: dict[tuple[int, str | None], float] = {}
        self._start: datetime | None = None
        self._position = 0.0
        self._first = 0.0

    def see(self, frame: Frame, verdicts: Verdicts) -> list[Event]:
        """Events that a frame brings about.

        Args:
            frame: later than the one before; one that is not is taken as of the same time.
            verdicts: on its faces.
        """
        seconds = self._seconds(frame.time)
        if frame.media_seconds is not None:
            self._first = frame.media_seconds - seconds
        numbers = self._tracker.update(verdicts.faces, seconds)
        changed = []
        for number, verdict in zip(numbers.tolist(), verdicts, strict=True):
            if number:
                event = self._judge(number, verdict, verdicts, seconds)
                if event is not None:
                    changed.append(event)
        ended = self._ended(seconds)
        for presence in self._presences.values():
            if presence.seen < seconds:
                presence.ballot.miss()
        return ended + changed

    def pass_time(self, time: datetime) -> list[Event]:
        """Events of faces that have been absent for too long by ``time``, without a frame."""
        return self._ended(self._seconds(time))

    def close(self) -> list[Event]:
        """The end of the last confirmed faces, at the time of the last frame."""
        return self._ended(self._position, all_of_them=True)

    def _seconds(self, time: datetime) -> float:
        """Since the first frame; it does not go back."""
        if self._start is None:
            self._start = time
        self._position = max(self._position, (time - self._start).total_seconds())
        return self._position

    def _judge(self, number: int, verdict: Verdict, verdicts: Verdicts, seconds: float) -> Event | None:
        found = self._place(verdict, verdicts, seconds)
        if found is None:
            return None
        zone, rule = found
        box = tuple(float(v) for v in verdict.box)
        presence = self._presences.get((number, zone))
        if presence is None:
            presence = _Presence(number, zone, rule, seconds, box)
            self._presences[number, zone] = presence
        presence.rule, presence.seen, presence.box = rule, seconds, box
        weight = vote_weight(verdict, verdicts.width, verdicts.height)
        presence.ballot.add(verdict.label, verdict.probabilities, weight, seconds, rule.quorum)
        return self._tell(presence, seconds)

    def _place(self, verdict: Verdict, verdicts: Verdicts, seconds: float) -> tuple[str | None, Rule] | None:
        """The zone that the face counts to, with its rule; None where no rule holds for it."""
        side = float(min(verdict.box[2:] - verdict.box[:2]))
        time = self._time(seconds)
        rules = [rule for rule in self._rules.rules if side >= rule.min_face and rule.holds_at(time)]
        for zone in self._rules.zones:
            for rule in rules:
                named = rule.zones is not None and zone.name in rule.zones
                if named and zone.holds(verdict.box, verdicts.width, verdicts.height):
                    return zone.name, rule
        return next(((None, rule) for rule in rules if rule.zones is None), None)

    def _tell(self, presence: _Presence, seconds: float) -> Event | None:
        verdict = presence.ballot.verdict
        told, rule = presence.told, presence.rule
        if verdict is None or (told is not None and verdict.label is told.label):
            return None
        if told is None and rule.report == "violations" and not verdict.label.violation:
            return None
        key = presence.track, presence.zone
        if verdict.label.violation:
            if seconds < self._alerts.get(key, float("-inf")) + rule.cooldown:
                return None  # it is told when the time has come, if it still holds
            self._alerts[key] = seconds
        presence.told = verdict
        kind = EventType.TRACK_CONFIRMED if told is None else EventType.TRACK_CHANGED
        return self._event(kind, presence, verdict, seconds)

    def _ended(self, seconds: float, *, all_of_them: bool = False) -> list[Event]:
        gone = [p for p in self._presences.values() if all_of_them or seconds >= p.gone_at]
        events = []
        for presence in gone:
            del self._presences[presence.track, presence.zone]
            if presence.told is not None:
                # of what was told, with all votes since where it still holds
                verdict = presence.ballot.verdict
                last = verdict if verdict and verdict.label is presence.told.label else presence.told
                events.append(self._event(EventType.TRACK_ENDED, presence, last, seconds))
        alive = self._tracker.numbers | {p.track for p in self._presences.values()}
        self._alerts = {key: at for key, at in self._alerts.items() if key[0] in alive}
        return events

    def _event(self, kind: EventType, presence: _Presence, verdict: VotedVerdict, seconds: float) -> Event:
        time = self._time(seconds)
        media_seconds = max(self._first + seconds, 0.0) if self._recorded else None
        track = f"{self._prefix}{presence.track}"
        parts: Sequence[object] = (self.camera, kind, track, presence.zone, verdict.label, media_seconds)
        return Event.of_track(
            kind,
            id=id_of(time, "maskgate", *parts) if self._recorded else new_id(),
            time=time,
            camera=self.camera,
            track=track,
            zone=presence.zone,
            label=verdict.label,
            confidence=verdict.confidence,
            votes=verdict.votes,
            box=presence.box,
            media_seconds=media_seconds,
        )

    def _time(self, seconds: float) -> datetime:
        assert self._start is not None  # nothing happens before the first frame
        # microseconds, rounded: a float of seconds is not exact
        return self._start + timedelta(microseconds=round(seconds * 1e6))
