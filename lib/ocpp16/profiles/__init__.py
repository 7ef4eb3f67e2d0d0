"""Feature profiles: one module each, imported only when the board builds it in.

A module holds `on_<Action>(cp, payload) -> payload of the answer` for every CALL of its
profile that the central system may send. Payloads are validated before; a handler raises
`errors.OcppError` for what only it can know, answers at once and never waits: what takes time
starts through `cp.after_answer`. Only when the answer itself takes time is the handler a coroutine:
the next message is read when it has returned. Where the answer is long, the handler returns (module,
*arguments): the cold module whose `answer(*arguments)` makes it when nothing else is in its way.
"""
