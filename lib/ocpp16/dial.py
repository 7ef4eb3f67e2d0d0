"""How a charge point reaches its central system."""

from cold import cold


def dialer(url, identity, authorization_key=None, cadata=None, check_hostname=True, allow_missing_subprotocol=False):
    """Return `async dial(ping_interval_ms) -> websocket` for that central system.

    authorization_key -- bytes or None: HTTP Basic with the identity as user (security white paper, profile 1 and 2)
    cadata -- PEM or DER bytes of the accepted root for wss
    """
    full_url = cold("ocpp16.url").endpoint(url, identity)
    user = identity.encode() if authorization_key is not None else None

    async def dial(ping_interval_ms):
        import wsclient

        return await wsclient.connect(
            full_url,
            subprotocols=("ocpp1.6",),
            user=user,
            password=authorization_key,
            cadata=cadata,
            check_hostname=check_hostname,
            allow_missing_subprotocol=allow_missing_subprotocol,
            ping_interval_ms=ping_interval_ms,
        )

    return dial
