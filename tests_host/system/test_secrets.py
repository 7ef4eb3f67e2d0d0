"""The secret never appears: a day with every secret there is, and nobody who looks on learns one.

Each has a value of its own, told to the charger in every way there is. Then everything that ever left it is searched
for each of them, as it is, in hex, in base64 and with percent signs: the console, the log, the wire, uploads, requests
to servers, and the files on flash but for those whose task is to keep them. Left out is only what the protocols carry:
the Authorization header, the password command of FTP, and what the central system says.
"""

import base64
import signal
from pathlib import Path
from urllib.parse import quote

from tests_host.system.file_server import FileServer, FtpServer
from tests_host.system.person import DEADLINE_S, Desk, Person
from tests_host.system.rig import IDENTITY, system_test
from tests_host.system.steps import QuickRig, begin, finish, reconnected
from tests_host.system.test_console import settings
from tools.csms import FROM_CHARGER

KEY = "kQ/7 local+Key=94~x"
SECRETS = {
    "ocpp.authorization_key": KEY,
    "wifi.password": "wl@n: Pa55/w0rd+of the yard",
    "service.pin": "804713952260",
    "key of the central system": "4e65774b6579=Zr/81+q",  # 20 characters
    "login of an HTTP server": "ht%tp/Login+3141",
    "login of an FTP server": "f+tp/Login=2718",
    "login in the URL": "url/Login+1618=",
}
KEEPERS = ("settings.json", "settings.good.json", "ocpp/")  # their task; a device has NVS instead of the first two


def forms(secret: str) -> dict[str, str]:
    """How it would be seen: name of the form -> text, in lower case."""
    data = secret.encode()
    found = {"plain": secret, "hex": data.hex(), "percent": quote(secret, safe="")}
    found["every character"] = "".join(f"%{byte:02x}" for byte in data)
    found["escaped"] = secret.replace("/", "\\/")
    for shift in range(3):  # base64 looks otherwise behind 0, 1 or 2 other bytes: "user:" + password
        text = base64.b64encode(bytes(shift) + data).decode()
        found[f"base64 {shift}"] = text[(0, 2, 3)[shift] : len(text) - 4]
    return {name: text.lower() for name, text in found.items() if len(text) > 8}


def seen_in(text: str) -> list[str]:
    """Which secrets are in a text, and how."""
    text = text.lower()
    return [f"{name} ({form})" for name in SECRETS for form, what in forms(SECRETS[name]).items() if what in text]


def test_the_search_finds_what_it_looks_for() -> None:
    """Every form of every secret, also behind a user name."""
    for name, value in SECRETS.items():
        for text in (
            value,
            value.encode().hex().upper(),
            quote(value, safe=""),
            "".join(f"%{byte:02X}" for byte in value.encode()),
            *(base64.b64encode(f"{user}:{value}".encode()).decode() for user in ("a", "ab", "abc", IDENTITY)),
        ):
            assert any(found.startswith(name) for found in seen_in(f"text {text} text")), (name, text)
    assert seen_in("nothing of it: 8047139522 kQ/7 local+Key") == []


async def _typed(person: Person, name: str, value: str) -> None:
    """Set a secret as a careful person does."""
    await person.type(f"set {name}\r")
    await person.read("not shown: ")
    await person.type(value + "\r")
    assert "(set)" in await person.read()


async def _console(person: Person) -> None:
    """Everything that shows something."""
    await person.come()
    for wrong in ("0000", "804713952261"):
        await person.type("login\r")
        await person.read("Service PIN: ")
        await person.type(wrong + "\r")
        assert "Wrong PIN" in await person.read()
    await person.type("login\r")
    await person.read("Service PIN: ")
    await person.type(SECRETS["service.pin"] + "\r")
    assert "allowed" in await person.read()
    await _typed(person, "wifi.password", SECRETS["wifi.password"])
    await _typed(person, "ocpp.authorization_key", KEY)
    url = f"ws://u:{SECRETS['login in the URL']}@127.0.0.1:9/x"
    await person.says('import {"ocpp.url": "' + url + '"}', "no user, password or query")
    await person.says("save", "2 stored")
    for name in SECRETS:
        if "." in name:
            await person.says(f"get {name}", "(set)")
    for word in ("show", "export", "status", "session", "doctor", "log", "log 20 E", "diag", "queue", "queue export"):
        await person.command(word)
    await person.command("test")
    await person.leave()


async def _upload(rig: QuickRig, location: str, status: str = "Uploaded") -> None:
    since = rig.mark()
    await rig.call("GetDiagnostics", {"location": location, "retries": 0})
    await rig.wait_call("DiagnosticsStatusNotification", since=since, timeout=20, status=status)


@system_test
async def test_the_secret_never_appears(tmp_path: Path) -> None:
    assert {row[0] for row in settings() if "S" in row[4]} <= set(SECRETS), "a secret that nobody looks for"
    desk = Desk()
    presets = {name: SECRETS[name] for name in ("ocpp.authorization_key", "service.pin")}
    http_login, ftp_login = SECRETS["login of an HTTP server"], SECRETS["login of an FTP server"]
    with FileServer(auth=("u", http_login)) as http, FtpServer(user="u", password=ftp_login) as ftp:
        async with QuickRig(
            tmp_path, IDENTITY, program=desk, settings=presets, csms={"basic_auth": KEY.encode()}
        ) as rig:
            person = Person(desk)
            await _console(person)
            # a session, and everything the central system can ask for
            transaction = await begin(rig)
            await rig.call("GetConfiguration")
            await rig.call("GetConfiguration", {"key": ["AuthorizationKey", "SecurityProfile"]})
            await rig.call("TriggerMessage", {"requestedMessage": "BootNotification"})
            await finish(rig, transaction)
            good, bad = (quote(text, safe="") for text in (http_login, http_login + "no"))
            await _upload(rig, http.url("/in/", f"u:{good}@"))
            await _upload(rig, http.url("/in/", f"u:{bad}@"), "UploadFailed")
            await _upload(rig, ftp.url("logs", f"u:{quote(ftp_login, safe='')}@"))
            await _upload(rig, ftp.url("logs", f"u:{bad}@"), "UploadFailed")
            await _upload(rig, f"nothing://u:{good}@127.0.0.1/x", "UploadFailed")
            since = rig.mark()
            update = {"location": http.url("/none", f"u:{good}@"), "retrieveDate": "2020-01-01T00:00:00Z", "retries": 0}
            await rig.call("UpdateFirmware", update)
            await rig.wait_call("FirmwareStatusNotification", since=since, timeout=20, status="DownloadFailed")
            # the wrong key: refused, then right again
            rig.csms.network.basic_auth = b"something else 1234"
            mark = rig.mark()
            await rig.csms.drop(rig.identity)
            await rig.wait_line("401", 30)
            rig.csms.network.basic_auth = KEY.encode()
            await reconnected(rig, mark, 60)
            # another key, by the central system
            new = SECRETS["key of the central system"]
            mark = rig.mark()
            answer = await rig.call("ChangeConfiguration", {"key": "AuthorizationKey", "value": new})
            assert answer == {"status": "Accepted"}, answer
            rig.csms.network.basic_auth = new.encode()
            await reconnected(rig, mark, 60)
            await _upload(rig, http.url("/last", f"u:{good}@"))
            # the next day
            mark = rig.mark()
            await rig.call("Reset", {"type": "Soft"})
            boot = await rig.wait_call("BootNotification", since=mark, timeout=DEADLINE_S)
            await rig.wait_call("StatusNotification", since=boot.n, timeout=DEADLINE_S, connectorId=1)
            await person.come()
            await person.command("diag")
            await person.command("log")
            assert await rig.stop_firmware(signal.SIGTERM) == 0
            _search(rig, person, http, ftp)


def _search(rig: QuickRig, person: Person, http: FileServer, ftp: FtpServer) -> None:
    """Look at all that left the charger."""
    places = {
        "console": person.seen,
        "output of the program": "\n".join([*rig._old_lines, *rig.firmware.lines]),
        "wire": "\n".join(frame.text for frame in rig.frames() if frame.direction == FROM_CHARGER),
        "uploads": "\n".join(data.decode() for data in [*http.uploads.values(), *ftp.files.values()]),
        "requests": repr([(method, path, _without_key(fields)) for method, path, fields in http.requests]),
        "FTP": repr([line for line in ftp.commands if not str(line).upper().startswith("PASS")]),
    }
    for file in sorted(rig.data.rglob("*")):
        name = file.relative_to(rig.data).as_posix()
        if file.is_file() and not name.startswith(KEEPERS):
            places[f"file {name}"] = file.read_bytes().decode("latin-1")
    assert len(http.uploads) >= 2 and ftp.files and len(places) > 7, places.keys()
    for kind in ("file log-events-new.txt", "file diagnostics.part"):
        assert kind in places, places.keys()
    assert "(set)" in places["console"] and "401" in places["output of the program"]
    found = {place: seen_in(text) for place, text in places.items()}
    assert not any(found.values()), {place: names for place, names in found.items() if names}
    kept = "".join(file.read_bytes().decode("latin-1") for file in rig.data.rglob("*") if file.is_file())
    assert seen_in(kept), "the keepers have them: the search sees the files"


def _without_key(fields: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in fields.items() if name != "authorization"}
