"""A CAN driver under test, run as the supervisor runs it: as a task that may end and begin again."""

import asyncio


class CanBench:
    """can -- the driver; frames -- [(can_id, flags, data)] that it delivered; error -- what ended its life, or None."""

    def __init__(self, can):
        self.can = can
        self.frames = []
        self.error = None
        self.task = None

    def keep(self, can_id, flags, data):
        self.frames.append((can_id, flags, bytes(data)))

    async def _life(self):
        try:
            await self.can.run()
        except Exception as exc:
            self.error = exc

    def begin(self):
        if self.task is None:  # the first life
            self.can.on_frame = self.keep
        self.error = None
        self.task = asyncio.create_task(self._life())

    async def up(self, ms=3000):
        for _ in range(ms // 5):
            if self.can.is_up or self.error:
                break
            await asyncio.sleep_ms(5)
        assert self.can.is_up, "not up: %s" % (self.error,)

    async def ends(self, ms=10_000):
        """Wait for the end of the life; return what it raised."""
        for _ in range(ms // 5):
            if self.error:
                break
            await asyncio.sleep_ms(5)
        assert self.error, "run() did not end"
        assert not self.can.is_up
        return self.error

    async def end(self):
        """Take the task away."""
        self.task.cancel()
        try:
            await self.task
        except asyncio.CancelledError:
            pass
        assert not self.can.is_up

    def count(self, name):
        return self.can.counters()[name]
