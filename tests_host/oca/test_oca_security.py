"""OCA test cases of the connection: HTTP Basic, TLS, security profiles 1 and 2 (TC_073, TC_083 to TC_086).

Numbers and expectations: OCTT test case document, FINAL 2024-04.
"""

from functools import cache
from pathlib import Path
from typing import Any

from tests_host.oca.charger import REJECTED, Charger
from tests_host.oca.runner import oca
from tests_host.system.steps import RECONNECT_S, calls_of
from tools.csms.certificates import Certificates, make_certificates

KEY = b"OCA_OCTT_admin_test"
NEW_KEYS = (b"OCA_OCTT_admin_next", bytes(range(0xF0, 0x100)) + b"\x00:\xff\x80")  # a key may hold any byte
# TLS suites a charge point must offer: both of one family (security white paper, edition 3, section 4.2).
SUITES = (
    {"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"},
    {"AES128-GCM-SHA256", "AES256-GCM-SHA384"},
)


def _basic(_folder: Path) -> dict[str, Any]:
    """Security profile 1: HTTP Basic."""
    return {
        "settings": {"ocpp.authorization_key": KEY.hex().upper(), "ocpp.security_profile": "1"},
        "csms": {"basic_auth": KEY},
    }


def _tls(folder: Path) -> dict[str, Any]:
    """Security profile 2: HTTP Basic over TLS with a verified server."""
    certificates = _certificates(folder)
    context = certificates.server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")  # so that every suite which the charger offers is seen
    return {
        "settings": {
            "ocpp.authorization_key": KEY.hex().upper(),
            "ocpp.security_profile": "2",
            "ocpp.ca_file": str(certificates.ca_file),
        },
        "csms": {"basic_auth": KEY, "ssl": context},
    }


def _basic_with_roots(folder: Path) -> dict[str, Any]:
    """Security profile 1, and the roots that profile 2 needs."""
    presets = _basic(folder)
    presets["settings"]["ocpp.ca_file"] = str(_certificates(folder).ca_file)
    return presets


@cache
def _certificates(folder: Path) -> Certificates:
    """Those of the central system of the case in this folder."""
    (folder / "certificates").mkdir(parents=True)
    return make_certificates(folder / "certificates", "127.0.0.1", 7)


def _failures(cp: Charger) -> list[str]:
    """The charger's own words about attempts to connect that failed."""
    return [line for line in cp.firmware.lines if "ocpp: connection:" in line]


async def _reconnected(cp: Charger, mark: int) -> None:
    """The connection ends, a new one begins and works; it is no boot."""
    await cp.csms.wait_for(kind="CLOSE", since=mark)
    opened = await cp.csms.wait_for(kind="OPEN", since=mark, timeout=RECONNECT_S)
    status = await cp.wait_call("StatusNotification", since=opened.n, connectorId=1)
    assert status.payload["status"] == "Available"
    await cp.settled()
    assert "BootNotification" not in cp.calls(opened.n)


@oca(_basic)
async def test_tc_073_new_basic_auth_password(cp: Charger) -> None:
    for key in NEW_KEYS:
        mark = cp.mark()
        cp.csms.network.basic_auth = key  # from the next handshake on
        await cp.set("AuthorizationKey", key.hex().upper())
        await _reconnected(cp, mark)
        assert key.hex() not in str(await cp.call("GetConfiguration")).lower()


@oca(_basic_with_roots)
async def test_tc_083_upgrade_security_profile(cp: Charger) -> None:
    """From 1 to 2, on the same port; afterwards there is no way back to 1."""
    mark = cp.mark()
    await cp.set("SecurityProfile", "2")
    await cp.csms.stop_listening()
    cp.csms.network.tls = _certificates(cp.data.parent.parent).server_context()
    await cp.csms.resume()
    await _reconnected(cp, mark)
    assert await cp.get("SecurityProfile") == "2"
    mark = cp.mark()
    await cp.csms.stop_listening()
    cp.csms.network.tls = None
    await cp.csms.resume()
    failures = len(_failures(cp))
    await cp.firmware.wait_line(lambda _line: len(_failures(cp)) >= failures + 2, 30)
    assert not [frame for frame in cp.frames(mark) if frame.kind == "OPEN"]


@oca(_tls)
async def test_tc_084_downgrade_security_profile(cp: Charger) -> None:
    for lower in ("0", "1"):
        answer = await cp.call("ChangeConfiguration", {"key": "SecurityProfile", "value": lower})
        assert answer == REJECTED, lower
    assert await cp.get("SecurityProfile") == "2"


@oca(_basic)
async def test_tc_085_basic_auth(cp: Charger) -> None:
    """The central system compares user and key of the header with identity and KEY, and refuses everything else."""
    assert calls_of(cp)[0].action == "BootNotification"
    await cp.settled()


@oca(_tls)
async def test_tc_086_tls_server_certificate(cp: Charger) -> None:
    """TLS 1.2 or newer, the suites of the white paper, HTTP Basic inside (as in TC_085)."""
    assert calls_of(cp)[0].action == "BootNotification"
    tls = cp.csms.charge_point().connected().transport.get_extra_info("ssl_object")
    assert tls.version() in ("TLSv1.2", "TLSv1.3")
    offered = {name for name, _, _ in tls.shared_ciphers()}
    assert any(suites <= offered for suites in SUITES), offered
