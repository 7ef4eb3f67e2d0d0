"""Where the charge point keeps what must survive a power cut: a queue of numbered byte strings, and named values.

The face of a store; `ramstore.RamStore` has it, too:

    append(data, vital=False, urgent=True, tag=0) -> number, which only grows, also across reboots
        vital: may use the space kept for what is never thinned; urgent: durable when it returns, else within 60 s;
        tag: 0..16383
    read(number) -> data; KeyError when it is not there (or was damaged)
    tag(number)              without reading the data; the record must be there
    discard(number, urgent=True)   after the answer; unknown numbers are ignored; never raises
    bury(number, back=False) keep it, but out of the queue: a dead letter. One more than 32 replaces the oldest.
                             back: into the queue again, in its old place
    pending(after=0, limit=None), buried() -> numbers, ascending
    put(name, value, urgent=True)  replace a small JSON-able value; None deletes
    get(name, default=None)  the default also when its type is another: such a value is damaged, too
    flush(), tick()          write now what waits; call tick about once a second
    folder                   where others may keep files of their own; None: nowhere

OSError: the storage failed or is full (ENOSPC); nothing was changed.
"""

from cold import cold
from journal import Journal
from micropython import const

_BURIED = const(2)  # kinds of records, see journal_values
_REST = "ocpp16.journal_values"


class JournalStore(Journal):
    """A journal with the face of a store, open. OSError when there is no file system.

    Arguments as of Journal. Names have up to 48 bytes and no space.
    """

    def __init__(self, files, clock, **limits):
        cold(_REST).fill(self, files, clock, limits)

    def bury(self, seq, back=False):
        cold(_REST).bury(self, seq, back)

    pending = Journal.numbers

    def buried(self):
        return self.numbers(0, None, _BURIED)

    def put(self, name, value, urgent=True):
        cold(_REST).put(self, name, value, urgent)

    def get(self, name, default=None):
        return cold(_REST).get(self, name, default)
