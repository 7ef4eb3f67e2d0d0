"""FirmwareManagement under virtual time: phases, retries, sessions in between, power cuts. The transfers themselves are
tested against real servers in tests_host/system/test_transfer.py; here their place is taken by `Remote`.

Sources: OCPP 1.6 edition 2, sections 4.4, 4.5, 5.9, 5.19; certification cases 044_1 to 044_3, 045_1, 045_2, 054.
"""

import asyncio

from fakes import virtual_run
from scripted_csms import Bench

from ocpp16.ramstore import RamStore

URL = "http://files.example/secret-folder/new.bin"
DONE = ["Downloading", "Downloaded", "Installing", "Installed"]
_PIECE = 100


class Installer:
    """The flash behind an update: what a restart shows depends on how far it came."""

    def __init__(self, flash):
        self.flash = flash

    def open(self, size):
        if size is not None and size > self.flash.room:
            raise ValueError("too large")
        self.flash.part = b""
        self.flash.opened += 1

    def write(self, view):
        if len(self.flash.part) + len(view) > self.flash.room:
            raise OSError(28)
        self.flash.part += bytes(view)

    def abort(self):
        self.flash.part = None
        self.flash.aborted += 1

    async def install(self):
        await asyncio.sleep_ms(self.flash.install_ms)
        if self.flash.part != self.flash.signed:
            raise ValueError("wrong signature")
        self.flash.trial = self.flash.part

    async def outcome(self):
        if self.flash.trial is None:
            return None
        works = self.flash.works
        if works:
            self.flash.running = self.flash.trial
        self.flash.trial = None
        return works


class Flash:
    def __init__(self, data=b"n" * 1000):
        self.signed = data
        self.room = 5000
        self.install_ms = 500
        self.works = True  # the new one starts
        self.part = self.trial = None
        self.running = b"old"
        self.opened = self.aborted = 0


class Remote:
    """A transfer.way.Way without the network. plan -- bytes of each attempt before it breaks, or None."""

    def __init__(self, data=b"n" * 1000):
        self.data = data
        self.plan = []
        self.tag = "v1"
        self.length = True
        self.attempts = []  # (URL, offset it began at)
        self.uploads = []

    async def download(self, url, sink):
        end = self.plan.pop(0) if self.plan else None
        offset = sink.offset if self.tag and sink.tag == self.tag else 0
        self.attempts.append((url, offset))
        try:
            await asyncio.sleep_ms(50)
            sink.begin(offset, len(self.data) if self.length else None, self.tag)
            while offset < (len(self.data) if end is None else end):
                await asyncio.sleep_ms(100)
                piece = self.data[offset : offset + _PIECE]
                sink.write(memoryview(piece))
                offset += len(piece)
        except (OSError, ValueError) as exc:
            raise OSError(str(exc))
        if end is not None:
            raise OSError("broken off")

    async def upload(self, url, source):
        ok = self.plan.pop(0) if self.plan else None
        await asyncio.sleep_ms(300)
        self.uploads.append((url, "".join(source())))
        if ok is not None:
            raise OSError("HTTP 500")


class Files:
    def __init__(self, bench):
        self.bench = bench

    def way(self):
        return self.bench.remote

    def installer(self):
        return Installer(self.bench.flash)

    def diagnostics(self, start, stop):
        self.bench.asked.append((start, stop))
        return self.bench.diagnostics


class Station(Bench):
    """A bench with firmware management; `reset` is a restart of everything but the store, the flash and the servers."""

    def __init__(self, clock, store=None, before=None, **more):
        super().__init__(clock, store or RamStore(), profiles=("core", "remote_trigger", "firmware"), **more)
        self.flash = before.flash if before else Flash()
        self.remote = before.remote if before else Remote()
        self.resets = []
        self.asked = []
        self.diagnostics = ("diag.txt", lambda: ("one\n", "two\n"))
        self.hooks.files = lambda: Files(self)
        self.hooks.reset = self.resets.append

    async def online(self):
        self.start()
        await self.until(lambda: self.csms.story() == ["BootNotification"] + ["Available"] * len(self.evses))

    def statuses(self):
        return [payload["status"] for payload in self.csms.calls("FirmwareStatusNotification")]

    def uploads(self):
        return [payload["status"] for payload in self.csms.calls("DiagnosticsStatusNotification")]

    def update(self, **fields):
        request = {"location": URL, "retrieveDate": "2020-01-01T00:00:00Z"}
        request.update(fields)
        return self.csms.call("UpdateFirmware", request)

    async def answer(self, uid):
        await self.until(lambda: self.csms.answer_to(uid) is not None)
        return self.csms.answer_to(uid)

    async def reboot(self):
        """End this life and begin the next."""
        await self.end()
        for job in list(self.cp.jobs.values()):
            job.cancel()
        await asyncio.sleep_ms(10)
        again = Station(self.clock, self.store, self)
        again.csms.seen = self.csms.seen
        again.start()
        return again

    async def finished(self, ms=600_000):
        await self.until(lambda: not self.cp.jobs and self.store.get("update") is None, ms)

    def state(self, connector=0):
        told = [p["status"] for p in self.csms.calls("StatusNotification") if p["connectorId"] == connector]
        return told[-1]

    def spoken(self):
        return "\n".join([text for _, _, text in self.log.lines])


def run(scenario):
    virtual_run(scenario)


def test_update():
    """Certification case 044_1. The answer goes first, Installed comes after the restart and the accepted boot."""

    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        assert await bench.answer(bench.update()) == {}
        actions = [m[2] if m[0] == 2 else m[0] for _, side, m in bench.csms.seen if side == "cp"]
        assert "FirmwareStatusNotification" not in actions[: actions.index(3)]
        await bench.until(lambda: bench.resets)
        assert bench.resets == [True] and bench.statuses() == DONE[:3]
        assert bench.state(0) == bench.state(1) == "Unavailable"
        await asyncio.sleep_ms(200_000)  # the restart takes its time
        assert bench.statuses() == DONE[:3]
        again = await bench.reboot()
        await again.finished()
        assert again.statuses() == DONE and again.state(0) == again.state(1) == "Available"
        boots = [i for i, c in enumerate(again.csms.calls()) if c[0] == "BootNotification"]
        last = [i for i, c in enumerate(again.csms.calls()) if c[1] == {"status": "Installed"}]
        assert len(boots) == 2 and boots[1] < last[0]
        assert again.flash.running == again.flash.signed
        assert "secret" not in bench.spoken() and again.store.get("update") is None

    run(scenario)


def test_a_new_version_that_does_not_start():
    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        bench.flash.works = False
        bench.update()
        await bench.until(lambda: bench.resets)
        again = await bench.reboot()
        await again.finished()
        assert again.statuses() == DONE[:3] + ["InstallationFailed"] and again.flash.running == b"old"
        assert again.state(0) == again.state(1) == "Available"

    run(scenario)


def test_download_fails():
    """Certification case 044_2, and the number of attempts."""

    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        for fields, attempts, interval in (
            ({"retries": 0}, 1, 0),
            ({"retries": 2, "retryInterval": 30}, 3, 30_000),
            ({"retries": 1, "retryInterval": 0}, 2, 0),
            ({}, 4, 60_000),
        ):
            bench.remote.plan, bench.remote.attempts = [0] * 50, []
            del bench.csms.seen[:]
            began = clock.uptime_ms()
            bench.update(**fields)
            await bench.until(lambda: bench.cp.jobs)
            await bench.finished()
            assert len(bench.remote.attempts) == attempts, fields
            assert bench.statuses() == ["Downloading", "DownloadFailed"]
            assert clock.uptime_ms() - began >= interval * (attempts - 1)
            assert bench.flash.part is None and not bench.resets
            assert not bench.csms.calls("StatusNotification"), "the connectors had no part in it"

    run(scenario)


def test_not_installed():
    """Certification case 044_3: nothing that is not verified is ever called Installed."""

    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        bench.flash.signed = b"another"
        bench.update(retries=5)
        await bench.until(lambda: bench.cp.jobs)
        await bench.finished()
        assert bench.statuses() == DONE[:3] + ["InstallationFailed"] and not bench.resets
        assert bench.state(0) == bench.state(1) == "Available"
        assert len(bench.remote.attempts) == 1 and bench.flash.part is None and bench.flash.running == b"old"

    run(scenario)


def test_broken_off_and_resumed():
    """What came is kept; that uses up no attempt. Without a tag it begins again."""

    async def scenario(clock):
        for tag, offsets in (("v1", [0, 300, 700, 700]), ("", [0, 0, 0, 0])):
            bench = Station(clock)
            await bench.online()
            bench.remote.tag = tag
            bench.remote.plan = [300, 700, 700]
            bench.update(retries=1 if tag else 3)
            await bench.until(lambda: bench.resets, 600_000)
            assert [offset for _, offset in bench.remote.attempts] == offsets
            assert bench.statuses() == DONE[:3]
            await bench.end()
        bench = Station(clock)
        await bench.online()
        bench.remote.plan = [100 * n for n in range(1, 40)]  # a piece at a time, for ever: not for ever
        bench.remote.data = b"n" * 4000
        bench.update(retries=0)
        await bench.until(lambda: bench.cp.jobs)
        await bench.finished()
        assert bench.statuses() == ["Downloading", "DownloadFailed"] and len(bench.remote.attempts) == 6

    run(scenario)


def test_no_room():
    """A file that the installer does not take is not fetched again and again."""

    async def scenario(clock):
        for length in (True, False):
            bench = Station(clock)
            await bench.online()
            bench.flash.room = 500
            bench.remote.length = length
            bench.update(retries=5)
            await bench.until(lambda: bench.cp.jobs)
            await bench.finished()
            assert bench.statuses() == ["Downloading", "DownloadFailed"] and len(bench.remote.attempts) == 1
            await bench.end()

    run(scenario)


def test_retrieve_date():
    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        began = clock.utc() if clock.utc() else bench.cp.clock.utc()
        uid = bench.csms.call("TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"})
        await bench.until(lambda: bench.statuses())
        assert bench.statuses() == ["Idle"] and bench.csms.answer_to(uid) == {"status": "Accepted"}
        timestamp = __import__("ocpp16.timestamp", None, None, ("*",)).format_utc(began + 3600)
        bench.update(retrieveDate=timestamp)
        await bench.until(lambda: bench.cp.jobs)
        await asyncio.sleep_ms(3_000_000)
        bench.csms.call("TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"})
        await bench.until(lambda: len(bench.statuses()) == 2)
        assert bench.statuses() == ["Idle", "Idle"] and not bench.remote.attempts
        bench = await bench.reboot()  # the request survives
        await asyncio.sleep_ms(500_000)
        assert not bench.remote.attempts
        await bench.until(lambda: bench.resets, 200_000)
        assert bench.cp.clock.utc() >= began + 3600
        assert bench.statuses()[2:] == DONE[:3]

    run(scenario)


def test_never_while_a_transaction_runs():
    """It neither begins in one, nor goes on when one starts."""

    async def scenario(clock):
        bench = Station(clock, connectors=2)
        await bench.online()
        await bench.plug()
        await bench.charging()
        bench.update()
        await asyncio.sleep_ms(100_000)
        assert not bench.remote.attempts and bench.statuses() == []
        bench.connector.stop("Local")
        await bench.until(lambda: len(bench.remote.attempts) == 1)
        await bench.until(lambda: bench.flash.part)
        # the vehicle is still there: a second session starts while the download is on its way
        bench.csms.call("RemoteStartTransaction", {"idTag": "TAG1", "connectorId": 1})
        await bench.until(lambda: bench.connector.transaction is not None)
        await asyncio.sleep_ms(60_000)
        assert len(bench.remote.attempts) == 1 and bench.statuses() == ["Downloading"] and not bench.flash.trial
        bench.connector.stop("Local")
        await bench.until(lambda: bench.statuses() == DONE[:2])
        assert bench.remote.attempts[1][1] > 0, "it went on where it was"
        await bench.until(lambda: bench.resets)
        assert bench.statuses() == DONE[:3]

    run(scenario)


def test_session_that_starts_as_the_download_ends():
    """Downloaded, and one connector charges: the other takes nobody until it is installed."""

    async def scenario(clock):
        bench = Station(clock, connectors=2)
        await bench.online()
        await bench.plug()
        bench.update()
        await bench.until(lambda: bench.statuses() == ["Downloading"])
        bench.csms.answers["FirmwareStatusNotification"] = [None, "silence"]
        bench.csms.delays["FirmwareStatusNotification"] = 3000  # time for a start between Downloaded and the rest
        await bench.until(lambda: bench.statuses() == DONE[:2])
        uid = bench.csms.call("RemoteStartTransaction", {"idTag": "TAG1", "connectorId": 1})
        await bench.until(lambda: bench.connector.transaction is not None)
        assert bench.csms.answer_to(uid) == {"status": "Accepted"}
        await bench.until(lambda: bench.state(2) == "Unavailable" and bench.state(0) == "Unavailable")
        refused = bench.csms.call("RemoteStartTransaction", {"idTag": "TAG2", "connectorId": 2})
        assert await bench.answer(refused) == {"status": "Rejected"}
        await asyncio.sleep_ms(60_000)
        assert bench.statuses() == DONE[:2] and bench.connector.transaction is not None
        bench.connector.stop("Local")
        await bench.until(lambda: bench.resets, 120_000)
        assert bench.statuses() == DONE[:3]

    run(scenario)


def test_a_second_request():
    """It takes the place of the first, unless that is being installed."""

    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        bench.update(location="http://files.example/first")
        await bench.until(lambda: bench.remote.attempts)
        await asyncio.sleep_ms(300)
        bench.update()
        await bench.until(lambda: len(bench.remote.attempts) == 2)
        assert bench.remote.attempts[1] == (URL, 0) and bench.flash.opened >= 1
        bench.flash.install_ms = 5000
        await bench.until(lambda: bench.statuses()[-1:] == ["Installing"])
        assert (await bench.answer(bench.update(location="http://files.example/third")))[0] == "GenericError"
        await bench.until(lambda: bench.resets)
        assert bench.statuses() == ["Downloading"] + DONE[:3] and len(bench.remote.attempts) == 2
        assert bench.flash.trial == bench.flash.signed

    run(scenario)


def test_offline():
    """The link is down from the download on: what is told late is the end, and that until it is answered."""

    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        bench.flash.signed = b"another"
        bench.update()
        await bench.until(lambda: bench.statuses() == ["Downloading"])
        bench.csms.listening = False
        bench.csms.drop()
        await bench.until(lambda: (bench.store.get("update") or [""])[0] == "InstallationFailed", 120_000)
        await asyncio.sleep_ms(500_000)
        bench.csms.listening = True
        bench.csms.answers["FirmwareStatusNotification"] = ["silence"] * 30
        for _ in range(15):  # a link that breaks again and again uses up nothing
            told = len(bench.statuses())
            await bench.until(lambda told=told: len(bench.statuses()) > told, 900_000)
            bench.csms.drop()
        bench.csms.answers["FirmwareStatusNotification"] = ["silence", None]
        await bench.finished(900_000)
        assert set(bench.statuses()[1:]) == {"InstallationFailed"} and len(bench.statuses()) >= 17

    run(scenario)


class CutStore(RamStore):
    """Runs a function instead of the n-th write, or after it."""

    def __init__(self, at, after, cut):
        super().__init__()
        self.at, self.after, self.cut, self.writes = at, after, cut, 0

    def put(self, name, value, urgent=True):
        self.writes += name == "update"
        mine = name == "update" and self.writes == self.at
        if mine and not self.after:
            self.cut()
        super().put(name, value, urgent)
        if mine:
            self.cut()


class Cut(asyncio.CancelledError):
    """The power went. (Nothing else passes both the product's handlers and the loop.)"""


def test_power_cut_at_every_write_and_anywhere_else():
    """The update ends with its last status, told once the boot is accepted; Installed only for what runs."""

    async def life(bench, died):
        """Until it wants to restart or is done, or the power goes."""
        quiet = 0
        for _ in range(100_000):
            quiet = 0 if bench.cp.jobs or bench.store.get("update") is not None else quiet + 1
            if bench.resets or died or quiet > 100:
                return
            await asyncio.sleep_ms(20)
        raise AssertionError("it hangs: %s" % bench.statuses())

    async def scenario(clock):
        seen = set()
        for works in (True, False):
            for after in (False, True):
                for at in range(1, 12):
                    died = []

                    def cut():
                        died.append(1)
                        raise Cut

                    store = CutStore(at, after, cut)
                    bench = Station(clock, store)
                    asyncio.get_event_loop().set_exception_handler(lambda loop, context: None)
                    bench.flash.works = works
                    await bench.online()
                    bench.update()
                    await asyncio.sleep_ms(50)
                    for _ in range(6):
                        await life(bench, died)
                        if not died and not bench.resets:
                            break
                        store.at = 0
                        del died[:]
                        bench = await bench.reboot()
                    statuses = bench.statuses()
                    running = bench.flash.running == bench.flash.signed
                    if statuses:
                        assert statuses[-1] in ("Installed", "InstallationFailed"), (works, after, at, statuses)
                        assert ("Installed" in statuses) == running == works, (works, after, at, statuses)
                    else:
                        assert at == 1 and not after, "only a request that was never stored may be lost"
                    seen.add(statuses[-1] if statuses else "")
                    assert not bench.cp.installing
                    await bench.end()
        assert seen == {"Installed", "InstallationFailed", ""}

    asyncio.get_event_loop()
    run(scenario)


def test_not_for_ever_after_cuts():
    """A request that never comes to its end is given up."""

    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        bench.update()
        for _ in range(3):
            await bench.until(lambda: bench.cp.jobs and bench.remote.attempts)
            await asyncio.sleep_ms(300)
            del bench.remote.attempts[:]
            bench = await bench.reboot()
        await bench.finished()
        assert bench.statuses() == ["Downloading"] * 3 + ["DownloadFailed"]

    run(scenario)


def test_failures_of_our_own():
    """No memory, and no file system, while an update is on its way: it is said, tried again, and given up."""

    async def scenario(clock):
        bench = Station(clock)
        await bench.online()

        async def no_memory(url, sink):
            raise MemoryError

        bench.remote.download = no_memory
        bench.update()
        await bench.until(lambda: bench.cp.jobs)
        await bench.finished()
        assert bench.statuses() == ["Downloading"] * 3 + ["DownloadFailed"]
        assert not bench.cp.installing and "MemoryError" in bench.spoken()

        bench.hooks.files = None  # not even a way to begin
        del bench.csms.seen[:]
        bench.update()
        await bench.until(lambda: bench.cp.jobs)
        await bench.finished()
        assert bench.statuses() == ["DownloadFailed"]
        bench.hooks.files = lambda: Files(bench)

        async def no_memory_either(url, source):
            raise MemoryError

        bench.remote.upload = no_memory_either
        bench.csms.call("GetDiagnostics", {"location": "http://h/", "retries": 1, "retryInterval": 0})
        await bench.until(lambda: bench.uploads()[-1:] == ["UploadFailed"])

    run(scenario)


def test_damaged_record():
    async def scenario(clock):
        for record in (["Downloading"], [1] * 6, ["", "", "", "", "", ""], [], {}, {"a": 1}, "text"):
            store = RamStore()
            store.put("update", record)
            bench = Station(clock, store)
            await bench.online()
            bench.csms.call("TriggerMessage", {"requestedMessage": "FirmwareStatusNotification"})
            await bench.until(lambda: bench.statuses() == ["Idle"])
            await bench.end()

    run(scenario)


def test_diagnostics():
    """Certification cases 045_1 and 045_2, 054 for the phase."""

    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        request = {"location": "ftp://u:secret@h/logs", "retries": 0, "startTime": "2026-01-21T00:00:00Z"}
        answer = await bench.answer(bench.csms.call("GetDiagnostics", request))
        assert answer == {"fileName": "diag.txt"}
        bench.csms.call("TriggerMessage", {"requestedMessage": "DiagnosticsStatusNotification"})
        await bench.until(lambda: bench.uploads()[-1:] == ["Uploaded"] and not bench.cp.jobs)
        assert bench.uploads() in (["Uploading", "Uploading", "Uploaded"],)
        assert bench.remote.uploads == [("ftp://u:secret@h/logs/diag.txt", "one\ntwo\n")]
        assert bench.asked == [(1768953600, None)] and "secret" not in bench.spoken()
        bench.csms.call("TriggerMessage", {"requestedMessage": "DiagnosticsStatusNotification"})
        await bench.until(lambda: bench.uploads()[-1:] == ["Idle"])
        for fields, attempts in (({"retries": 0}, 1), ({"retries": 2, "retryInterval": 10}, 3), ({}, 4)):
            bench.remote.plan, bench.remote.uploads = [0] * 9, []
            del bench.csms.seen[:]
            request = {"location": "http://h/"}
            request.update(fields)
            bench.csms.call("GetDiagnostics", request)
            await bench.until(lambda: bench.uploads()[-1:] == ["UploadFailed"], 600_000)
            assert bench.uploads() == ["Uploading", "UploadFailed"]
            assert bench.remote.uploads == [("http://h/diag.txt", "one\ntwo\n")] * attempts
            await bench.until(lambda: not bench.cp.jobs)

    run(scenario)


def test_nothing_to_tell():
    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        bench.diagnostics = None
        assert await bench.answer(bench.csms.call("GetDiagnostics", {"location": "http://h/"})) == {}
        await asyncio.sleep_ms(5000)
        assert bench.uploads() == [] and not bench.cp.jobs

    run(scenario)


def test_a_second_upload_takes_the_place_of_the_first():
    async def scenario(clock):
        bench = Station(clock)
        await bench.online()
        bench.remote.plan = [0] * 50
        bench.csms.call("GetDiagnostics", {"location": "http://h/first/"})
        await bench.until(lambda: bench.remote.uploads)
        bench.remote.plan = []
        bench.csms.call("GetDiagnostics", {"location": "http://h/second/"})
        await bench.until(lambda: bench.uploads()[-1:] == ["Uploaded"] and not bench.cp.jobs)
        assert [url for url, _ in bench.remote.uploads] == ["http://h/first/diag.txt", "http://h/second/diag.txt"]

    run(scenario)


def test_without_the_profile():
    async def scenario(clock):
        bench = Bench(clock)
        await bench.online()
        for action, request in (
            ("UpdateFirmware", {"location": URL, "retrieveDate": "2020-01-01T00:00:00Z"}),
            ("GetDiagnostics", {"location": URL}),
        ):
            uid = bench.csms.call(action, request)
            await bench.until(lambda uid=uid: bench.csms.answer_to(uid) is not None)
            assert bench.csms.answer_to(uid)[0] == "NotSupported"

    run(scenario)
