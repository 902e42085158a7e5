"""What cameras saw, told to other systems: events, their store, and sinks that deliver them."""

from maskgate.events.types import Event, EventType

__all__ = ["Event", "EventType"]
