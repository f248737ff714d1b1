"""Settings: complete, named, frozen, sourced."""

from __future__ import annotations

import dataclasses
import datetime as dt

import pytest

from scanner.errors import ArgumentError, UnknownNameError
from scanner.hashing import HASHERS
from scanner.profiles import ALGORITHMS, PROFILES, CalibrationDemand, algorithm_named, profile_named
from scanner.types import Action, Outcome


def test_every_algorithm_has_settings_and_every_setting_an_algorithm():
    """What can be hashed can be listed, and the other way round."""
    assert set(ALGORITHMS) == set(HASHERS)


@pytest.mark.parametrize("settings", [*ALGORITHMS.values(), *PROFILES.values()], ids=lambda settings: settings.name)
def test_settings_are_found_by_name_frozen_and_sourced(settings):
    """A value can't be changed in passing and says where it comes from."""
    table, look_up = (ALGORITHMS, algorithm_named) if settings.name in ALGORITHMS else (PROFILES, profile_named)
    assert look_up(settings.name) is table[settings.name] is settings
    assert settings.source
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.name = "another"
    with pytest.raises(TypeError):
        table[settings.name] = settings


@pytest.mark.parametrize("settings", ALGORITHMS.values(), ids=lambda settings: settings.name)
def test_radius_and_floor_are_within_their_ranges(settings):
    """A radius is below the number of bits, a floor a quality, a hash a whole number of 64-bit words."""
    assert 0 <= settings.radius < settings.bits
    assert 0 <= settings.quality_floor <= 100
    assert settings.bits % 64 == 0


@pytest.mark.parametrize("name", ["pdq", "pdq-512"])
def test_pdq_uses_the_published_radius_and_floor(name):
    """Confident match at 31 of 256, discard below quality 50 (Facebook, 2019)."""
    settings = algorithm_named(name)
    assert (settings.bits, settings.radius, settings.quality_floor) == (256, 31, 50)


@pytest.mark.parametrize(("look_up", "kind"), [(algorithm_named, "algorithm"), (profile_named, "profile")])
def test_unknown_names_are_refused_with_the_known_ones(look_up, kind):
    """Whoever mistypes a name is told the names there are."""
    with pytest.raises(UnknownNameError, match=f"no {kind} named 'PDQ'; known: .*, "):
        look_up("PDQ")


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_every_outcome_has_an_action_and_no_match_is_always_sent(profile):
    """No outcome falls through; a picture that matched nothing is never held."""
    assert {type(profile.action_for(outcome)) for outcome in Outcome} == {Action}
    assert profile.action_for(Outcome.NO_MATCH) is Action.SEND
    assert profile.time_limit > 0


def test_the_standard_profile_holds_matches_and_nothing_else():
    """A fault of the scanner never stops a message."""
    standard = profile_named("standard")
    assert [outcome for outcome in Outcome if standard.action_for(outcome) is Action.HOLD] == [Outcome.MATCH]


def test_report_only_never_holds():
    """Report-only sends whatever comes out."""
    assert {profile_named("report-only").action_for(outcome) for outcome in Outcome} == {Action.SEND}


def test_strict_holds_whatever_could_not_be_checked():
    """Fail closed: only what was checked, or is flat, is sent."""
    strict = profile_named("strict")
    sent = {outcome for outcome in Outcome if strict.action_for(outcome) is Action.SEND}
    assert sent == {Outcome.NO_MATCH, Outcome.LOW_QUALITY}


@pytest.mark.parametrize("profile", PROFILES.values(), ids=lambda profile: profile.name)
def test_no_named_profile_asks_for_a_calibration(profile):
    """A day that fits every list can't be named in advance; whoever asks says from when and how low."""
    assert profile.requires_calibration is None
    demand = CalibrationDemand(1e-4, dt.date(2026, 1, 1))
    assert dataclasses.replace(profile, requires_calibration=demand).requires_calibration is demand


@pytest.mark.parametrize("highest", [0, -1e-9, 1.0001, float("nan"), float("inf"), "0.1", None, True])
def test_a_demand_that_is_no_rate_is_refused(highest):
    """A demand of 0 could never be met; one over 1 asks for nothing."""
    with pytest.raises(ArgumentError, match="highest FPIR"):
        CalibrationDemand(highest, dt.date(2026, 1, 1))


@pytest.mark.parametrize("day", [None, "2026-01-01", dt.datetime(2026, 1, 1, tzinfo=dt.UTC), 20454])
def test_a_demand_of_no_day_is_refused(day):
    """A time of day compares with no date."""
    with pytest.raises(ArgumentError, match="not_before is a date"):
        CalibrationDemand(1e-4, day)


@pytest.mark.parametrize("stratum", ["", 7])
def test_a_demand_of_no_stratum_is_refused(stratum):
    """None means all of them; an empty name means a mistake."""
    with pytest.raises(ArgumentError, match="stratum"):
        CalibrationDemand(1e-4, dt.date(2026, 1, 1), stratum)
