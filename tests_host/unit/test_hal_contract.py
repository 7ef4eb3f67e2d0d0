# timeout: 120
"""One contract, two implementations: the same cases on hal/unix.py and on hal/esp32.py over a fake chip."""

import asyncio
import json
import os
import sys

import fake_esp32
from clock import Clock
from fakes import FakeLog, run_limited

CHIP = fake_esp32.install()

from hal import esp32, unix

folder = None
FITTED = ("door", "plug_switch", "contactor_feedback", "lock_feedback")


def setup():
    global folder
    folder = "/tmp/hal-" + "".join("%02x" % b for b in os.urandom(6))


def teardown():
    os.system("rm -rf " + folder)


class UnixWorld:
    """hal/unix.py with the simulator's end of its I/O link."""

    name = "unix"
    restarts = (SystemExit,)

    async def open(self):
        self.outputs = []
        for port in range(20_000 + os.urandom(1)[0] * 40, 65_000):
            try:
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
            except OSError:
                continue
            self._port = port
            break
        self._writer = None
        return self.again()

    def again(self):
        """The program after a reset: a new HAL on the same storage."""
        self.log = FakeLog()
        self.hal = unix.Hal(folder, "127.0.0.1:%d" % self._port, self.log, "exit")
        return self.hal

    async def _serve(self, reader, writer):
        self._writer = writer
        while True:
            line = await reader.readline()
            if not line:
                return
            message = json.loads(line)
            self.outputs.append((message["output"], message["value"]))

    async def level(self, name, active):
        """What the contact is: True active, False released."""
        while self._writer is None:
            await asyncio.sleep_ms(2)
        line = json.dumps({"input": name, "connector": 1, "value": active}) + "\n"
        self._writer.write(line.encode())
        await self._writer.drain()

    async def swipe(self, text):
        await self.level("swipe", text)

    async def last(self, name, value):
        """Wait until an output has this level outside."""
        while [v for n, v in self.outputs if n == name][-1:] != [value]:
            await asyncio.sleep_ms(2)

    async def peer(self):
        """(spec of a stream, give(bytes), received()) of its other end."""
        got, writers = [], []

        async def serve(reader, writer):
            writers.append(writer)
            while True:
                data = await reader.read(64)
                if not data:
                    return
                got.append(data)

        for port in range(20_000 + os.urandom(1)[0] * 40, 65_000):
            try:
                self._peer = await asyncio.start_server(serve, "127.0.0.1", port)
                break
            except OSError:
                continue

        async def give(data):
            while not writers:
                await asyncio.sleep_ms(2)
            writers[-1].write(data)
            await writers[-1].drain()

        return "tcp://127.0.0.1:%d" % port, give, lambda: b"".join(got)

    async def close(self):
        self._server.close()
        await self._server.wait_closed()


class ChipWorld:
    """hal/esp32.py on the fake chip, with the pins of the S3 board."""

    name = "esp32"
    restarts = (fake_esp32.Reset,)

    async def open(self):
        CHIP.__init__()
        CHIP.input_only = ()
        sys.path.insert(0, "boards/esp32_s3")
        try:
            self.board = __import__("board")
        finally:
            sys.path.pop(0)
            sys.modules.pop("board", None)
        self._pins = {row[0]: (row[1], row[3]) for row in self.board.PINS}
        self._described = self.board.describe({name: True for name in FITTED})
        for row in self.board.PINS:
            if row[2] == "in":
                CHIP.levels[row[1]] = 1 - row[3]
        return self.again()

    def again(self):
        if CHIP.resets:
            CHIP.start({"hard": 2, "soft": 5}[CHIP.resets[-1]])
            CHIP.input_only = ()
        self.log = FakeLog()
        self.hal = esp32.Hal(self.board, self._described, Clock(), self.log, folder)
        return self.hal

    async def level(self, name, active):
        number, level = self._pins[name + "_feedback" if name in ("contactor", "lock") else name]
        CHIP.levels[number] = level if active else 1 - level

    async def swipe(self, text):
        self.hal.swipe(text)

    async def last(self, name, value):
        if name != "led":  # lights have no names outside
            number, safe = self._pins[name]
            while CHIP.driven[number] != (1 - safe if value else safe):
                await asyncio.sleep_ms(2)

    async def peer(self):
        async def give(data):
            while 1 not in CHIP.uarts:
                await asyncio.sleep_ms(2)
            CHIP.uarts[1].give(data)

        return ("uart", 1, 9600, "uart_rx", "uart_tx"), give, lambda: CHIP.uarts[1].sent

    async def close(self):
        pass


def everywhere(test, serve=True):
    """Run `test(world, hal)` in both worlds, with the HAL's service running."""

    async def main(world):
        hal = await world.open()
        task = asyncio.create_task(hal.run()) if serve else None
        try:
            await test(world, hal)
        finally:
            if task:
                task.cancel()
            hal.close()
            await world.close()

    for world in (UnixWorld(), ChipWorld()):
        try:
            run_limited(main(world), 10_000)
        except BaseException:
            print("in the world of", world.name)
            raise


async def until(condition):
    while not condition():
        await asyncio.sleep_ms(2)


# -- inputs


def test_every_contact_is_seen_both_ways_and_told():
    async def test(world, hal):
        seen = []
        names = ("estop", "door", "plug", "contactor", "lock")
        for name in names:
            await world.level(name, False)
        await until(lambda: not [name for name in names if hal.input(name, 1) is not False])
        hal.on_input = lambda *event: seen.append(event)
        for name in names:
            for value in (True, False):
                seen.clear()
                await world.level(name, value)
                await until(lambda: (name, 1, value) in seen)
                assert hal.input(name, 1) is value

    everywhere(test)


def test_what_is_not_there_is_unknown_where_that_matters_and_absent_elsewhere():
    async def test(world, hal):
        await world.level("estop", False)
        await until(lambda: hal.input("estop", 1) is False)
        for name in ("estop", "door", "contactor", "lock"):
            assert hal.input(name, 9) is None, name
        assert hal.input("plug", 9) is False and hal.input("fault", 9) is False

    everywhere(test)


def test_a_listener_that_fails_stops_nothing():
    async def test(world, hal):
        seen = []

        def listener(name, connector, value):
            seen.append((name, value))
            raise ValueError("bug")

        hal.on_input = listener
        await world.level("estop", True)
        await until(lambda: ("estop", True) in seen)
        await world.level("plug", True)
        await until(lambda: ("plug", True) in seen)
        assert [line for line in world.log.lines if line[0] == "E" and "bug" in line[2]]

    everywhere(test)


def test_a_swipe_comes_only_through_the_listener():
    async def test(world, hal):
        seen = []
        hal.on_input = lambda *event: seen.append(event)
        await world.swipe("04A1B2C3")
        await until(lambda: seen)
        assert [(name, value) for name, _, value in seen if name == "swipe"] == [("swipe", "04A1B2C3")]

    everywhere(test)


# -- outputs


def test_outputs_follow_at_once_and_never_raise():
    async def test(world, hal):
        for name in ("contactor", "lock", "enable"):
            for value in (True, False, True, True, False):
                hal.output(name, 1, value)
                await world.last(name, value)
        for state in ("idle", "plugged", "charging", "fault", "nonsense"):
            hal.output("led", 1, state)
        hal.output("fountain", 1, True)
        hal.output("contactor", 7, True)

    everywhere(test)


def test_a_chip_starts_with_its_outputs_safe_and_closes_so():
    async def test(world, hal):
        if world.name == "unix":
            return
        for row in world.board.PINS:
            if row[2] == "out":
                assert CHIP.driven[row[1]] == row[3], row
        hal.output("contactor", 1, True)
        hal.output("lock", 1, True)
        hal.output("led", 1, "fault")
        hal.close()
        for row in world.board.PINS:
            if row[2] == "out":
                assert CHIP.driven[row[1]] == row[3], row

    everywhere(test)


# -- streams


def test_streams_carry_bytes_both_ways():
    async def test(world, hal):
        spec, give, received = await world.peer()
        stream = await hal.open_stream(spec)
        data = b"-hello-"
        assert stream.write(data, 1, 5) == 5
        await until(lambda: received() == b"hello")
        await give(b"world")
        buf = bytearray(8)
        assert await stream.readinto(buf) == 5 and buf[:5] == b"world"
        await give(b"0123456789")
        got = b""
        while len(got) < 10:
            n = await stream.readinto(buf)
            got += bytes(buf[:n])
        assert got == b"0123456789"
        stream.close()
        stream.close()
        try:
            stream.write(data, 0, 1)
            raise AssertionError("a closed stream takes bytes")
        except OSError:
            pass

    everywhere(test)


def test_a_stream_that_is_full_says_so():
    async def test(world, hal):
        spec, _, _ = await world.peer()
        stream = await hal.open_stream(spec)
        block, taken = bytes(4096), 0
        for _ in range(2000):
            n = stream.write(block, 0, len(block))
            taken += n
            if n < len(block):
                break
        assert n < len(block) and stream.write(block, 0, len(block)) < len(block)

    everywhere(test)


def test_specs_of_other_systems_are_refused():
    async def test(world, hal):
        for spec in ("nonsense", ("spi", 1), "serial:9600"):
            try:
                await hal.open_stream(spec)
            except ValueError:
                continue
            raise AssertionError(spec)

    everywhere(test)


# -- the system


def test_reset_is_remembered_once():
    async def test(world, hal):
        assert hal.reset_cause() == "power"
        for hard, cause in ((True, "hard"), (False, "soft")):
            try:
                hal.reset(hard)
                raise AssertionError("reset returned")
            except world.restarts:
                pass
            hal = world.again()
            assert hal.reset_cause() == cause

    everywhere(test, serve=False)


def test_identity_storage_and_the_rest():
    async def test(world, hal):
        name = hal.unique_id()
        assert len(name) == 12 and all(c in "0123456789abcdef" for c in name)
        assert hal.unique_id() == name and world.again().unique_id() == name
        assert os.stat(hal.data_dir)[0] & 0x4000
        hal.feed_watchdog()
        assert hal.is_terminating() is False
        hal.close()
        hal.close()

    everywhere(test, serve=False)
