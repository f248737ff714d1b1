"""The first tables: authority, vouchers, review, hooks and the audit log."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, and a log without entries."""
    op.create_table(
        "checkpoints",
        sa.Column("size", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("size", name=op.f("pk_checkpoints")),
    )
    op.create_table(
        "devices",
        sa.Column("device_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("public_key", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account", sa.LargeBinary(length=16), nullable=False),
        sa.Column("enrolled_at", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("device_id", name=op.f("pk_devices")),
    )
    op.create_index(op.f("ix_devices_account"), "devices", ["account"], unique=False)
    op.create_table(
        "exports",
        sa.Column("export_id", sa.String(length=32), nullable=False),
        sa.Column("operator_id", sa.String(length=32), nullable=True),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("before_window", sa.BigInteger(), nullable=True),
        sa.Column("windows", sa.BigInteger(), nullable=False),
        sa.Column("vouchers", sa.BigInteger(), nullable=False),
        sa.Column("through", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.PrimaryKeyConstraint("export_id", name=op.f("pk_exports")),
    )
    op.create_table(
        "hooks",
        sa.Column("hook_id", sa.String(length=32), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("events", sa.Text(), nullable=False),
        sa.Column("made_by", sa.String(length=32), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("disabled_at", sa.BigInteger(), nullable=True),
        sa.Column("disabled_why", sa.String(length=32), nullable=True),
        sa.PrimaryKeyConstraint("hook_id", name=op.f("pk_hooks")),
    )
    op.create_table(
        "log_entries",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(length=24), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_log_entries")),
    )
    op.create_index(
        "ix_log_entries_no_receipt",
        "log_entries",
        ["position"],
        unique=False,
        sqlite_where=sa.text("kind <> 'receipt'"),
        postgresql_where=sa.text("kind <> 'receipt'"),
    )
    head = op.create_table(
        "log_head",
        sa.Column("one", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("frontier", sa.LargeBinary(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("one", name=op.f("pk_log_head")),
    )
    op.create_table(
        "log_tiles",
        sa.Column("level", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hashes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("level", "number", name=op.f("pk_log_tiles")),
    )
    op.create_table(
        "openings",
        sa.Column("opening_id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.LargeBinary(length=16), nullable=False),
        sa.Column("window_number", sa.BigInteger(), nullable=False),
        sa.Column("operator_id", sa.String(length=32), nullable=True),
        sa.Column("reported_at", sa.BigInteger(), nullable=False),
        sa.Column("result", sa.String(length=16), nullable=False),
        sa.Column("vouchers", sa.BigInteger(), nullable=False),
        sa.Column("report", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("opening_id", name=op.f("pk_openings")),
    )
    op.create_index("ix_openings_account_window_number", "openings", ["account", "window_number"], unique=False)
    op.create_table(
        "operators",
        sa.Column("operator_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("secret_hash", sa.Text(), nullable=False),
        sa.Column("scopes", sa.String(length=128), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("made_by", sa.String(length=32), nullable=True),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("operator_id", name=op.f("pk_operators")),
        sa.UniqueConstraint("name", name=op.f("uq_operators_name")),
    )
    op.create_table(
        "tokens",
        sa.Column("token_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("account", sa.LargeBinary(length=16), nullable=False),
        sa.Column("registered_by", sa.String(length=32), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("device_id", sa.LargeBinary(length=16), nullable=True),
        sa.Column("used_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("token_hash", name=op.f("pk_tokens")),
    )
    op.create_table(
        "windows",
        sa.Column("account", sa.LargeBinary(length=16), nullable=False),
        sa.Column("window_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("vouchers", sa.BigInteger(), nullable=False),
        sa.Column("counted_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("account", "window_number", name=op.f("pk_windows")),
    )
    op.create_index("ix_windows_window_number", "windows", ["window_number"], unique=False)
    op.create_table(
        "cases",
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.LargeBinary(length=16), nullable=False),
        sa.Column("window_number", sa.BigInteger(), nullable=False),
        sa.Column("opening_id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("opened_at", sa.BigInteger(), nullable=False),
        sa.Column("lease_by", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=True),
        sa.Column("closed_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["opening_id"], ["openings.opening_id"], name=op.f("fk_cases_opening_id")),
        sa.PrimaryKeyConstraint("case_id", name=op.f("pk_cases")),
    )
    op.create_index("ix_cases_closed_at", "cases", ["closed_at"], unique=False)
    op.create_index(op.f("ix_cases_state"), "cases", ["state"], unique=False)
    op.create_index("uq_cases_account_window_number", "cases", ["account", "window_number"], unique=True)
    op.create_table(
        "exported_windows",
        sa.Column("export_id", sa.String(length=32), nullable=False),
        sa.Column("account", sa.LargeBinary(length=16), nullable=False),
        sa.Column("window_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("vouchers", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["export_id"], ["exports.export_id"], name=op.f("fk_exported_windows_export_id")),
        sa.PrimaryKeyConstraint("export_id", "account", "window_number", name=op.f("pk_exported_windows")),
    )
    op.create_index(
        "ix_exported_windows_account_window_number", "exported_windows", ["account", "window_number"], unique=False
    )
    op.create_table(
        "hook_messages",
        sa.Column("message_id", sa.String(length=32), nullable=False),
        sa.Column("hook_id", sa.String(length=32), nullable=False),
        sa.Column("event", sa.String(length=32), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("due_at", sa.BigInteger(), nullable=False),
        sa.Column("last_status", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["hook_id"], ["hooks.hook_id"], name=op.f("fk_hook_messages_hook_id")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_hook_messages")),
    )
    op.create_index("ix_hook_messages_hook_id_made_at", "hook_messages", ["hook_id", "made_at"], unique=False)
    op.create_index("ix_hook_messages_state_due_at", "hook_messages", ["state", "due_at"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("session_hash", sa.LargeBinary(length=32), nullable=False),
        sa.Column("operator_id", sa.String(length=32), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["operator_id"], ["operators.operator_id"], name=op.f("fk_sessions_operator_id")),
        sa.PrimaryKeyConstraint("session_hash", name=op.f("pk_sessions")),
    )
    op.create_index(op.f("ix_sessions_operator_id"), "sessions", ["operator_id"], unique=False)
    op.create_table(
        "vouchers",
        sa.Column("device_id", sa.LargeBinary(length=16), nullable=False),
        sa.Column("window_number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("slot", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("voucher", sa.LargeBinary(), nullable=False),
        sa.Column("receipt", sa.LargeBinary(), nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["devices.device_id"], name=op.f("fk_vouchers_device_id")),
        sa.PrimaryKeyConstraint("device_id", "window_number", "slot", name=op.f("pk_vouchers")),
    )
    op.create_index(
        "ix_vouchers_received",
        "vouchers",
        ["position"],
        unique=False,
        sqlite_where=sa.text("state = 'received'"),
        postgresql_where=sa.text("state = 'received'"),
    )
    op.create_table(
        "case_decisions",
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("round", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("operator_id", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("decided_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_case_decisions_case_id")),
        sa.PrimaryKeyConstraint("case_id", "round", "operator_id", name=op.f("pk_case_decisions")),
    )
    op.create_table(
        "case_matches",
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("match", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_case_matches_case_id")),
        sa.PrimaryKeyConstraint("case_id", "number", name=op.f("pk_case_matches")),
    )
    op.create_table(
        "case_notes",
        sa.Column("note_id", sa.String(length=32), nullable=False),
        sa.Column("case_id", sa.String(length=32), nullable=False),
        sa.Column("operator_id", sa.String(length=32), nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["case_id"], ["cases.case_id"], name=op.f("fk_case_notes_case_id")),
        sa.PrimaryKeyConstraint("note_id", name=op.f("pk_case_notes")),
    )
    op.create_index(op.f("ix_case_notes_case_id"), "case_notes", ["case_id"], unique=False)
    op.bulk_insert(head, [{"one": 1, "size": 0, "frontier": bytes(8), "note": ""}])


def downgrade() -> None:
    """Remove all of them."""
    # ### commands auto generated by Alembic - please adjust! ###
    op.drop_index(op.f("ix_case_notes_case_id"), table_name="case_notes")
    op.drop_table("case_notes")
    op.drop_table("case_matches")
    op.drop_table("case_decisions")
    op.drop_index(
        "ix_vouchers_received",
        table_name="vouchers",
        sqlite_where=sa.text("state = 'received'"),
        postgresql_where=sa.text("state = 'received'"),
    )
    op.drop_table("vouchers")
    op.drop_index(op.f("ix_sessions_operator_id"), table_name="sessions")
    op.drop_table("sessions")
    op.drop_index("ix_hook_messages_state_due_at", table_name="hook_messages")
    op.drop_index("ix_hook_messages_hook_id_made_at", table_name="hook_messages")
    op.drop_table("hook_messages")
    op.drop_index("ix_exported_windows_account_window_number", table_name="exported_windows")
    op.drop_table("exported_windows")
    op.drop_index("uq_cases_account_window_number", table_name="cases")
    op.drop_index(op.f("ix_cases_state"), table_name="cases")
    op.drop_index("ix_cases_closed_at", table_name="cases")
    op.drop_table("cases")
    op.drop_index("ix_windows_window_number", table_name="windows")
    op.drop_table("windows")
    op.drop_table("tokens")
    op.drop_table("operators")
    op.drop_index("ix_openings_account_window_number", table_name="openings")
    op.drop_table("openings")
    op.drop_table("log_tiles")
    op.drop_table("log_head")
    op.drop_index(
        "ix_log_entries_no_receipt",
        table_name="log_entries",
        sqlite_where=sa.text("kind <> 'receipt'"),
        postgresql_where=sa.text("kind <> 'receipt'"),
    )
    op.drop_table("log_entries")
    op.drop_table("hooks")
    op.drop_table("exports")
    op.drop_index(op.f("ix_devices_account"), table_name="devices")
    op.drop_table("devices")
    op.drop_table("checkpoints")
    # ### end Alembic commands ###
