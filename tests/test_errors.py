"""The error tree: one root, and our fault kept apart from the peer's."""

from __future__ import annotations

import pickle

import pytest

from scanner import errors
from scanner.errors import DeliveryError, LocalError, MediaError, MediaFault, RefusedError, RemoteError, ScannerError

NAMED = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ScannerError)]


@pytest.mark.parametrize("error", NAMED)
def test_every_error_has_one_root_and_one_side(error):
    """An error below the root is local or remote and never both."""
    sides = [issubclass(error, LocalError), issubclass(error, RemoteError)]
    assert sum(sides) == (error is not ScannerError)


@pytest.mark.parametrize("error", NAMED)
def test_every_error_is_drawn_in_the_docstring(error):
    """The drawn tree leaves no error out."""
    assert error.__name__ in errors.__doc__


@pytest.mark.parametrize("fault", MediaFault)
def test_media_errors_tell_the_fault_and_the_message(fault):
    """A media error carries a stable name beside the text for a person."""
    error = MediaError(fault, "what happened")
    assert error.fault is fault
    assert str(error) == "what happened"


def test_an_unknown_name_is_told_without_quotes_around_the_sentence():
    """The message is a sentence that lists the known names; KeyError would print its repr."""
    error = errors.UnknownNameError("engine", "warp", ("flat", "faiss"))
    assert str(error) == "no engine named 'warp'; known: flat, faiss"
    assert isinstance(error, KeyError)


def test_a_voucher_error_carries_a_stable_problem():
    """Code looks at the problem, people at the message."""
    assert errors.VoucherError("forged", "the signature is wrong").problem == "forged"


def test_a_refusal_is_a_delivery_error_that_may_not_say_when_to_come_back():
    """RefusedError is caught by whoever catches DeliveryError; retry_after is None unless told."""
    assert issubclass(RefusedError, DeliveryError)
    assert RefusedError("no").retry_after is None
    assert DeliveryError("later", retry_after=1.5).retry_after == 1.5


@pytest.mark.parametrize("error", [errors.HashFormatError, errors.HashShapeError])
def test_wrong_values_are_value_errors(error):
    """Callers who know only Python's own tree catch them too."""
    assert issubclass(error, ValueError)


@pytest.mark.parametrize(
    "error", [errors.StorageError("disk"), errors.HashSetError("cut"), errors.HashListError("bad")]
)
def test_plain_errors_survive_a_process_boundary(error):
    """A process pool hands back the same error."""
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
