"""Messages that were given up after too many attempts: kept, listed, sent once more. A cold module.

StartTransaction, StopTransaction and ordered DataTransfers, the newest 32. Source: OCPP 1.6 edition 2, section 3.7.1
(what becomes of a message that the central system does not process is left to the charge point).
"""

from cold import cold

from .outbox import TX


def bury(outbox, call):
    """Keep a call that is given up, with the transactionId that it had."""
    store = outbox.store
    seq = call.seq
    try:
        if TX.encode() in store.read(seq):  # its name will not be known for ever
            cold("ocpp16.unsaved").store_call(outbox, call)
            store.bury(call.seq)
            call.seq = seq
        else:
            store.bury(seq)
            call.seq = 0
    except Exception as exc:  # noqa: BLE001 - the queue must go on
        call.seq = seq
        outbox.log.error("outbox", exc)


def listed(store):
    """[(number, action, message id, text of the payload)], oldest first. What is unreadable is left out."""
    found = []
    for seq in store.buried():
        try:
            head, _, text = str(store.read(seq), "utf-8").partition("\n")
            uid, action = head.split(" ")[:2]
        except (KeyError, ValueError):
            continue
        found.append((seq, action, uid, text))
    return found


def resend(outbox, number):
    """Send it once more, the same to the byte, before what else waits. KeyError: there is no such dead letter."""
    _check(outbox.store, number)
    outbox.store.bury(number, True)
    outbox.event.set()


def drop(store, number):
    """Forget it. KeyError: there is no such dead letter."""
    _check(store, number)
    store.discard(number)


def _check(store, number):
    if number not in store.buried():
        raise KeyError(number)
