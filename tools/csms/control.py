"""Control commands of the bench central system: a JSON object in, a JSON object out. README.md lists them."""

import asyncio
import json
import shlex
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tools.csms.behaviour import answer_from_json
from tools.csms.chargepoint import CallFailed, NotConnected
from tools.csms.frames import Frame
from tools.csms.server import BenchCsms

Request = dict[str, Any]
Send = Callable[[dict[str, Any]], None]

_ANSWER_TIMEOUT_S = 30.0


class Control:
    """Carries out commands for one or more peers. `quit_asked` is set by the command quit."""

    def __init__(self, csms: BenchCsms) -> None:
        self._csms = csms
        self.quit_asked = asyncio.Event()

    async def handle(self, line: str) -> dict[str, Any]:
        """One command line in, its answer out: {"ok": true, ...} or {"ok": false, "error": "..."}. Never raises."""
        try:
            request = parse_line(line)
            command = request.pop("cmd", None)
            method: Callable[[Request], Awaitable[dict[str, Any]]] | None = getattr(self, f"_do_{command}", None)
            if method is None:
                raise ValueError(f"unknown command {command!r}; known: {', '.join(self.commands())}")
            return {"ok": True} | await method(request)
        except CallFailed as error:
            return {"ok": False, "error": str(error), "code": error.code}
        except (NotConnected, TimeoutError, ValueError, TypeError, KeyError) as error:
            return {"ok": False, "error": f"{type(error).__name__}: {error}"}

    @classmethod
    def commands(cls) -> list[str]:
        """The names of all commands."""
        return sorted(name.removeprefix("_do_") for name in dir(cls) if name.startswith("_do_"))

    # CALLs to a charge point

    async def _do_start(self, r: Request) -> dict[str, Any]:
        payload = {"idTag": r.get("id_tag", "BENCH"), "connectorId": r.get("connector", 1)}
        return await self._call(r, "RemoteStartTransaction", payload)

    async def _do_stop(self, r: Request) -> dict[str, Any]:
        transaction = r.get("transaction")
        if transaction is None:
            cp = self._csms.charge_point(r.get("identity"))
            rows = self._csms.store.open_transactions(cp.identity)
            if not rows:
                raise ValueError("no transaction is open")
            transaction = rows[0]["transaction_id"]
        return await self._call(r, "RemoteStopTransaction", {"transactionId": transaction})

    async def _do_trigger(self, r: Request) -> dict[str, Any]:
        payload = {"requestedMessage": r["message"]}
        if "connector" in r:
            payload["connectorId"] = r["connector"]
        return await self._call(r, "TriggerMessage", payload)

    async def _do_get(self, r: Request) -> dict[str, Any]:
        keys = r.get("keys", [])
        keys = keys.split(",") if isinstance(keys, str) else keys
        return await self._call(r, "GetConfiguration", {"key": keys} if keys else {})

    async def _do_set(self, r: Request) -> dict[str, Any]:
        return await self._call(r, "ChangeConfiguration", {"key": r["key"], "value": str(r["value"])})

    async def _do_call(self, r: Request) -> dict[str, Any]:
        return await self._call(r, r["action"], r.get("payload", {}))

    async def _call(self, r: Request, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        timeout = float(r.get("timeout", _ANSWER_TIMEOUT_S))
        answer = await self._csms.call(
            r.get("identity"), action, payload, timeout, on_purpose=bool(r.get("on_purpose", False))
        )
        return {"answer": answer}

    # Behaviour

    async def _do_behave(self, r: Request) -> dict[str, Any]:
        answer = r.get("answer")
        answers = [answer_from_json(one) for one in answer] if isinstance(answer, list) else answer_from_json(answer)
        self._csms.behave(
            r.get("action"),
            message_id=r.get("message_id"),
            identity=r.get("identity"),
            answer=answers,
            delay=float(r.get("delay", 0)),
            times=r.get("times"),
        )
        return {"rules": len(self._csms.rules)}

    async def _do_forget(self, _r: Request) -> dict[str, Any]:
        self._csms.forget()
        return {}

    async def _do_register(self, r: Request) -> dict[str, Any]:
        self._csms.register(
            _one_of(r["status"], "Accepted Pending Rejected"), int(r.get("interval", 300)), r.get("identity")
        )
        return {}

    async def _do_tag(self, r: Request) -> dict[str, Any]:
        status = _one_of(r.get("status", "Accepted"), "Accepted Blocked Expired Invalid ConcurrentTx")
        if "id_tag" in r:
            self._csms.id_tag(r["id_tag"], status, r.get("parent"), r.get("expiry"))
        else:
            self._csms.unknown_id_tags(status)
        return {}

    async def _do_handshake(self, r: Request) -> dict[str, Any]:
        how = r.get("how", "normal")
        if not isinstance(how, int):
            _one_of(how, "normal", "no subprotocol", "wrong subprotocol")
        self._csms.handshake(how)
        return {}

    async def _do_network(self, r: Request) -> dict[str, Any]:
        state = _one_of(r["state"], "up down", "black hole")
        if state == "up":
            await self._csms.resume()
        else:
            await self._csms.stop_listening("black hole" if state == "black hole" else "refuse")
        return {"state": state}

    async def _do_drop(self, r: Request) -> dict[str, Any]:
        await self._csms.drop(r.get("identity"), r.get("code"), r.get("reason", ""))
        return {}

    async def _do_raw(self, r: Request) -> dict[str, Any]:
        data = bytes.fromhex(r["hex"]) if "hex" in r else r["text"]
        await self._csms.send_raw(r.get("identity"), data, r.get("how"))
        return {}

    # What happened

    async def _do_charge_points(self, _r: Request) -> dict[str, Any]:
        return {
            "charge_points": [
                {"identity": cp.identity, "connected": cp.socket is not None, "registered": cp.registered}
                for cp in self._csms.charge_points.values()
            ]
        }

    async def _do_rows(self, r: Request) -> dict[str, Any]:
        return {"rows": self._csms.store.rows(r.pop("table"), **r)}

    async def _do_transcript(self, r: Request) -> dict[str, Any]:
        frames = self._csms.frames(int(r.get("since", 0)), r.get("identity"), r.get("action"))
        return {
            "frames": [frame.to_dict() for frame in frames],
            "next": self._csms.mark(),
            "dropped": self._csms.transcript.dropped,
        }

    async def _do_violations(self, _r: Request) -> dict[str, Any]:
        return {"violations": [frame.to_dict() for frame in self._csms.violations]}

    async def _do_wait(self, r: Request) -> dict[str, Any]:
        fields: dict[str, Any] = r.get("where", {})
        frame = await self._csms.wait_for(
            r.get("action"),
            lambda payload: all(payload.get(name) == value for name, value in fields.items()),
            timeout=float(r.get("timeout", 10)),
            since=int(r.get("since", 0)),
            kind=r.get("kind", "CALL"),
            direction=r.get("direction", "in"),
            identity=r.get("identity"),
        )
        return {"frame": frame.to_dict()}

    async def _do_quit(self, _r: Request) -> dict[str, Any]:
        self.quit_asked.set()
        return {}

    async def _do_help(self, _r: Request) -> dict[str, Any]:
        return {"commands": [*self.commands(), "follow"]}


def parse_line(line: str) -> Request:
    """A JSON object, or for people: `command name=value ...`, values as JSON where they are, else as text.

    Raises ValueError."""
    if line.lstrip().startswith("{"):
        request = json.loads(line)
        if not isinstance(request, dict):
            raise ValueError("not an object")
        return request
    command, *rest = shlex.split(line) or [""]
    request = {"cmd": command}
    for item in rest:
        name, equals, value = item.partition("=")
        if not equals:
            raise ValueError(f"{item!r} is not name=value")
        try:
            request[name] = json.loads(value)
        except ValueError:
            request[name] = value
    return request


async def serve_peer(
    control: Control, csms: BenchCsms, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Serve one TCP peer, one answer per line in order, until it leaves. After {"cmd": "follow"} it also gets every
    frame as {"frame": {...}}; a peer that does not read is cut off instead of filling our memory."""

    def send(message: dict[str, Any]) -> None:
        if writer.transport.get_write_buffer_size() > 4 << 20:
            writer.transport.abort()
            return
        writer.write(json.dumps(message).encode() + b"\n")

    def follow(frame: Frame) -> None:
        send({"frame": frame.to_dict()})

    try:
        while line := await reader.readline():
            text = line.decode("utf-8", "replace").strip()
            if text in ('{"cmd": "follow"}', '{"cmd":"follow"}', "follow"):
                if follow not in csms.transcript.listeners:
                    csms.transcript.listeners.append(follow)
                send({"ok": True, "next": csms.mark()})
            elif text:
                send(await control.handle(text))
            await writer.drain()
    except (ConnectionError, ValueError):  # gone, or a line without end
        pass
    finally:
        if follow in csms.transcript.listeners:
            csms.transcript.listeners.remove(follow)
        writer.close()


def log_line(frame: Frame) -> str:
    """A readable line for the terminal: time of day, charge point, frame."""
    clock = time.strftime("%H:%M:%S", time.localtime(frame.wall)) + f".{int(frame.wall * 1000) % 1000:03d}"
    return f"{clock}  {frame.identity:<12} {frame}"


def _one_of(value: Any, words: str, *phrases: str) -> str:
    if value not in (*words.split(), *phrases):
        raise ValueError(f"{value!r} is not one of: {', '.join((*words.split(), *phrases))}")
    return str(value)
