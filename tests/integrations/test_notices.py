"""What the sender is shown: reason, list, record and appeal; in every language the same parts; nothing that teaches."""

from __future__ import annotations

import dataclasses
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ArgumentError, UnknownNameError
from scanner.integrations.notices import CATALOGS, ENGLISH, GERMAN, Notices, messages_in
from scanner.types import Action, Outcome

REASONS = [outcome for outcome in Outcome if outcome is not Outcome.NO_MATCH]


@pytest.mark.parametrize("language", CATALOGS)
@pytest.mark.parametrize("action", Action)
@pytest.mark.parametrize("reason", REASONS)
def test_a_notice_has_all_its_parts(language, action, reason):
    """Every notice names the list, its edition, the record and the way to appeal, and leaves no placeholder."""
    notice = Notices("LEDGER", "APPEAL", CATALOGS[language]).write(action, reason, "a list", 7)
    assert (notice.action, notice.reason, notice.list_name, notice.epoch) == (action, reason, "a list", 7)
    assert "a list" in notice.text
    assert "7" in notice.text
    assert "LEDGER" in notice.lines[-2]
    assert "APPEAL" in notice.lines[-1]
    assert not set(notice.text) & set("{}")
    said = CATALOGS[language]
    assert notice.lines[0] == (said.held if action is Action.HOLD else said.sent)
    assert (said.kept in notice.lines) == (action is Action.HOLD)


def test_reasons_are_told_apart():
    """Two reasons never read the same, in any language."""
    for messages in CATALOGS.values():
        notices = Notices("LEDGER", "APPEAL", messages)
        lines = {notices.write(Action.HOLD, reason, "a list", 7).lines[1] for reason in REASONS}
        assert len(lines) == len(REASONS)


def test_a_translation_is_whole():
    """No text was left in English."""
    for field in dataclasses.fields(GERMAN):
        assert getattr(GERMAN, field.name) != getattr(ENGLISH, field.name)


def test_what_has_no_translation_stays():
    """A catalog may be unfinished, as with gettext."""
    started = ENGLISH.translated("fr", {ENGLISH.sent: "Ce fichier a été envoyé."})
    assert (started.language, started.sent, started.held) == ("fr", "Ce fichier a été envoyé.", ENGLISH.held)


@pytest.mark.parametrize(
    "text",
    ["none of them", "{list_name}", "{list_name} {epoch} {more}", "{list_name} {epoch", "{list_name!r} {epoch}",
     "{list_name} {epoch:>9}", "{list_name.__class__} {epoch}", "{} {epoch}"],
)  # fmt: skip
def test_a_translation_with_other_placeholders_is_refused(text):
    """A translator's slip is found when the catalog is made, not when a message is held."""
    with pytest.raises(ArgumentError, match="match"):
        ENGLISH.translated("xx", {ENGLISH.match: text})


def test_a_translation_of_nothing_is_refused():
    """It would be of a text that was changed since."""
    with pytest.raises(ArgumentError, match="Gone"):
        ENGLISH.translated("xx", {"Gone.": "Weg."})


@given(name=st.text(max_size=40), reason=st.sampled_from(REASONS), action=st.sampled_from(Action))
def test_any_name_of_a_list_can_be_shown(name, reason, action):
    """A list's name with braces, line breaks or signs that turn the text is shown without them doing anything."""
    notice = Notices("{ledger}", "{0}", ENGLISH).write(action, reason, name, 1)
    assert all(line.isprintable() for line in notice.lines)
    assert "".join(letter for letter in name if letter.isprintable()) in notice.text
    assert "{ledger}" in notice.text


@pytest.mark.parametrize(
    ("asked", "given_"), [("en", "en"), ("de", "de"), ("de-AT", "de"), ("de_CH", "de"), ("EN", "en")]
)
def test_a_language_is_found_by_its_tag(asked, given_):
    """Regions fall back on the language."""
    assert messages_in(asked).language == given_


def test_an_unknown_language_names_those_there_are():
    """The error says what to choose from."""
    with pytest.raises(UnknownNameError, match="en, de"):
        messages_in("tlh")


def test_every_text_is_plain():
    """Texts hold no markup and no tab or line break; clients show them as they are."""
    for messages in CATALOGS.values():
        for field in dataclasses.fields(messages):
            text = getattr(messages, field.name)
            assert text.isprintable()
            assert "<" not in text
            assert list(string.Formatter().parse(text))
