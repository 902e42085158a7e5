"""The word that the service is being stopped, for those that would go on for ever."""

from __future__ import annotations

import asyncio


class Stopping:
    """Set once. For the event loop's thread alone."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def set(self) -> None:
        """Says it."""
        self._event.set()

    def is_set(self) -> bool:
        """Whether it has been said."""
        return self._event.is_set()

    async def wait_for(self, seconds: float) -> bool:
        """Waits for it, at most so long; whether it has been said."""
        try:
            async with asyncio.timeout(seconds):
                await self._event.wait()
        except TimeoutError:
            return False
        return True
