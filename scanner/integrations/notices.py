"""What the sender is shown: why something was held, or sent with a remark. All text in one place, for translators.

Rules: a notice names the class of the reason, the list and its epoch, the record and the way to appeal; it names no
hash, no distance and no entry, which would teach how to get round the list; it is shown to the sender and sent to
nobody.
"""

from __future__ import annotations

import dataclasses
import string
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from scanner.errors import ArgumentError, UnknownNameError
from scanner.types import Action, Outcome

_LIST = frozenset({"list_name", "epoch"})
_FIELDS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "held": frozenset(),
        "sent": frozenset(),
        "match": _LIST,
        "low_quality": frozenset(),
        "unscannable": frozenset(),
        "timeout": frozenset(),
        "error": frozenset(),
        "kept": frozenset(),
        "compared_with": _LIST,
        "ledger": frozenset({"ledger"}),
        "appeal": frozenset({"appeal", "list_name", "epoch"}),
    }
)
"""The placeholders of each text; a translation has exactly the same."""


@dataclass(frozen=True, slots=True)
class Messages:
    """Every text a sender may see, in one language. What stands in braces is filled in.

    Attributes:
        language: its BCP 47 tag, such as ``en``.
        held, sent: the first line: what became of the message.
        match, low_quality, unscannable, timeout, error: why, one for each class of reason.
        kept: where held media is.
        compared_with: what it was compared with.
        ledger: how to see the record.
        appeal: how to object.

    Raises:
        ArgumentError: a text lacks a placeholder or has one too many.
    """

    language: str
    held: str
    sent: str
    match: str
    low_quality: str
    unscannable: str
    timeout: str
    error: str
    kept: str
    compared_with: str
    ledger: str
    appeal: str

    def __post_init__(self) -> None:
        for name, wanted in _FIELDS.items():
            text = getattr(self, name)
            try:
                parts = list(string.Formatter().parse(text))
            except ValueError as error:
                raise ArgumentError(f"the text {name!r} in {self.language}: {error}") from None
            found = {field for _, field, _, _ in parts if field is not None}
            plain = all(not spec and not conversion for _, field, spec, conversion in parts if field is not None)
            if found != wanted or not plain:
                raise ArgumentError(
                    f"the text {name!r} in {self.language} must have the placeholders "
                    f"{', '.join(sorted(wanted)) or '(none)'}, not {', '.join(sorted(found)) or '(none)'}"
                )

    def translated(self, language: str, texts: Mapping[str, str]) -> Messages:
        """These messages in another language, as a gettext catalog does it: what has no translation stays.

        Args:
            language: its tag.
            texts: translations, by the text they are of.

        Raises:
            ArgumentError: a translation is of no text here, or its placeholders differ.
        """
        own = {name: getattr(self, name) for name in _FIELDS}
        if unknown := set(texts) - set(own.values()):
            raise ArgumentError(f"no text to be translated reads {sorted(unknown)[0]!r}")
        return Messages(language, **{name: texts.get(text, text) for name, text in own.items()})


ENGLISH = Messages(
    language="en",
    held="This file was not sent.",
    sent="This file was sent.",
    match="It looks like an entry of the list “{list_name}” (edition {epoch}).",
    low_quality="It is too plain to be told from other pictures.",
    unscannable="It could not be checked: it is no picture or video this app can read, damaged, or too large.",
    timeout="It could not be checked in time.",
    error="It could not be checked: the checker on this device failed.",
    kept="Your file is unchanged and where it was. The other side got nothing.",
    compared_with="It would have been compared, on this device, with the list “{list_name}” (edition {epoch}).",
    ledger="What was checked and what left this device stands in your own record: {ledger}",
    appeal="If you think this is wrong, name the list “{list_name}”, edition {epoch}, here: {appeal}",
)

GERMAN = ENGLISH.translated(
    "de",
    {
        ENGLISH.held: "Diese Datei wurde nicht gesendet.",
        ENGLISH.sent: "Diese Datei wurde gesendet.",
        ENGLISH.match: "Sie gleicht einem Eintrag der Liste „{list_name}“ (Ausgabe {epoch}).",
        ENGLISH.low_quality: "Sie ist zu eintönig, um sie von anderen Bildern zu unterscheiden.",
        ENGLISH.unscannable: "Sie konnte nicht geprüft werden: Sie ist kein lesbares Bild oder Video, beschädigt oder "
        "zu groß.",
        ENGLISH.timeout: "Sie konnte nicht rechtzeitig geprüft werden.",
        ENGLISH.error: "Sie konnte nicht geprüft werden: Die Prüfung auf diesem Gerät ist gescheitert.",
        ENGLISH.kept: "Ihre Datei ist unverändert, wo sie war. Die andere Seite hat nichts erhalten.",
        ENGLISH.compared_with: "Verglichen worden wäre sie, auf diesem Gerät, mit der Liste „{list_name}“ "
        "(Ausgabe {epoch}).",
        ENGLISH.ledger: "Was geprüft wurde und was dieses Gerät verließ, steht in Ihrem eigenen Verzeichnis: {ledger}",
        ENGLISH.appeal: "Wenn Sie das für falsch halten, nennen Sie die Liste „{list_name}“, Ausgabe {epoch}, hier: "
        "{appeal}",
    },
)

CATALOGS: Mapping[str, Messages] = MappingProxyType({one.language: one for one in (ENGLISH, GERMAN)})


def messages_in(language: str) -> Messages:
    """Look up the messages of a language, by its tag or the first part of it.

    Raises:
        UnknownNameError: there are none.
    """
    try:
        return CATALOGS.get(language) or CATALOGS[language.replace("_", "-").split("-")[0].lower()]
    except KeyError:
        raise UnknownNameError("language", language, tuple(CATALOGS)) from None


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice, for a client that shows it as text or builds its own view of the parts.

    Attributes:
        action: what became of the media.
        reason: the class of the reason.
        list_name, epoch: the list, and which edition of it.
        ledger: how to see the record.
        appeal: where to object.
        lines: the text, one thing a line.
    """

    action: Action
    reason: Outcome
    list_name: str
    epoch: int
    ledger: str
    appeal: str
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines as one text."""
        return "\n".join(self.lines)


@dataclass(frozen=True, slots=True)
class Notices:
    """Writes notices.

    Attributes:
        ledger: how the user sees the record here: a command, or the name of a page of the app.
        appeal: where the user objects: an address that a person reads.
        messages: the texts.
    """

    ledger: str
    appeal: str
    messages: Messages = ENGLISH

    def write(self, action: Action, reason: Outcome, list_name: str, epoch: int) -> Notice:
        """Write the notice of one message.

        Args:
            action: what became of it.
            reason: why.
            list_name: what it was compared with; only what can be shown of it is.
            epoch: its edition.
        """
        name = "".join(letter for letter in list_name if letter.isprintable())
        said = dataclasses.asdict(self.messages)
        held = action is Action.HOLD
        keys = ["held" if held else "sent", reason.replace("-", "_")]
        keys += ["kept"] if held else []
        keys += [] if reason is Outcome.MATCH else ["compared_with"]
        keys += ["ledger", "appeal"]
        filled = {"list_name": name, "epoch": epoch, "ledger": self.ledger, "appeal": self.appeal}
        lines = tuple(said[key].format(**filled) for key in keys)
        return Notice(action, reason, name, epoch, self.ledger, self.appeal, lines)
