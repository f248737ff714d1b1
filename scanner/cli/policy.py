"""``scanner policy``."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from scanner.cli.output import fail, print_json

if TYPE_CHECKING:
    from scanner.account_rates import FalseMatches

app = typer.Typer(help="Choose the figures that decide when vouchers open, and sign them.", no_args_is_help=True)


@app.command("threshold")
def threshold(
    pictures: Annotated[
        float, typer.Option(help="Pictures an account sends in one window, on average.", show_default=False)
    ],
    fmr: Annotated[
        float | None,
        typer.Option(
            "--fmr",
            "--fpir",
            help="Chance that one innocent picture falsely matches any entry of the list.",
            show_default=False,
        ),
    ] = None,
    fmr_upper: Annotated[
        float | None, typer.Option(help="Upper bound of that chance; the figures are for it.", show_default=False)
    ] = None,
    observed: Annotated[
        str,
        typer.Option(
            help="Instead of --fmr: false matches among innocent, independent pictures looked at, as in 0/1e9.",
            metavar="HITS/N",
            show_default=False,
        ),
    ] = "",
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Every account sends exactly so many: binomial, not Poisson, in the first row."),
    ] = False,
    wanted: Annotated[
        float, typer.Option(help="Wanted chance that an innocent account reaches the threshold in one window.")
    ] = 1e-12,
    at: Annotated[
        int | None, typer.Option("--threshold", "-t", help="Give the false rates for this one.", show_default=False)
    ] = None,
    accounts: Annotated[float, typer.Option(help="Innocent accounts there are.")] = 1e9,
    shape: Annotated[
        float, typer.Option(help="How alike accounts are (gamma shape); 1 or less if a few send most.")
    ] = 10.0,
    burst: Annotated[int, typer.Option(help="Distinct entries falsely matched in one burst.")] = 10,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Find the threshold for a wanted false rate of accounts, under six assumptions, or the rates of a threshold.

    That pictures are independent is the optimistic assumption: a person who sends one falsely matching picture sends
    more like it. Take the strictest figure unless you measured how false matches fall on accounts.

    Vouchers of an account for the same entry count once, so a burst is of distinct entries.

    Example: scanner policy threshold --observed 0/1e9 --pictures 1000
    """
    from scanner.account_rates import LARGEST_THRESHOLD, strictest

    rate = _rate_from(fmr, fmr_upper, observed)
    if not 0 <= pictures < math.inf:
        fail(f"--pictures {pictures:g} is not 0 or more")
    if exact and pictures != int(pictures):
        fail(f"--exact goes with a whole number of --pictures, not {pictures:g}")
    if not 0 < accounts < math.inf:
        fail(f"--accounts {accounts:g} is not over 0")
    if at is not None and not 1 <= at <= LARGEST_THRESHOLD:
        fail(f"--threshold {at} is not 1 to {LARGEST_THRESHOLD:,}")
    count = int(pictures) if exact else None
    laws = _laws(rate.upper * pictures, shape, burst, count)
    needed = {name: law.threshold_for(wanted) for name, law in laws.items()}
    estimated = _laws(rate.estimate * pictures, shape, burst, count)
    at_estimate = {name: law.threshold_for(wanted) for name, law in estimated.items()}
    take = strictest(needed)
    shown = [at] if at is not None else sorted({needed["independent"], needed[take]})
    facts = {
        "fmr": rate.estimate,
        "fmr_upper": rate.upper,
        "fmr_source": rate.source,
        "pictures": pictures,
        "exact": exact,
        "mean": rate.upper * pictures,
        "wanted": wanted,
        "accounts": accounts,
        "shape": shape,
        "burst": burst,
        "take": {"threshold": needed[take], "law": take},
        "laws": [
            {
                "law": name,
                "threshold": needed[name],
                "threshold_at_estimate": at_estimate[name],
                "at": [_at(law, each, accounts) for each in shown],
            }
            for name, law in laws.items()
        ],
    }
    if json:
        print_json(facts)
    else:
        for line in _lines(facts, at):
            typer.echo(line.rstrip())


class _Rate(NamedTuple):
    """False match rate of one picture: as estimated, the bound to reckon with, and where they come from."""

    estimate: float
    upper: float
    source: str


def _rate_from(fmr: float | None, fmr_upper: float | None, observed: str) -> _Rate:
    from scanner.account_rates import upper_rate

    if bool(observed) == (fmr is not None):
        fail("give either --fmr, or --observed HITS/N")
    if fmr is None:
        if fmr_upper is not None:
            fail("--observed gives an upper bound itself: leave --fmr-upper out, or give --fmr with it")
        hits, trials = _counts(observed)
        rule = ", the rule of three" if hits == 0 else ""
        return _Rate(
            hits / trials if trials else 0.0,
            upper_rate(hits, trials),
            f"{hits:,} of {trials:,} pictures: Clopper-Pearson 95 % upper bound{rule}",
        )
    if not 0 <= fmr <= 1:
        fail(f"--fmr {fmr:g} is not 0 to 1")
    if fmr_upper is None:
        return _Rate(fmr, fmr, "given, without an upper bound")
    if not fmr <= fmr_upper <= 1:
        fail(f"--fmr-upper {fmr_upper:g} is not --fmr {fmr:g} to 1")
    return _Rate(fmr, fmr_upper, "given upper bound")


def _counts(observed: str) -> tuple[int, int]:
    try:
        hits, trials = map(float, observed.split("/"))
    except ValueError:
        fail(f"--observed {observed!r} is not HITS/N, as in 0/1e9")
    if not (hits.is_integer() and trials.is_integer()):
        fail(f"--observed {observed!r} is not of whole numbers")
    return int(hits), int(trials)


def _laws(mean: float, shape: float, burst: int, pictures: int | None) -> dict[str, FalseMatches]:
    from scanner.account_rates import laws_of

    return laws_of(mean, shape=shape, burst=burst, pictures=pictures)


def _at(law: FalseMatches, threshold: int, accounts: float) -> dict[str, float | None]:
    """JSON's numbers end near 1e-308, so the logarithm stands beside the rate; there is none of 0."""
    found = law.log_rate(threshold)
    log10 = found / math.log(10) if found > -math.inf else None
    return {
        "threshold": threshold,
        "rate": math.exp(found),
        "log10_rate": log10,
        "opened": accounts * math.exp(found),
        "log10_opened": None if log10 is None else log10 + math.log10(accounts),
    }


def _lines(facts: dict[str, Any], at: int | None) -> Iterable[str]:
    names = _names(facts)
    yield f"FMR of a picture: {facts['fmr_upper']:.3g} ({facts['fmr_source']})"
    if facts["fmr_upper"] == 0:
        yield "  nothing measures an FMR of 0: give what was counted, as in --observed 0/1e9"
    elif facts["fmr_source"].startswith("given, "):
        yield "  the figures hold only if that is right; what was counted gives a bound, as in --observed 0/1e9"
    elif "Clopper" in facts["fmr_source"]:
        yield "  it takes pictures to be independent: with near copies or pairs that share pictures it is too low"
    yield f"Innocent account: {facts['mean']:.3g} false matches a window on average ({facts['pictures']:,g} pictures)"
    yield f"Wanted: a false rate of at most {facts['wanted']:.3g} per account and window"
    yield ""
    shown = [column["threshold"] for column in facts["laws"][0]["at"]]
    width = max(map(len, names.values()))
    yield f"{'':{width}}  {'threshold':>9}" + "".join(f"  {f'at t = {each:,}':^21}" for each in shown)
    yield f"{'':{width}}  {'needed':>9}" + f"  {'false rate':>10} {'opened':>10}" * len(shown)
    for law in facts["laws"]:
        cells = "".join(f"  {_power(cell['log10_rate']):>10} {_power(cell['log10_opened']):>10}" for cell in law["at"])
        yield f"{names[law['law']]:{width}}  {law['threshold']:>9,}{cells}"
    yield ""
    yield f"opened: innocent accounts of {facts['accounts']:,g} expected to be opened falsely in one window."
    if facts["fmr_upper"] > 0:
        yield from _advice(facts, at)


def _advice(facts: dict[str, Any], at: int | None) -> Iterable[str]:
    needed = {law["law"]: law["threshold"] for law in facts["laws"]}
    take, law, burst = facts["take"]["threshold"], facts["take"]["law"], facts["burst"]
    if at is not None:
        kept = sum(at >= least for least in needed.values())
        yield f"t = {at:,} keeps to {facts['wanted']:.3g} under {kept} of the {len(needed)} assumptions."
    yield f"Take t = {take:,}, the strictest ({_names(facts)[law]})."
    yield f"Independent pictures is the optimistic figure (t = {needed['independent']:,}): one who sends a falsely"
    yield "  matching picture sends more like it, and a few accounts send most."
    # Smaller bursts are more numerous, yet far out and at whole multiples of the largest size they reach less far.
    capped = -(-max(needed["bursts_fixed"], needed["both_fixed"]) // burst) * burst
    if capped < take and facts["wanted"] <= 1e-4:
        yield f"Only if you measured that no burst has more than {burst:,} distinct entries is t = {capped:,} enough."
    estimate = max(law["threshold_at_estimate"] for law in facts["laws"])
    if facts["fmr"] > 0 and estimate < take:
        yield f"At the estimated FMR, {facts['fmr']:.3g}, t = {estimate:,} seems enough: take the bound's {take:,}."
    yield f"Shape {facts['shape']:g} and bursts of {burst:,} are assumptions until measured on real accounts."


def _names(facts: dict[str, Any]) -> dict[str, str]:
    """What people read; an optimistic law says so."""
    kind = "binomial" if facts["exact"] else "Poisson"
    equal = f"bursts of {facts['burst']:,}"
    return {
        "independent": f"independent pictures ({kind}; optimistic)",
        "accounts_differ": f"accounts differ (gamma shape {facts['shape']:g})",
        "bursts_fixed": equal,
        "bursts_vary": f"{equal} on average (geometric)",
        "both_fixed": f"accounts differ, {equal}",
        "both_vary": f"accounts differ, {equal} on average",
    }


def _power(log10: float | None) -> str:
    """A number from its logarithm, which may be below what a float holds."""
    if log10 is None:
        return "0"
    whole = math.floor(log10)
    if 0 <= whole < 15:
        return f"{round(10**log10, 2 - whole):,.{max(2 - whole, 0)}f}"
    digits = f"{10 ** (log10 - whole):.1f}"
    if digits == "10.0":
        digits, whole = "1.0", whole + 1
    return f"{digits}e{whole:+03d}"
