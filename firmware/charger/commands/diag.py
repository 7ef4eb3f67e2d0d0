"""diag: the whole snapshot that GetDiagnostics uploads. A cold module."""

from cold import cold


async def _diag(console, text):
    if text:
        raise ValueError("diag has no arguments")
    if not cold("charger.maintenance").may_tell(console.app):
        raise ValueError("Not while a session runs: it needs the memory.")
    for piece in cold("charger.diagnostics").pieces(console.app):
        await console.say(piece[:-1])


COMMANDS = (_diag,)  # in the order of table.py
