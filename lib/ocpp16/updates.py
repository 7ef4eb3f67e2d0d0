"""One firmware update, from UpdateFirmware to its last status. A cold module (see lib/cold.py).

Source: OCPP 1.6 edition 2, sections 4.5, 5.19 and 7.25.

What is stored under "update" says how far it is, so that it goes on after a power cut, and its last status is heard:
[phase, location, when (Unix seconds), retries, seconds between them, how often it was begun]. A phase is "" until it is
time, then the FirmwareStatus that was said last; the three that end it stay until the central system has answered.
Neither the download nor the installation goes on while a transaction runs.
"""

import asyncio

from cold import cold
from micropython import const

_NAME = "update"
_ACTION = "FirmwareStatusNotification"
_ENDS = ("Installed", "InstallationFailed", "DownloadFailed")
_PHASE = const(0)
_RUNS = const(5)
_MOST_RUNS = const(3)  # of one request, over power cuts and failures of our own
_AGAIN_MS = const(60_000)
_DAY_S = const(86_400)


def phase(cp):
    """FirmwareStatus of now."""
    record = _load(cp)
    return (record and record[_PHASE]) or "Idle"


def _load(cp):
    record = cp.store.get(_NAME)
    if type(record) is not list or [type(value) for value in record] != [str, str, int, int, int, int]:
        return None
    return record


def request(cp, location, due, retries, interval_s):
    """Remember a new update, for `begin`; one that is not yet being installed is given up for it."""
    if _NAME in cp.jobs:
        cp.jobs[_NAME].cancel()  # from here on it stores nothing more
    _save(cp, ["", location, due, min(retries, 100), min(interval_s, _DAY_S), 0])


def begin(cp):
    """Start the job."""
    cold("ocpp16.jobs").start(cp, _NAME, lambda: run(cp))


def resume(cp):
    """After a start: go on with what is left, if any."""
    if _NAME not in cp.jobs and _load(cp):
        begin(cp)


def _save(cp, record):
    cp.store.put(_NAME, record)


async def run(cp):
    """The job: one update to its end, whatever happens on the way."""
    failures = 0
    while True:
        try:
            record = _load(cp)
            if record is None:
                return
            end = record[_PHASE]
            if end not in _ENDS:
                try:
                    if failures == _MOST_RUNS:
                        end = _given_up(end)
                    else:
                        end = await _once(cp, record)
                finally:
                    _set_installing(cp, False)
                record[_PHASE] = end
                _save(cp, record)
            cp.log.info(_NAME, end)
            await cold("ocpp16.jobs").tell(cp, _ACTION, end, True)
            _save(cp, None)
            return
        except Exception as exc:  # noqa: BLE001 - no memory, no file system: not for ever
            cp.log.error(_NAME, exc)
            failures += 1
            await asyncio.sleep_ms(_AGAIN_MS)


def _given_up(phase):
    return "InstallationFailed" if phase == "Installing" else "DownloadFailed"


async def _once(cp, record):
    """One run through the phases: the status that ends it. Where a restart has to show that, it never returns."""
    installer = cp.hooks.files().installer()
    if record[_PHASE] == "Installing":
        outcome = await installer.outcome()
        if outcome is not None:
            return "Installed" if outcome else "InstallationFailed"
    if record[_RUNS] >= _MOST_RUNS:
        cp.log.error(_NAME, "given up after %d runs" % record[_RUNS])
        return _given_up(record[_PHASE])
    while cp.clock.utc() is None or cp.clock.utc() < record[2]:
        await asyncio.sleep_ms(1000)
    record[_RUNS] += 1
    try:
        await cold("ocpp16.jobs").idle(cp)
        await _enter(cp, record, "Downloading")
        _, location, _, retries, interval_s, _ = record
        if not await cold("ocpp16.fetch").fetch(cp, location, retries, interval_s, installer):
            installer.abort()
            return "DownloadFailed"
        await _enter(cp, record, "Downloaded")
        _set_installing(cp, True)  # idle connectors take nobody from now on
        await cold("ocpp16.jobs").idle(cp)
        await _enter(cp, record, "Installing")
        try:
            await installer.install()
        except (OSError, ValueError) as exc:
            cp.log.error(_NAME, "not installed: %s" % exc)
            installer.abort()
            return "InstallationFailed"
    except BaseException:
        installer.abort()
        raise
    if not hasattr(cp.hooks, "reset"):
        return "Installed" if await installer.outcome() else "InstallationFailed"
    cp.log.info(_NAME, "installed, restarting")
    cp.hooks.reset(True)
    while True:  # the connectors stay Unavailable until the program ends
        await asyncio.sleep_ms(_AGAIN_MS)


async def _enter(cp, record, phase):
    record[_PHASE] = phase
    _save(cp, record)
    cp.log.info(_NAME, phase)
    await cold("ocpp16.jobs").tell(cp, _ACTION, phase)


def _set_installing(cp, value):
    if cp.installing != value:
        cp.installing = value
        cold("ocpp16.statuses").tell_zero(cp)
        cp.poke()
