"""Follow the audit log, and know what the tables must hold: all but vouchers and what is counted of them.

Rules: an entry changes what it says and nothing else; an entry that can't follow on those before it is refused; where
the log has a digest, so has the expected row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from sqlalchemy import Table

from scanner.intake.audit.comparing import Digest, Key
from scanner.intake.audit.entries import Entry
from scanner.intake.cases.lifecycle import TRANSITIONS, CaseOutcome, CaseState, CaseStep, step_of
from scanner.intake.hooks.registry import Why
from scanner.intake.store.tables import (
    CASE_DECISIONS,
    CASE_MATCHES,
    CASE_NOTES,
    CASES,
    DEVICES,
    EXPORTS,
    HOOKS,
    OPENINGS,
    OPERATORS,
    SESSIONS,
    TOKENS,
)

Place: TypeAlias = tuple[bytes, int]
"""Account and window."""


class ReplayError(ValueError):
    """The entry says what can't have happened after those before it."""


class Replay:
    """The tables, as far as the log has been read.

    Attributes:
        rows: of each table, by primary key.
        cases: the cases there are, by account and window.
        listed: the digest of each export's windows, by its id.
    """

    def __init__(self) -> None:
        self.rows: dict[Table, dict[Key, dict[str, Any]]] = {table: {} for table in REPLAYED}
        self.cases: dict[Place, str] = {}
        self.listed: dict[str, bytes] = {}
        self._openings: dict[Place, list[str]] = {}
        self._parts: dict[str, list[tuple[Table, Key]]] = {}  # of each case
        self._round: dict[str, list[CaseOutcome]] = {}  # what was decided of a case in its round

    def follow(self, entry: Entry) -> None:
        """Take what an entry says; those of other tables say nothing here.

        Raises:
            ReplayError: it can't be.
            ValueError, KeyError: it is about what is not there, or in a word that is none.
        """
        step = self._STEPS.get(entry.kind)
        if step is not None:
            step(self, entry.at, **entry.fields)

    def place_of(self, case: str) -> Place:
        """The account and window of a case.

        Raises:
            KeyError: there is no such case.
        """
        row = self.rows[CASES][(case,)]
        return row["account"], row["window_number"]

    def forget_openings(self, place: Place) -> None:
        """Take away the openings of an account's window, whose last voucher is deleted or whose case is."""
        for opening in self._openings.pop(place, ()):
            del self.rows[OPENINGS][(opening,)]

    def _add(self, table: Table, *key: Any, **row: Any) -> None:
        if self.rows[table].setdefault(key, row) is not row:
            raise ReplayError("it makes a row that is there already")

    def _enrolment(self, at: int, *, device: bytes, account: bytes, public_key: bytes, token: bytes | None) -> None:
        self._add(DEVICES, device, public_key=public_key, account=account, enrolled_at=at, revoked_at=None)
        if token is not None:
            used = self.rows[TOKENS][(token,)]
            if used["device_id"] is not None:
                raise ReplayError("its token was used up")
            used |= {"device_id": device, "used_at": at}

    def _revocation(self, at: int, *, device: bytes, by: str) -> None:
        self.rows[DEVICES][(device,)]["revoked_at"] = at

    def _token(self, at: int, *, token: bytes, account: bytes, expires: int, by: str) -> None:
        row = {"account": account, "registered_by": by, "registered_at": at, "expires_at": expires}
        self._add(TOKENS, token, **row, device_id=None, used_at=None)

    def _export(self, at: int, *, export: str, by: str | None, before: int | None, listed: bytes, **told: Any) -> None:
        self._add(EXPORTS, export, operator_id=by, made_at=at, before_window=before, **told)
        self.listed[export] = listed

    def _opening(
        self, at: int, *, opening: str, by: str | None, account: bytes, window: int, digest: bytes, **told: Any
    ) -> None:
        row = {"account": account, "window_number": window, "operator_id": by, "reported_at": at}
        self._add(OPENINGS, opening, **row, **told, report=Digest(digest))
        self._openings.setdefault((account, window), []).append(opening)

    def _case(self, at: int, *, case: str, account: bytes, window: int, opening: str, matches: list[bytes]) -> None:
        before = self.rows[CASES].get((case,))
        if before is None:
            row = {"account": account, "window_number": window, "state": CaseState.WAITING.value, "opened_at": at}
            self._add(CASES, case, **row, opening_id=opening, outcome=None, closed_at=None)
            if self.cases.setdefault((account, window), case) != case:
                raise ReplayError("the account's window has a case")
        else:
            state = CaseState(before["state"])
            follows = TRANSITIONS[CaseStep.REOPEN].get(state, state)
            before |= {"state": follows.value, "opening_id": opening, "outcome": None, "closed_at": None}
        self._round[case] = []
        parts = self._parts.setdefault(case, [])
        for number, digest in enumerate(matches):
            key = (case, number)
            wanted = {"match": Digest(digest)}
            if self.rows[CASE_MATCHES].get(key) is None:
                parts.append((CASE_MATCHES, key))
            self.rows[CASE_MATCHES][key] = wanted

    def _note(self, at: int, *, note: str, case: str, by: str, digest: bytes) -> None:
        self._parts[case].append((CASE_NOTES, (note,)))
        self._add(CASE_NOTES, note, case_id=case, operator_id=by, written_at=at, text=Digest(digest))

    def _decision(self, at: int, *, case: str, round: int, by: str, outcome: str, digest: bytes) -> None:  # noqa: A002
        row = self.rows[CASES][(case,)]
        state, decided = CaseState(row["state"]), CaseOutcome(outcome)
        self._parts[case].append((CASE_DECISIONS, (case, round, by)))
        self._add(CASE_DECISIONS, case, round, by, outcome=outcome, reason=Digest(digest), decided_at=at)
        row["state"] = TRANSITIONS[step_of(state, self._round[case], decided)][state].value
        self._round[case].append(decided)

    def _closing(self, at: int, *, case: str, outcome: str) -> None:
        row = self.rows[CASES][(case,)]
        if row["state"] != CaseState.CLOSED:
            raise ReplayError("nobody decided so")
        row |= {"outcome": outcome, "closed_at": at}

    def _case_expiry(self, _: int, *, case: str) -> None:
        place = self.place_of(case)
        for table, key in self._parts.pop(case):
            del self.rows[table][key]
        del self.rows[CASES][(case,)], self._round[case], self.cases[place]
        self.forget_openings(place)

    def _operator(self, at: int, *, operator: str, name: str, scopes: str, secret: bytes, by: str | None) -> None:
        row = {"name": name, "scopes": scopes, "secret_hash": Digest(secret), "made_at": at, "made_by": by}
        self._add(OPERATORS, operator, **row, revoked_at=None)

    def _operator_revoked(self, at: int, *, operator: str, by: str | None) -> None:
        self.rows[OPERATORS][(operator,)]["revoked_at"] = at

    def _login(self, at: int, *, operator: str, session: bytes) -> None:
        self._add(SESSIONS, session, operator_id=operator, began_at=at, ended_at=None)

    def _logout(self, at: int, *, operator: str, session: bytes) -> None:
        self.rows[SESSIONS][(session,)]["ended_at"] = at

    def _hook(self, at: int, *, hook: str, by: str, url: bytes, events: list[str]) -> None:
        told = {"url": Digest(url), "events": " ".join(events), "disabled_at": None, "disabled_why": None}
        before = self.rows[HOOKS].get((hook,))
        if before is None:
            self._add(HOOKS, hook, made_by=by, made_at=at, **told)
        else:
            before |= told | ({"made_at": at} if before["disabled_why"] == Why.DELETED else {})

    def _hook_disabled(self, at: int, *, hook: str, by: str | None, why: str) -> None:
        self.rows[HOOKS][(hook,)] |= {"disabled_at": at, "disabled_why": why}

    _STEPS: ClassVar[dict[str, Callable[..., None]]] = {
        "enrolment": _enrolment,
        "revocation": _revocation,
        "token": _token,
        "export": _export,
        "opening": _opening,
        "case": _case,
        "note": _note,
        "decision": _decision,
        "closing": _closing,
        "case-expiry": _case_expiry,
        "operator": _operator,
        "operator-revoked": _operator_revoked,
        "login": _login,
        "logout": _logout,
        "hook": _hook,
        "hook-disabled": _hook_disabled,
    }


REPLAYED = (
    OPERATORS,
    SESSIONS,
    TOKENS,
    DEVICES,
    EXPORTS,
    OPENINGS,
    CASES,
    CASE_MATCHES,
    CASE_NOTES,
    CASE_DECISIONS,
    HOOKS,
)
"""The tables that are made of entries alone."""
