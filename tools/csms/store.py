"""What a central system keeps of its charge points, in sqlite: open the file with any sqlite tool while it runs."""

import json
import sqlite3
from pathlib import Path
from typing import Any

_SCHEMA = """
CREATE TABLE IF NOT EXISTS boots (
    id INTEGER PRIMARY KEY, identity TEXT, received REAL, vendor TEXT, model TEXT, serial_number TEXT, firmware TEXT,
    answer TEXT);
CREATE TABLE IF NOT EXISTS statuses (
    id INTEGER PRIMARY KEY, identity TEXT, received REAL, connector INTEGER, status TEXT, error_code TEXT,
    vendor_error_code TEXT, info TEXT, timestamp TEXT);
CREATE TABLE IF NOT EXISTS transactions (
    id INTEGER PRIMARY KEY, identity TEXT, transaction_id INTEGER, connector INTEGER, id_tag TEXT, id_tag_status TEXT,
    meter_start INTEGER, start_timestamp TEXT, meter_stop INTEGER, stop_timestamp TEXT, reason TEXT, stop_id_tag TEXT,
    remote_stopped INTEGER DEFAULT 0, ended_sampling INTEGER DEFAULT 0);
CREATE TABLE IF NOT EXISTS meter_values (
    id INTEGER PRIMARY KEY, identity TEXT, received REAL, connector INTEGER, transaction_id INTEGER, timestamp TEXT,
    context TEXT, measurand TEXT, value TEXT, unit TEXT);
CREATE TABLE IF NOT EXISTS vehicle_info (
    id INTEGER PRIMARY KEY, identity TEXT, received REAL, connector INTEGER, soc REAL, max_current REAL, voltage REAL,
    current REAL, temperature REAL, data TEXT);
CREATE TABLE IF NOT EXISTS session_summary (
    id INTEGER PRIMARY KEY, identity TEXT, received REAL, transaction_id INTEGER, final_soc REAL,
    energy_delivered REAL, duration_minutes REAL, data TEXT);
CREATE INDEX IF NOT EXISTS of_transaction ON transactions (identity, transaction_id);
"""

Row = dict[str, Any]


class Store:
    """All tables. One process, one connection, every write committed at once (`db`: ":memory:" or a file).

    Writing is for `logic.py`; `rows` is for everybody."""

    def __init__(self, db: str | Path = ":memory:") -> None:
        self._db = sqlite3.connect(db, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = OFF")  # a bench may lose its last rows in a power cut
        self._db.executescript(_SCHEMA)

    def close(self) -> None:
        """Close the file; a second time is no error."""
        self._db.close()

    def rows(self, table: str, **equal: Any) -> list[Row]:
        """Rows of `table`, oldest first, whose columns equal what is given."""
        if not table.isidentifier() or not all(name.isidentifier() for name in equal):
            raise ValueError(table)
        where = " AND ".join(f"{name} IS ?" for name in equal) or "1"
        return self._select(f"SELECT * FROM {table} WHERE {where} ORDER BY id", *equal.values())

    def add(self, table: str, **columns: Any) -> None:
        """Insert one row."""
        names, marks = ", ".join(columns), ", ".join("?" * len(columns))
        self._db.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))

    def _select(self, sql: str, *args: Any) -> list[Row]:
        return [dict(row) for row in self._db.execute(sql, args)]

    def _first(self, sql: str, *args: Any) -> Row | None:
        rows = self._select(sql, *args)
        return rows[0] if rows else None

    # Transactions

    def open_transactions(self, identity: str) -> list[Row]:
        """Started and not stopped, newest first."""
        return self._select(
            "SELECT * FROM transactions WHERE identity = ? AND stop_timestamp IS NULL ORDER BY id DESC", identity
        )

    def same_start(self, identity: str, payload: Row) -> Row | None:
        """The transaction that this very StartTransaction began before: a repeat must not begin a second one."""
        return self._first(
            "SELECT * FROM transactions WHERE identity = ? AND connector = ? AND id_tag = ? AND meter_start = ?"
            " AND start_timestamp = ? ORDER BY id DESC",
            identity,
            payload.get("connectorId"),
            payload.get("idTag"),
            payload.get("meterStart"),
            payload.get("timestamp"),
        )

    def stop(self, identity: str, payload: Row) -> Row | None:
        """Record a StopTransaction; the transaction as it was, None when there is no such one."""
        row = self._first(
            "SELECT * FROM transactions WHERE identity = ? AND transaction_id = ? ORDER BY id DESC",
            identity,
            payload.get("transactionId"),
        )
        if row:
            self._db.execute(
                "UPDATE transactions SET meter_stop = ?, stop_timestamp = ?, reason = ?, stop_id_tag = ? WHERE id = ?",
                (
                    payload.get("meterStop"),
                    payload.get("timestamp"),
                    payload.get("reason", "Local"),  # OCPP 1.6 section 6.45: the reason may be left out for Local
                    payload.get("idTag"),
                    row["id"],
                ),
            )
        return row

    def mark(self, identity: str, transaction_id: int, column: str) -> None:
        """Set a flag of the open transaction: remote_stopped or ended_sampling."""
        if column not in ("remote_stopped", "ended_sampling"):
            raise ValueError(column)
        self._db.execute(
            f"UPDATE transactions SET {column} = 1"
            " WHERE identity = ? AND transaction_id = ? AND stop_timestamp IS NULL",
            (identity, transaction_id),
        )

    # Messages with more than one row, or with data inside a string

    def add_meter_values(self, identity: str, received: float, payload: Row) -> None:
        """One row per sampled value; defaults of OCPP 1.6 section 7.43 filled in."""
        connector, transaction_id = payload.get("connectorId"), payload.get("transactionId")
        for value in payload.get("meterValue", ()):
            for sample in value.get("sampledValue", ()):
                self.add(
                    "meter_values",
                    identity=identity,
                    received=received,
                    connector=connector,
                    transaction_id=transaction_id,
                    timestamp=value.get("timestamp"),
                    context=sample.get("context", "Sample.Periodic"),
                    measurand=sample.get("measurand", "Energy.Active.Import.Register"),
                    value=sample.get("value"),
                    unit=sample.get("unit"),
                )
                if sample.get("context") == "Transaction.End" and isinstance(transaction_id, int):
                    self.mark(identity, transaction_id, "ended_sampling")

    def add_vehicle_info(self, identity: str, received: float, data: str) -> None:
        """Linked to the connector that went to Preparing last. A repeat in the same plug-in adds no second row."""
        values = json_object(data) or {}
        preparing = self._first(
            "SELECT connector, received FROM statuses WHERE identity = ? AND status = 'Preparing' ORDER BY id DESC",
            identity,
        )
        last = self._first("SELECT received, data FROM vehicle_info WHERE identity = ? ORDER BY id DESC", identity)
        if last and preparing and last["data"] == data and last["received"] >= preparing["received"]:
            return
        self.add(
            "vehicle_info",
            identity=identity,
            received=received,
            connector=preparing and preparing["connector"],
            soc=values.get("soc"),
            max_current=values.get("maxCurrent"),
            voltage=values.get("voltage"),
            current=values.get("current"),
            temperature=values.get("temperature"),
            data=data,
        )

    def add_session_summary(self, identity: str, received: float, data: str) -> None:
        """Linked to the transaction that is ending. A repeat adds no second row."""
        values = json_object(data) or {}
        ending = self._ending(identity)
        transaction_id = ending and ending["transaction_id"]
        if self.rows("session_summary", identity=identity, data=data, transaction_id=transaction_id):
            return
        self.add(
            "session_summary",
            identity=identity,
            received=received,
            transaction_id=transaction_id,
            final_soc=values.get("finalSoc"),
            energy_delivered=values.get("energyDelivered"),
            duration_minutes=values.get("durationMinutes"),
            data=data,
        )

    def _ending(self, identity: str) -> Row | None:
        """The message names no transaction: it is the open one that took its last sample, else the one we asked to
        stop, else the newest; a repeat belongs to the same one as its first try."""
        return self._first(
            "SELECT * FROM transactions WHERE identity = ? AND stop_timestamp IS NULL"
            " ORDER BY ended_sampling DESC, remote_stopped DESC, id DESC",
            identity,
        )


def json_object(text: object) -> Row | None:
    """`text` as a JSON object, None when it is anything else."""
    try:
        values = json.loads(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return values if isinstance(values, dict) else None
