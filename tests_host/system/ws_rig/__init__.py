"""A websocket fuzzing server that judges its client, written for the tests of lib/wsclient. See server.py."""

from .cases import CASES, Case
from .client import Client, client, say
from .server import Rig, Verdict

__all__ = ["CASES", "Case", "Client", "Rig", "Verdict", "client", "say"]
