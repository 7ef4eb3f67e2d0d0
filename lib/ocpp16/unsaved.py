"""How the tail of an outbox gets into the store. A cold module.

A stored call is `uid action tx keep`, a line end, and the text of its payload. Its tag (see journal_store) has what is
needed without reading it: from bit 3 on the transaction, then 4 if it may not be thinned out, and 1 StartTransaction,
2 StopTransaction, 3 DataTransfer or 0 MeterValues.
"""

from cold import cold
from micropython import const

from .outbox import KIND_STATUS

_LIMIT = const(32)  # messages in RAM while the storage fails
_KEPT = const(8)  # of them, MeterValues when it is full
_ENOSPC = const(28)
_CODES = {"StartTransaction": 1, "StopTransaction": 2, "DataTransfer": 3}


def save(outbox, urgent):
    """Store what is in RAM only, in order. Raises what went wrong; what could not be stored stays in RAM."""
    tail = outbox.tail
    saved = False
    for call in list(tail):
        if call.kind == KIND_STATUS:
            if saved:
                call.seq = outbox.last
            continue
        if call not in tail:
            continue
        try:
            store_call(outbox, call)
        except Exception as exc:
            if isinstance(exc, OSError) and exc.errno == _ENOSPC:
                _drop_meter_values(outbox, _KEPT if call.seq == 0 else 0)  # a second time: something is really full
            call.seq = -1
            _shorten(outbox)
            if call in tail:
                raise exc
            continue
        saved = True
        tail.remove(call)
        if outbox.head is None and outbox.store.pending(0, 1) == [call.seq]:
            outbox.head = call  # it need not be read again, or may be on its way
    _shorten(outbox)
    if urgent:
        outbox.store.flush()


def store_call(outbox, call):
    """Append a call to the store, durable with the next flush. OSError: that failed."""
    code = _CODES.get(call.action, 0)
    tag = (0 if call.tx is None else call.tx % 2047 + 1) << 3 | (4 if call.keep else 0) | code
    text = "%s %s %s %d\n%s" % (call.uid, call.action, call.tx, call.keep, call.text)
    while True:
        try:
            outbox.last = call.seq = outbox.store.append(text.encode(), code > 0, False, tag)
            return
        except OSError as exc:
            if exc.errno != _ENOSPC or not cold("ocpp16.backlog").thin(outbox, code > 0):
                raise exc


def _shorten(outbox):
    """The tail may be long: statuses that are history go, then MeterValues, then what is oldest."""
    tail = outbox.tail
    if len(tail) <= _LIMIT:
        return
    told = set()
    for call in reversed(list(tail)):
        if call.kind == KIND_STATUS:
            if call.tx in told:
                tail.remove(call)
            told.add(call.tx)
    _drop_meter_values(outbox, _LIMIT)
    while len(tail) > 2 * _LIMIT:
        outbox.gave_up += 1
        outbox.log.error("outbox", "%s lost: the storage fails" % tail.pop(0).action)


def _drop_meter_values(outbox, limit):
    """Take them out of the tail until it is no longer than that."""
    for keep in (False, True):
        for call in list(outbox.tail):
            if len(outbox.tail) > limit and call.action == "MeterValues" and call.keep == keep:
                outbox.tail.remove(call)
                outbox.thinned += 1
