"""wss with certificate verification and HTTP Basic, end to end; and what must never connect."""

from pathlib import Path
from typing import Any

from tests_host.system.rig import system_test
from tests_host.system.steps import REMOTE_STOP, QuickRig, assert_sent_once, reconnected, together, whole_session
from tools.csms.certificates import Certificates, make_certificates

KEY = "0123456789abcdef"
_TRIES_S = 20.0


def _certificates(folder: Path, host: str = "127.0.0.1", days: int = 7) -> Certificates:
    folder.mkdir(parents=True)
    return make_certificates(folder, host, days)


def _secure(path: Path, name: str, server: Certificates, trusted: Path, key: str = KEY, **more: Any) -> QuickRig:
    """A charger that trusts `trusted` and sends `key`, and a central system with TLS that wants KEY."""
    return QuickRig(
        path,
        name,
        settings={"ocpp.ca_file": str(trusted), "ocpp.authorization_key": key},
        csms={"ssl": server.server_context(), "basic_auth": KEY.encode()},
        **more,
    )


async def _session(path: Path) -> None:
    """A whole session, a reconnect in it; an identity that must be encoded in the URL but not in the user name."""
    server = _certificates(path / "good")
    async with _secure(path, "RDAM 123", server, server.ca_file) as rig:
        assert rig.csms.url.startswith("wss://")
        await whole_session(rig)
        mark = rig.mark()
        await rig.csms.drop(rig.identity)
        await reconnected(rig, mark)
        await whole_session(rig)
        rig.assert_session(REMOTE_STOP.session)
        rig.assert_schemas()
        assert_sent_once(rig)
        assert KEY not in "\n".join(rig.firmware.lines), "the key is in the log"
        answer = await rig.call("GetConfiguration")
        assert KEY not in str(answer)


async def _basic(path: Path) -> None:
    """The key without TLS."""
    settings = {"ocpp.authorization_key": KEY}
    async with QuickRig(path, "basic", settings=settings, csms={"basic_auth": KEY.encode()}) as rig:
        await whole_session(rig)
        rig.assert_session(REMOTE_STOP.session)


async def _never(rig: QuickRig, why: str) -> None:
    """It tries again and again, says why, and sends nothing."""
    async with rig:
        await rig.firmware.wait_line(lambda _line: sum(why in line for line in rig.firmware.lines) >= 2, _TRIES_S)
        assert not rig.frames(), "it connected"
        assert KEY not in "\n".join(rig.firmware.lines), "the key is in the log"


@system_test
async def test_only_who_is_verified(tmp_path: Path) -> None:
    server, other = _certificates(tmp_path / "server"), _certificates(tmp_path / "other")
    elsewhere, expired = _certificates(tmp_path / "name", "elsewhere.example"), _certificates(tmp_path / "old", days=-1)

    basic = {"basic_auth": KEY.encode()}

    def rig(name: str, server: Certificates, trusted: Path, key: str = KEY) -> QuickRig:
        return _secure(tmp_path, name, server, trusted, key, wait_registered=False)

    await together(
        session=_session(tmp_path),
        wrong_authority=_never(rig("authority", server, other.ca_file), "certificate"),
        wrong_name=_never(rig("name-of-host", elsewhere, elsewhere.ca_file), "certificate"),
        expired=_never(rig("expired", expired, expired.ca_file), "certificate"),
        wrong_key=_never(rig("key", server, server.ca_file, "wrong" + KEY), "401"),
        no_key=_never(QuickRig(tmp_path, "no-key", csms=basic, wait_registered=False), "401"),
        unknown=_never(QuickRig(tmp_path, "?", csms={"identities": ["CP-1"]}, wait_registered=False), "404"),
        basic=_basic(tmp_path),
    )
