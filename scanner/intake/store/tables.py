"""What the intake keeps, in SQLite or PostgreSQL. Times are seconds since 1970; ids are raw bytes or lower-case hex.

    authority   OPERATORS, SESSIONS, TOKENS, DEVICES
    vouchers    VOUCHERS, WINDOWS, EXPORTS, EXPORTED_WINDOWS, OPENINGS
    review      CASES, CASE_MATCHES, CASE_NOTES, CASE_DECISIONS
    hooks       HOOKS, HOOK_MESSAGES
    audit log   LOG_HEAD, LOG_ENTRIES, LOG_TILES, CHECKPOINTS

The tables of a database are made and changed by the migrations beside this file alone; a test holds the two equal.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Index, LargeBinary, MetaData, String, Table, Text, text

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_HEX = String(32)  # 16 random bytes in hexadecimal

OPERATORS = Table(
    "operators",
    METADATA,
    Column("operator_id", _HEX, primary_key=True),
    Column("name", String(64), nullable=False, unique=True),
    Column("secret_hash", Text, nullable=False),  # argon2id, in its own text form
    Column("scopes", String(128), nullable=False),  # sorted, a space between
    Column("made_at", BigInteger, nullable=False),
    Column("made_by", _HEX),  # null: made at the machine
    Column("revoked_at", BigInteger),
)

SESSIONS = Table(
    "sessions",
    METADATA,
    Column("session_hash", LargeBinary(32), primary_key=True),  # SHA-256 of what the cookie holds
    Column("operator_id", ForeignKey("operators.operator_id"), nullable=False, index=True),
    Column("began_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
)

TOKENS = Table(
    "tokens",
    METADATA,
    Column("token_hash", LargeBinary(32), primary_key=True),  # SHA-256 of the one-time token
    Column("account", LargeBinary(16), nullable=False),
    Column("registered_by", _HEX, nullable=False),
    Column("registered_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    Column("device_id", LargeBinary(16)),  # who used it
    Column("used_at", BigInteger),
)

DEVICES = Table(
    "devices",
    METADATA,
    Column("device_id", LargeBinary(16), primary_key=True),
    Column("public_key", LargeBinary(32), nullable=False),
    Column("account", LargeBinary(16), nullable=False, index=True),
    Column("enrolled_at", BigInteger, nullable=False),
    Column("revoked_at", BigInteger),
)

VOUCHERS = Table(
    "vouchers",
    METADATA,
    Column("device_id", ForeignKey("devices.device_id"), primary_key=True),
    Column("window_number", BigInteger, primary_key=True, autoincrement=False),
    Column("slot", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(32), nullable=False),
    Column("voucher", LargeBinary, nullable=False),
    Column("receipt", LargeBinary, nullable=False),
    Column("position", BigInteger, nullable=False),  # of its receipt in the audit log
    Column("state", String(8), nullable=False),  # see lifecycle.py
    Index("ix_vouchers_received", "position", sqlite_where=text("state = 'received'"),
          postgresql_where=text("state = 'received'")),
)  # fmt: skip

WINDOWS = Table(
    "windows",
    METADATA,
    Column("account", LargeBinary(16), primary_key=True),
    Column("window_number", BigInteger, primary_key=True, autoincrement=False),
    Column("vouchers", BigInteger, nullable=False),  # counted so far
    Column("counted_at", BigInteger, nullable=False),
    Index("ix_windows_window_number", "window_number"),
)

EXPORTS = Table(
    "exports",
    METADATA,
    Column("export_id", _HEX, primary_key=True),
    Column("operator_id", _HEX),  # null: made at the machine
    Column("made_at", BigInteger, nullable=False),
    Column("before_window", BigInteger),  # null: all
    Column("windows", BigInteger, nullable=False),
    Column("vouchers", BigInteger, nullable=False),
    Column("through", BigInteger, nullable=False),  # holds vouchers of log positions below this
    Column("digest", LargeBinary(32), nullable=False),  # SHA-256 of the file
)

EXPORTED_WINDOWS = Table(
    "exported_windows",
    METADATA,
    Column("export_id", ForeignKey("exports.export_id"), primary_key=True),
    Column("account", LargeBinary(16), primary_key=True),
    Column("window_number", BigInteger, primary_key=True, autoincrement=False),
    Column("vouchers", BigInteger, nullable=False),
    Index("ix_exported_windows_account_window_number", "account", "window_number"),
)

OPENINGS = Table(
    "openings",
    METADATA,
    Column("opening_id", _HEX, primary_key=True),
    Column("account", LargeBinary(16), nullable=False),
    Column("window_number", BigInteger, nullable=False),
    Column("operator_id", _HEX),  # null: reported at the machine
    Column("reported_at", BigInteger, nullable=False),
    Column("result", String(16), nullable=False),
    Column("vouchers", BigInteger, nullable=False),
    Column("report", LargeBinary, nullable=False),  # what the opener said, canonical JSON
    Index("ix_openings_account_window_number", "account", "window_number"),
)

CASES = Table(
    "cases",
    METADATA,
    Column("case_id", _HEX, primary_key=True),
    Column("account", LargeBinary(16), nullable=False),
    Column("window_number", BigInteger, nullable=False),
    Column("opening_id", ForeignKey("openings.opening_id"), nullable=False),
    Column("state", String(12), nullable=False, index=True),  # see cases/lifecycle.py
    Column("opened_at", BigInteger, nullable=False),
    Column("lease_by", _HEX),
    Column("lease_until", BigInteger),
    Column("outcome", String(16)),
    Column("closed_at", BigInteger),
    Index("uq_cases_account_window_number", "account", "window_number", unique=True),
    Index("ix_cases_closed_at", "closed_at"),
)

CASE_MATCHES = Table(
    "case_matches",
    METADATA,
    Column("case_id", ForeignKey("cases.case_id"), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("match", LargeBinary, nullable=False),  # canonical JSON: what the voucher told
)

CASE_NOTES = Table(
    "case_notes",
    METADATA,
    Column("note_id", _HEX, primary_key=True),
    Column("case_id", ForeignKey("cases.case_id"), nullable=False, index=True),
    Column("operator_id", _HEX, nullable=False),
    Column("written_at", BigInteger, nullable=False),
    Column("text", Text, nullable=False),
)

CASE_DECISIONS = Table(
    "case_decisions",
    METADATA,
    Column("case_id", ForeignKey("cases.case_id"), primary_key=True),
    Column("round", BigInteger, primary_key=True, autoincrement=False),
    Column("operator_id", _HEX, primary_key=True),
    Column("outcome", String(16), nullable=False),
    Column("reason", Text, nullable=False),
    Column("decided_at", BigInteger, nullable=False),
)

HOOKS = Table(
    "hooks",
    METADATA,
    Column("hook_id", _HEX, primary_key=True),
    Column("url", Text, nullable=False),
    Column("events", Text, nullable=False),  # sorted, a space between
    Column("made_by", _HEX, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("disabled_at", BigInteger),
    Column("disabled_why", String(32)),
)

HOOK_MESSAGES = Table(
    "hook_messages",
    METADATA,
    Column("message_id", _HEX, primary_key=True),
    Column("hook_id", ForeignKey("hooks.hook_id"), nullable=False),
    Column("event", String(32), nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    Column("state", String(12), nullable=False),  # waiting, sending, delivered, given-up
    Column("attempts", BigInteger, nullable=False),
    Column("due_at", BigInteger, nullable=False),  # when it is sent next, its lease ends, or an ended one is deleted
    Column("last_status", BigInteger),  # 0: no answer; -1: not a public address
    Column("ended_at", BigInteger),
    Index("ix_hook_messages_state_due_at", "state", "due_at"),
    Index("ix_hook_messages_hook_id_made_at", "hook_id", "made_at"),
)

LOG_HEAD = Table(
    "log_head",
    METADATA,
    Column("one", BigInteger, primary_key=True, autoincrement=False),  # always 1: whoever writes locks this row
    Column("size", BigInteger, nullable=False),
    Column("frontier", LargeBinary, nullable=False),
    Column("note", Text, nullable=False),  # the newest checkpoint, signed
)

LOG_ENTRIES = Table(
    "log_entries",
    METADATA,
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", String(24), nullable=False),
    Column("at", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),  # what the leaf is the hash of
    Index("ix_log_entries_no_receipt", "position", sqlite_where=text("kind <> 'receipt'"),
          postgresql_where=text("kind <> 'receipt'")),
)  # fmt: skip

LOG_TILES = Table(
    "log_tiles",
    METADATA,
    Column("level", BigInteger, primary_key=True, autoincrement=False),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("hashes", LargeBinary, nullable=False),  # 256 hashes of 32 bytes
)

CHECKPOINTS = Table(
    "checkpoints",
    METADATA,
    Column("size", BigInteger, primary_key=True, autoincrement=False),
    Column("made_at", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
)
