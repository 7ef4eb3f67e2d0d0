"""Run the tests of one file on MicroPython: `micropython unit_runner.py FILE [--only NAME]`.

Every function named `test_*` is a test; an `async def` runs under asyncio with a fresh event loop. `setup()` and
`teardown()` of the file, where defined, run around each test (they may be async too). A test fails by raising, and also
when a background task dies of an exception that nobody awaited; a test that means this to happen installs its own
handler with `asyncio.get_event_loop().set_exception_handler`.

Prints `ok NAME` or a traceback and `FAIL NAME` for each, and a closing line `ran N failed M`. Exit status 0 only if at
least one test ran and none failed. On a board, without files on the host: `unit_runner.run("test_name")`.
"""

import asyncio
import gc
import sys


def _call(function):
    """Call a test function; finish it in the event loop if it is a coroutine function."""
    result = function()
    if hasattr(result, "send") and hasattr(result, "throw"):
        asyncio.run(result)


def _run_one(module, name):
    """Run one test with its setup and teardown; return True if it passed."""
    lost = []

    def handler(_loop, context):
        lost.append(context.get("exception"))

    loop = asyncio.new_event_loop()  # nothing of an earlier test is left in it
    loop.set_exception_handler(handler)
    passed = False
    try:
        _call(getattr(module, "setup", lambda: None))
        try:
            _call(getattr(module, name))
        finally:
            _call(getattr(module, "teardown", lambda: None))
        passed = True
    except KeyboardInterrupt:
        raise
    except BaseException as exc:  # SystemExit and CancelledError too: a test that lets them out has failed
        sys.print_exception(exc)
    for exc in lost:
        passed = False
        print("A background task ended with an exception that nobody awaited:")
        if isinstance(exc, BaseException):
            sys.print_exception(exc)
    gc.collect()
    return passed


def run(module_name, only=None):
    """Import a test module and run its tests in the order of their names; return (number run, number failed)."""
    module = __import__(module_name)
    ran = failed = 0
    for name in sorted(dir(module)):
        if not name.startswith("test_") or only not in (None, name) or not callable(getattr(module, name)):
            continue
        ran += 1
        if _run_one(module, name):
            print("ok", name)
        else:
            failed += 1
            print("FAIL", name)
    print("ran", ran, "failed", failed)
    return ran, failed


def main(arguments):
    """Return the exit status for a command line without the program's name."""
    only = None
    if "--only" in arguments:
        at = arguments.index("--only")
        if at + 1 >= len(arguments):
            print("--only needs the name of a test")
            return 2
        only = arguments[at + 1]
        arguments = arguments[:at] + arguments[at + 2 :]
    if len(arguments) != 1 or not arguments[0].endswith(".py"):
        print("usage: unit_runner.py FILE.py [--only NAME]")
        return 2
    folder, _, file = arguments[0].rpartition("/")
    sys.path.insert(0, folder or ".")
    ran, failed = run(file[:-3], only)
    return 0 if ran and not failed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
