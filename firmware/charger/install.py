"""From a bundle in a file to a slot that the next start tries. A cold module: see installer.py.

Between download and installation lies a restart: before the charger is built there is twice the memory, and nothing
else to do. `/data/update.json` leads through it:

{"failed": [...], "tries": n}             -- update.part waits; n starts have begun to install it
{"failed": [...], "slot", "version"}      -- it is in that slot
{"error": text}                           -- it is not installed, and why

failed -- rows of the self-test that failed before; None: there was not enough memory for one
"""

from cold import cold
from micropython import const

_ENOSPC = const(28)
_TRIES = const(3)
_SLOTS = "charger.slots"


def prepare(app, path):
    """Have the next start install the bundle in the file `path`. ValueError: it would not; OSError: cannot be noted."""
    slots = cold(_SLOTS)
    mine = slots.running()
    if mine is None:
        raise ValueError("this program does not run from a slot: flash it once with make flash")
    if slots.is_on_trial(mine):
        raise ValueError("the program that runs is on trial itself")
    del slots
    with open(path, "rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise ValueError("this is no bundle")
    try:
        failed = cold("charger.selftest").failures(app)
    except MemoryError:  # then the new program need not pass it, either
        failed = None
    cold("charger.files").write_json(app.hal.data_dir + "/update.json", {"failed": failed, "tries": 0})


def go_on(app):
    """At the start, before anything is built: install what waits, and restart. Returns when nothing waits, or it is not
    installed. Never raises anything but that restart.
    """
    folder = app.hal.data_dir
    try:
        record = cold("charger.files").read_json(folder + "/update.json")
        tries = record["tries"]
    except (OSError, ValueError, TypeError, KeyError):
        return
    try:
        record["tries"] = tries + 1
        cold("charger.files").write_json(folder + "/update.json", record)  # what cannot be counted is not tried
        if tries >= _TRIES:
            raise ValueError("the installation was interrupted %d times" % tries)
        app.log.warn("update", "installing")
        target, version = _install(app, folder)
        record = {"slot": target.rpartition("/")[2], "version": version, "failed": record["failed"]}
        cold("charger.files").write_json(folder + "/update.json", record)
        cold(_SLOTS).begin_trial(target)
    except Exception as exc:  # noqa: BLE001 - whatever is wrong with it, the charger must start
        app.log.error("update", "not installed: %s" % _reason(exc))
        try:
            cold("charger.files").write_json(folder + "/update.json", {"error": _reason(exc)})
        except OSError:
            pass  # outcome.py does not know of any, and the download begins anew
        _clean(folder)
        return
    _clean(folder)
    app.log.info("update", "version %s is in %s" % (version, target))
    app.hal.reset(True)


def _clean(folder):
    cold("charger.files").remove(folder + "/update.part")


def _reason(exc):
    if isinstance(exc, OSError):
        return "flash full" if exc.errno == _ENOSPC else "flash cannot be written (%s)" % exc
    return str(exc) if isinstance(exc, ValueError) else "%s: %s" % (type(exc).__name__, exc)


def _install(app, folder):
    """(the slot that is filled now, its version). ValueError, OSError: what runs now still starts."""
    path, aside = folder + "/update.part", folder + "/update.manifest"
    mine = cold(_SLOTS).running()
    target = cold(_SLOTS).idle(mine)
    allow_downgrade, keys, _ = app.update_rules
    try:
        digest, signature = cold("charger.bundle").extract(path, aside)
        cold("charger.trust").signed(digest, signature, keys or folder + "/keys")
        version = cold("charger.judge").fits(aside, mine, target, allow_downgrade)
        cold("charger.bundle").fill(path, aside, mine, target)
    finally:
        cold("charger.files").remove(aside)
    return target, version
