"""The service PIN: wrong tries are counted first, waits grow, survive a restart, and never become free."""

import json
import os
import sys

from fakes import FakeClock, FakeLog

from charger.commands import pin

folder = None


def setup():
    global folder
    folder = "/tmp/pin-" + "".join(["%02x" % b for b in os.urandom(6)])
    os.mkdir(folder)
    with open(folder + "/settings.json", "w") as f:
        json.dump({"service.pin": "4711"}, f)


def teardown():
    for name in os.listdir(folder):
        os.remove(folder + "/" + name)
    os.rmdir(folder)


class Store(dict):
    full = False

    def put(self, name, value):
        if self.full:
            raise OSError(28)
        if value is None:
            self.pop(name, None)
        else:
            self[name] = value


class Thing:
    pass


def app(store, boot=1):
    it = Thing()
    it.clock, it.log = FakeClock(), FakeLog()
    it.hal, it.cp = Thing(), Thing()
    it.hal.data_dir = folder
    it.cp.store, it.cp.outbox = store, Thing()
    it.cp.outbox.boot = boot
    return it


def test_right_and_wrong():
    it = app(Store())
    assert not pin.is_open(it)
    for text in ("", "471", "47111", "4712", "4711 "):
        assert not pin.check(it, text), text
        it.cp.store.clear()
    assert pin.check(it, "4711") and not it.cp.store
    assert "4711" not in repr(it.log.__dict__)


def test_no_pin_is_open():
    with open(folder + "/settings.json", "w") as f:
        f.write("{}")
    it = app(Store())
    assert pin.is_open(it)
    path = folder + "/factory.json"
    words = sys.argv[:]
    try:
        for more in (["--factory", path], ["--data", "x", "--factory=" + path]):
            sys.argv[1:] = more
            with open(path, "w") as f:
                f.write("{}")
            assert pin.is_open(it)
            with open(path, "w") as f:
                json.dump({"settings": {"service.pin": "1234"}}, f)
            assert not pin.is_open(it) and pin.check(it, "1234")
    finally:
        sys.argv[:] = words


def test_damaged_file_leaves_the_last_good_one():
    with open(folder + "/settings.good.json", "w") as f:
        json.dump({"service.pin": "4711"}, f)
    with open(folder + "/settings.json", "w") as f:
        f.write('{"service.pi')
    assert not pin.is_open(app(Store()))


def test_waits_grow_to_an_hour():
    it = app(Store())
    waits = []
    for _ in range(14):
        pin.check(it, "0000")
        waits.append(pin.wait_s(it))
    assert waits == [0, 0, 30, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600, 3600]
    it.clock.advance(3_599_000)
    assert pin.wait_s(it) == 1
    it.clock.advance(1000)
    assert pin.wait_s(it) == 0
    assert pin.check(it, "4711") and pin.wait_s(it) == 0
    assert not it.cp.store


def test_restart_gives_no_try_back_and_the_wait_begins_anew():
    store = Store()
    it = app(store)
    for _ in range(4):
        pin.check(it, "0000")
    it.clock.advance(59_000)
    again = app(store, boot=2)
    assert 59 <= pin.wait_s(again) <= 60
    again.clock.advance(60_000)
    assert pin.wait_s(again) == 0
    pin.check(again, "0000")
    assert pin.wait_s(again) == 120


def test_a_try_that_cannot_be_counted_is_none():
    it = app(Store())
    it.cp.store.full = True
    try:
        pin.check(it, "4711")
    except OSError:
        return
    raise AssertionError("was compared")


def test_damaged_record():
    for record in ([], [1], [1, 2, "x"], [-5, 1, 1], ["9", 1, 1], [10**9, 1, 10**9]):
        store = Store()
        store["pin"] = record
        assert 0 <= pin.wait_s(app(store)) <= 3600, record
