"""What is reported of the faces before a camera, where, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, get_args

from maskgate.errors import InputError
from maskgate.streams.schedules import Schedule
from maskgate.streams.voting import Quorum
from maskgate.streams.zones import Zone

Report = Literal["all", "violations"]
"""Every face, or those that were in violation at least once."""


@dataclass(frozen=True)
class Rule:
    """How faces are judged and reported.

    Attributes:
        name: of the rule.
        cameras: where it holds; None: all.
        zones: where in the picture it holds, by name; None: everywhere, and events name no zone.
        schedules: when it holds; none: always.
        report: which faces there are events of.
        confirm_frames: clear frames that it takes to confirm or change a verdict; doubtful ones count
            for less, and those that say otherwise are taken off.
        confirm_seconds: for which they must have come, whatever the frame rate.
        absence: seconds after which a face that is not seen has gone.
        cooldown: seconds from one violation that is reported of a face to the next.
        min_face: shorter side of the box in pixels, from which a face is judged.

    Raises :class:`~maskgate.errors.InputError` on a value out of range.
    """

    name: str = "everywhere"
    cameras: frozenset[str] | None = None
    zones: frozenset[str] | None = None
    schedules: tuple[Schedule, ...] = ()
    report: Report = "all"
    confirm_frames: int = 5
    confirm_seconds: float = 0.5
    absence: float = 3.0
    cooldown: float = 30.0
    min_face: float = 24.0

    def __post_init__(self) -> None:
        if self.report not in get_args(Report):
            raise InputError(f"report is {self.report!r}; give 'all' or 'violations'")
        for name, least, most in (
            ("confirm_frames", 1, 10_000),
            ("confirm_seconds", 0, 3600),
            ("absence", 0.1, 3600),
            ("cooldown", 0, 86_400),
            ("min_face", 0, 10_000),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise InputError(f"{name} is {value:g}; give a value from {least} to {most}")

    @property
    def quorum(self) -> Quorum:
        """Of its votes."""
        return Quorum(self.confirm_frames, self.confirm_seconds)

    def holds_at(self, time: datetime) -> bool:
        """Whether its schedules let it hold at ``time``."""
        return not self.schedules or any(schedule.holds(time) for schedule in self.schedules)


@dataclass(frozen=True)
class Rules:
    """All rules and zones. Where no rule is given, one holds everywhere and always."""

    rules: tuple[Rule, ...] = (Rule(),)
    zones: tuple[Zone, ...] = ()

    def of_camera(self, camera: str) -> Rules:
        """Those of one camera."""
        return Rules(
            tuple(rule for rule in self.rules if rule.cameras is None or camera in rule.cameras),
            tuple(zone for zone in self.zones if zone.camera == camera),
        )
