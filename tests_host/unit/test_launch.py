"""launch.py, the /main.py of a board: what cannot be started leaves its traceback, and gets another chance."""

import os
import sys

import launch

FOLDER = "test_launch.%02x%02x" % tuple(os.urandom(2))


class Restart(BaseException):
    """The board starts again."""


class Machine:
    """The module machine, and time."""

    slept = 0

    @classmethod
    def reset(cls):
        raise Restart

    @classmethod
    def sleep(cls, seconds):
        cls.slept += seconds


def setup():
    os.mkdir(FOLDER)
    launch._FAILED = FOLDER + "/launch-failed.txt"


def teardown():
    for name in os.listdir(FOLDER):
        os.remove(FOLDER + "/" + name)
    os.rmdir(FOLDER)


def start(program):
    """One start of a slot whose main() is this; True: the board starts again."""
    kept = {name: sys.modules.get(name) for name in ("main", "machine", "time")}
    sys.modules["main"] = type("Main", (), {"main": program})
    sys.modules["machine"] = sys.modules["time"] = Machine
    sys.path.insert(0, "/slot_a")
    try:
        launch.launch()
        return False
    except Restart:
        return True
    finally:
        sys.path.remove("/slot_a")
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def fails(words):
    raise MemoryError("no room")


def test_a_program_that_runs_leaves_nothing():
    seen = []
    assert not start(seen.append) and seen == [()]
    assert os.listdir(FOLDER) == []


def test_a_traceback_is_kept_and_counted():
    Machine.slept = 0
    for _ in range(3):
        assert start(fails)
    assert Machine.slept == 90
    with open(launch._FAILED) as f:
        text = f.read()
    assert int(text.partition("\n")[0]) == 3 and text.endswith("MemoryError: no room\n"), text
    assert text.count("Traceback") == 1


def test_a_folder_that_is_not_there_is_harmless():
    launch._FAILED = FOLDER + "/none/launch-failed.txt"
    assert start(fails)
