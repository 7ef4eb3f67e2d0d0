"""How a charge point reaches its central system, and who it is there."""

from cold import cold


class Access:
    """Address, identity and credentials of one charge point.

    `dial` is for ChargePoint; without `join` the central system cannot change the credentials.

    url, identity -- see url.endpoint; profile 2 turns ws:// into wss://, at tls_port (0: the port of the URL)
    key      -- AuthorizationKey of HTTP Basic: bytes, or text in one of its two forms (see access.key_of), or
                empty: none
    profile  -- security profile 0, 1 or 2 (security white paper for OCPP 1.6-J); None: the one that URL and key make
    cadata   -- roots that wss trusts: bytes, or the path of a file (str), read at every attempt
    check_hostname, allow_missing_subprotocol -- see wsclient.connect
    A change by the central system belongs to these values: with another url, identity, key or profile it is forgotten.
    """

    def __init__(
        self,
        url,
        identity,
        key="",
        profile=None,
        tls_port=0,
        cadata=None,
        check_hostname=True,
        allow_missing_subprotocol=False,
    ):
        self.values = (url, identity, key, profile, tls_port, cadata, check_hostname, allow_missing_subprotocol)
        self.tries = 0  # failures of what is on trial, since it was the turn of what is proven
        self.cp = None

    def join(self, cp):
        """Let the central system of this charge point see and change SecurityProfile, and change AuthorizationKey.

        What it sets is kept in the store of the charge point, under the name "access".
        """
        cp.access = self
        self.cp = cp
        cold("ocpp16.access").tell(self)

    def _attempt(self):  # not in the coroutine: its frame would keep the module
        return cold("ocpp16.access").attempt(self)

    async def dial(self, ping_interval_ms):
        """One attempt to connect; return the websocket. HandshakeError; ValueError, OSError: it cannot be tried."""
        import wsclient

        try:
            url, options = self._attempt()
            ws = await wsclient.connect(url, subprotocols=("ocpp1.6",), ping_interval_ms=ping_interval_ms, **options)
        except Exception as exc:
            cold("ocpp16.access").refused(self, exc)
            raise
        cold("ocpp16.access").welcome(self)
        return ws
