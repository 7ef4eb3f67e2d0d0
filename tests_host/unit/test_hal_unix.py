# timeout: 120
"""The unix HAL over real sockets and real signals."""

import asyncio
import json
import os
import sys

from fakes import FakeLog, run_limited

from hal.unix import Hal

folder = None


def setup():
    global folder
    folder = "/tmp/hal-" + "".join("%02x" % b for b in os.urandom(6))


def teardown():
    os.system("rm -rf " + folder)


class Site:
    """The other end of a TCP link: what it received, and a way to send or cut."""

    def __init__(self):
        self.lines = []
        self.writers = []
        self.came = asyncio.Event()
        self.port = None

    async def open(self):
        for port in range(20_000 + os.urandom(1)[0] * 40, 65_000):
            try:
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
            except OSError:
                continue
            self.port = port
            return self
        raise OSError("no free port")

    async def _serve(self, reader, writer):
        self.writers.append(writer)
        self.came.set()
        try:
            while True:
                line = await reader.readline()
                if not line:
                    break
                self.lines.append(json.loads(line))
        except OSError:
            pass

    async def send(self, text):
        self.writers[-1].write(text.encode() if isinstance(text, str) else text)
        await self.writers[-1].drain()

    async def level(self, name, value, connector=1):
        await self.send(json.dumps({"input": name, "connector": connector, "value": value}) + "\n")

    def cut(self):
        self.writers[-1].s.close()

    async def close(self):
        self._server.close()
        await self._server.wait_closed()


async def until(condition):
    while not condition():
        await asyncio.sleep_ms(2)


def with_link(test):
    """Run `test(hal, site, log)` with a HAL whose I/O link is served again after each end."""

    async def main():
        site = await Site().open()
        log = FakeLog()
        hal = Hal(folder, "127.0.0.1:%d" % site.port, log)
        ends = []

        async def serve():
            while True:
                try:
                    await hal.run()
                except OSError as exc:
                    ends.append(exc)
                await asyncio.sleep_ms(5)

        task = asyncio.create_task(serve())
        try:
            await site.came.wait()
            await test(hal, site, ends)
        finally:
            task.cancel()
            hal.close()
            await site.close()

    run_limited(main(), 20_000)


# -- inputs and outputs


def test_nothing_is_known_before_it_is_told():
    async def test(hal, site, ends):
        assert hal.input("estop", 1) is None and hal.input("door", 1) is None
        assert hal.input("plug", 1) is False and hal.input("fault", 1) is False and hal.input("lock", 1) is None
        await site.level("estop", False)
        await until(lambda: hal.input("estop", 1) is False)
        assert hal.input("door", 1) is None and hal.input("estop", 2) is None

    with_link(test)


def test_levels_and_callback():
    async def test(hal, site, ends):
        seen = []
        hal.on_input = lambda *event: seen.append(event)
        for name in ("estop", "door", "plug", "fault", "lock"):
            for value in (False, True):
                await site.level(name, value)
        await site.level("fault", "isolation")
        await until(lambda: len(seen) == 11)
        assert hal.input("estop", 1) is True and hal.input("plug", 1) is True
        assert hal.input("fault", 1) == "isolation"
        assert seen[0] == ("estop", 1, False) and seen[10] == ("fault", 1, "isolation")

    with_link(test)


def test_station_wide_input_counts_for_every_connector():
    async def test(hal, site, ends):
        await site.level("estop", False, 1)
        await site.level("estop", True, 0)
        await until(lambda: hal.input("estop", 1) is True)
        assert hal.input("estop", 7) is True
        await site.level("estop", False, 0)
        await until(lambda: hal.input("estop", 7) is False)
        assert hal.input("estop", 1) is False

    with_link(test)


def test_lost_link_is_unknown_and_told():
    async def test(hal, site, ends):
        await site.level("estop", False)
        await site.level("plug", True)
        await until(lambda: hal.input("plug", 1))
        seen = []
        hal.on_input = lambda *event: seen.append(event)
        site.came.clear()
        site.cut()
        await until(lambda: ends)
        assert hal.input("estop", 1) is None and hal.input("plug", 1) is False
        assert ("estop", 0, None) in seen
        await site.came.wait()  # it comes back by itself
        assert hal.input("estop", 1) is None  # until it is told again
        await site.level("estop", False)
        await until(lambda: hal.input("estop", 1) is False)

    with_link(test)


def test_outputs_are_sent_and_sent_again_on_a_new_link():
    async def test(hal, site, ends):
        await until(lambda: hal._link is not None)
        hal.output("contactor", 1, True)
        hal.output("led", 1, "charging")
        await until(lambda: len(site.lines) == 2)
        assert site.lines[0] == {"output": "contactor", "connector": 1, "value": True}
        site.came.clear()
        site.cut()
        await until(lambda: ends)
        hal.output("contactor", 1, False)  # nobody hears it
        await until(lambda: len(site.lines) == 4)
        values = {line["output"]: line["value"] for line in site.lines[2:]}
        assert values == {"contactor": False, "led": "charging"}

    with_link(test)


def test_tags():
    async def test(hal, site, ends):
        seen = []
        hal.on_input = lambda *event: seen.append(event)
        await site.level("swipe", "04AABBCC", 0)
        await until(lambda: seen)
        assert seen == [("swipe", 0, "04AABBCC")] and hal.bad_lines == 0

    with_link(test)


def test_garbage_is_counted_and_changes_nothing():
    async def test(hal, site, ends):
        seen = []
        hal.on_input = lambda *event: seen.append(event)
        bad = (
            b"hello\n",
            b"{}\n",
            b"[]\n",
            b"5\n",
            b"null\n",
            b"\xff\xfe\x00\n",
            b'{"input": "estop", "connector": 1, "value": false\n',
            b'{"input": "estop", "connector": 1}\n',
            b'{"input": "estop", "connector": 1, "value": null}\n',
            b'{"input": "estop", "connector": 1, "value": 0}\n',
            b'{"input": "estop", "connector": 1, "value": "false"}\n',
            b'{"input": "estop", "connector": "1", "value": false}\n',
            b'{"input": "estop", "connector": true, "value": false}\n',
            b'{"input": "estop", "connector": -1, "value": false}\n',
            b'{"input": "estop", "connector": 65, "value": false}\n',
            b'{"input": "colour", "connector": 1, "value": false}\n',
            b'{"input": ["estop"], "connector": 1, "value": false}\n',
            b'{"input": "swipe", "connector": 1, "value": ""}\n',
            b'{"input": "swipe", "connector": 1, "value": 5}\n',
            b'{"input": "fault", "connector": 1, "value": 5}\n',
            b'{"input": "swipe", "connector": 1, "value": "' + b"x" * 65 + b'"}\n',
            b"[" * 400 + b"\n",
            b"x" * 511 + b"\n",
            b"x" * 512 + b"\n",
            b"x" * 5000 + b"\n",
        )
        for line in bad:
            await site.send(line)
        await site.send(b"\n\r\n  \n")  # blank lines are no news
        await site.level("door", False)
        await until(lambda: hal.input("door", 1) is False)
        assert hal.bad_lines == len(bad), hal.bad_lines
        assert seen == [("door", 1, False)] and hal.input("estop", 1) is None

    with_link(test)


def test_lines_in_pieces_and_in_bunches():
    async def test(hal, site, ends):
        line = b'{"input": "door", "connector": 1, "value": %s}\n'
        for i in range(len(line % b"false")):
            await site.send((line % b"false")[i : i + 1])
            await asyncio.sleep_ms(0)
        await until(lambda: hal.input("door", 1) is False)
        seen = []
        hal.on_input = lambda *event: seen.append(event)
        await site.send(b"".join([line % (b"true" if i & 1 else b"false") for i in range(200)]))
        await until(lambda: len(seen) == 200)
        assert hal.input("door", 1) is True and hal.bad_lines == 0

    with_link(test)


def test_callback_that_raises_is_logged_and_survived():
    async def test(hal, site, ends):
        def broken(*event):
            raise RuntimeError("callback")

        hal.on_input = broken
        await site.level("door", False)
        await site.level("estop", False)
        await until(lambda: hal.input("estop", 1) is False)
        assert len([1 for level, _, _ in hal._log.lines if level == "E"]) == 2 and not ends

    with_link(test)


# -- streams


def test_stream_both_ways_and_its_end():
    async def main():
        site = await Site().open()
        hal = Hal(folder, None, FakeLog())
        stream = await hal.open_stream("tcp://127.0.0.1:%d" % site.port)
        await site.came.wait()
        assert stream.write(b'..{"a": 1}\n..', 2, 9) == 9
        await until(lambda: site.lines == [{"a": 1}])
        await site.send(b"abc")
        buf = bytearray(8)
        assert await stream.readinto(buf) == 3 and buf[:3] == b"abc"
        site.cut()
        assert await stream.readinto(buf) == 0
        stream.close()
        stream.close()
        try:
            stream.write(b"x", 0, 1)
        except OSError:
            pass
        else:
            raise AssertionError
        await site.close()

    run_limited(main(), 10_000)


def test_write_to_a_peer_that_does_not_read_never_waits():
    async def main():
        site = await Site().open()
        hal = Hal(folder, None, FakeLog())

        async def deaf(reader, writer):
            await asyncio.sleep_ms(60_000)

        site._serve = deaf
        for port in range(site.port + 1, site.port + 200):
            try:
                server = await asyncio.start_server(deaf, "127.0.0.1", port)
                break
            except OSError:
                continue
        stream = await hal.open_stream("tcp://127.0.0.1:%d" % port)
        block = bytes(65_536)
        taken = 0
        for _ in range(1000):
            n = stream.write(block, 0, len(block))
            if n == 0:
                break
            taken += n
        assert n == 0 and taken > 0
        hal.close()
        server.close()
        await site.close()

    run_limited(main(), 10_000)


def test_stream_to_nobody_is_an_error():
    async def main():
        site = await Site().open()
        port = site.port
        await site.close()
        hal = Hal(folder, None, FakeLog())
        try:
            await hal.open_stream("tcp://127.0.0.1:%d" % port)
        except OSError:
            pass
        else:
            raise AssertionError
        for spec in ("uart://1", "tcp://nowhere", ("uart", 1, 9600), None):
            try:
                await hal.open_stream(spec)
            except ValueError as exc:
                assert "tcp://host:port" in str(exc)
            else:
                raise AssertionError(spec)

    run_limited(main(), 10_000)


# -- the system


def test_unique_id_is_kept_and_repaired():
    hal = Hal(folder, None, FakeLog())
    first = hal.unique_id()
    assert len(first) == 12 and hal.unique_id() == first
    assert Hal(folder, None, FakeLog()).unique_id() == first
    for text in ("", "short", "x" * 12, first + "0", first.upper() + "Z"):
        with open(folder + "/unique_id", "w") as f:
            f.write(text)
        again = hal.unique_id()
        assert len(again) == 12 and again == hal.unique_id(), text


def child(code, *arguments):
    """Run code in a new MicroPython of the same kind; return (exit status, output)."""
    path = folder + "/child.py"
    with open(path, "w") as f:
        f.write(code)
    words = " ".join(["'%s'" % word for word in (sys.executable, path, folder) + arguments])
    status = os.system("%s > %s/out 2>&1" % (words, folder))
    with open(folder + "/out") as f:
        return status >> 8, f.read()


_CHILD = """
import sys
sys.path[:0] = ["firmware", "lib"]
from clock import Clock
from log import Log
from hal.unix import Hal
hal = Hal(sys.argv[1], None, Log(Clock(), print), sys.argv[2])
print("cause", hal.reset_cause())
"""


def test_reset_ends_with_its_status_and_is_remembered():
    Hal(folder, None, FakeLog())
    for hard, status, cause in (("True", 65, "hard"), ("False", 64, "soft")):
        got, text = child(_CHILD + "hal.reset(%s)\n" % hard, "exit")
        assert got == status, text
        assert child(_CHILD, "exit")[1] == "cause %s\n" % cause
        assert child(_CHILD, "exit")[1] == "cause power\n"  # said once


def test_reset_in_place_starts_the_same_command_again():
    Hal(folder, None, FakeLog())
    code = _CHILD + "if hal.reset_cause() == 'power':\n    hal.reset(True)\nprint(sys.argv[2:])\n"
    status, text = child(code, "restart", "and more")
    assert status == 0, text
    # the first output may be lost in its buffer; the second life must have the cause and the same arguments
    assert text.endswith("cause hard\n['restart', 'and more']\n"), text


def test_sigterm_is_seen_and_does_not_kill():
    Hal(folder, None, FakeLog())
    code = (
        _CHILD
        + """
import os, time
assert not hal.is_terminating()
with open("/proc/self/stat") as f:
    pid = f.read().split()[0]
assert os.system("kill -TERM " + pid) == 0
for _ in range(500):
    if hal.is_terminating():
        break
    time.sleep_ms(10)
print("terminating", hal.is_terminating(), hal.is_terminating())
"""
    )
    status, text = child(code, "exit")
    assert status == 0 and text.endswith("terminating True True\n"), text


def test_watchdog_is_counted():
    hal = Hal(folder, None, FakeLog())
    hal.feed_watchdog()
    assert hal.watchdog_feeds == 1


def test_an_interrupted_collection_does_not_leave_the_heap_locked():
    import micropython

    from hal.unix import unlock_heap

    micropython.heap_lock()
    micropython.heap_lock()
    unlock_heap()
    assert len([1, 2, 3]) == 3
    unlock_heap()
    assert micropython.heap_lock() is None and micropython.heap_unlock() == 0
