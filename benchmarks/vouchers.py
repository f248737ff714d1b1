"""Shares and their solving: what a device and the opener pay, beside plain Python doing the same.

    python -m benchmarks.vouchers [--rounds 15]

Raw seconds go to benchmarks/results/vouchers.json first; the table is made from them. One thread, one processor.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from benchmarks.measure import interleaved, machine, median_ratio, one_thread, store
from scanner.exports import ExportedWindow
from scanner.opener import open_export
from scanner.vouchers import DeviceSealer, Payload, Policy
from scanner.vouchers.field import PRIME, evaluate, inverse, multiply
from scanner.vouchers.policies import COVERED
from scanner.vouchers.sharing import POLYNOMIALS_WITH_COVER, Share, WindowShares, account_key_of, dummy_share
from scanner.vouchers.solving import Solution, solve

THRESHOLDS = (2, 10, 30)
SLOTS = 64
DEVICES = (2, 4, 16)  # of one account, each with a full window
BATCH = 200
ROUNDS = 15
ACCOUNTS = 250
SECRET = bytes(range(32))
ACCOUNT = bytes(16)


def window_of(threshold: int) -> WindowShares:
    """The shares of one account and window, with cover."""
    return WindowShares(SECRET, 735, ACCOUNT, threshold=threshold, polynomials=POLYNOMIALS_WITH_COVER)


def slots_of(window: WindowShares, real: int, slots: int = SLOTS) -> list[Share]:
    """Full slots in random order: so many real shares, the rest dummies."""
    shares = [window.share(content) for content in range(real)]
    shares += [dummy_share(window.polynomials) for _ in range(slots - real)]
    return [shares[place] for place in np.random.default_rng(real).permutation(slots)]


def plain_solve(shares: Sequence[Share], threshold: int) -> tuple[list[int], bytes] | None:
    """Real shares and key by Gauss and Lagrange on Python's ints; for honest shares and enough polynomials only."""
    rows = [[pow(share.x, j, PRIME) for share in shares] for j in range(threshold - 1)]
    rows += [list(values) for values in zip(*(share.ys for share in shares), strict=True)]
    pivots: list[int] = []
    for c in range(len(shares)):
        top = len(pivots)
        chosen = next((i for i in range(top, len(rows)) if rows[i][c]), None)
        if chosen is None:
            continue
        rows[top], rows[chosen] = rows[chosen], rows[top]
        scale = inverse(rows[top][c])
        rows[top] = [value * scale % PRIME for value in rows[top]]
        for i, row in enumerate(rows):
            if i != top and row[c]:
                factor = row[c]
                rows[i] = [(a - factor * b) % PRIME for a, b in zip(row, rows[top], strict=True)]
        pivots.append(c)
    free = set(range(len(shares))) - set(pivots)
    if not free:
        return None
    real = sorted(free | {c for row, c in zip(rows, pivots, strict=False) if any(row[f] for f in free)})
    points = [shares[index] for index in real[: threshold - 1]]
    weights = []
    for i, one in enumerate(points):
        weight = 1
        for j, other in enumerate(points):
            if i != j:
                weight = multiply(weight, multiply(other.x, inverse(other.x - one.x)))
        weights.append(weight)
    constants = [
        sum(multiply(weight, share.ys[k]) for weight, share in zip(weights, points, strict=True)) % PRIME
        for k in range(len(points[0].ys))
    ]
    return real, account_key_of(constants)


def check(shares: Sequence[Share], threshold: int, solution: Solution) -> None:
    """End unless both solvers say the same."""
    plain = plain_solve(shares, threshold)
    ours = [(list(group.indices), group.account_key) for group in solution.groups]
    if ours != ([plain] if plain else []):
        sys.exit(f"vouchers: the solvers differ at threshold {threshold}")


def devices(rounds: int) -> list[dict[str, Any]]:
    """Time the making of a window, a share and a dummy."""
    rows = []
    for threshold in THRESHOLDS:
        window = window_of(threshold)
        columns = [list(column) for column in _coefficients(window)]
        x = window.share(0).x
        if tuple(evaluate(column, x) for column in columns) != window.share(0).ys:
            sys.exit("vouchers: plain polynomials have other values")
        seconds = interleaved(
            {
                "window": lambda t=threshold: [window_of(t) for _ in range(BATCH)],  # type: ignore[misc]
                "share": lambda w=window: [w.share(content) for content in range(BATCH)],  # type: ignore[misc]
                "dummy": lambda: [dummy_share(POLYNOMIALS_WITH_COVER) for _ in range(BATCH)],
                "plain": lambda c=columns, x=x: [evaluate(column, x) for _ in range(BATCH) for column in c],  # type: ignore[misc]
            },
            rounds,
        )
        each = {name: [second / BATCH for second in values] for name, values in seconds.items()}
        rows.append({"threshold": threshold, "seconds": each})
    return rows


def _coefficients(window: WindowShares) -> list[list[int]]:
    """Coefficients of the polynomials, from t - 1 shares: the key in plain sight, as the module says."""
    shares = [window.share(content) for content in range(window.threshold - 1)]
    columns = []
    for k in range(window.polynomials):
        rows = [[pow(share.x, j, PRIME) for j in range(len(shares))] + [share.ys[k]] for share in shares]
        for c in range(len(rows)):
            scale = inverse(rows[c][c])
            rows[c] = [value * scale % PRIME for value in rows[c]]
            for i in range(len(rows)):
                if i != c:
                    factor = rows[i][c]
                    rows[i] = [(a - factor * b) % PRIME for a, b in zip(rows[i], rows[c], strict=True)]
        columns.append([row[-1] for row in rows])
    return columns


def openers(rounds: int) -> list[dict[str, Any]]:
    """Time the solving of a full window with 0 to 64 dummies."""
    rows = []
    for threshold in THRESHOLDS:
        window = window_of(threshold)
        for real in sorted({0, threshold - 1, threshold, threshold + 1, SLOTS // 2, SLOTS}):
            shares = slots_of(window, real)
            check(shares, threshold, solve(shares, threshold))
            seconds = interleaved(
                {
                    "solve": lambda s=shares, t=threshold: solve(s, t),  # type: ignore[misc]
                    "plain": lambda s=shares, t=threshold: plain_solve(s, t),  # type: ignore[misc]
                },
                rounds,
            )
            rows.append({"threshold": threshold, "real": real, "dummies": SLOTS - real, "seconds": seconds})
    return rows


def crowds(rounds: int) -> list[dict[str, Any]]:
    """Time accounts with more dummies than polynomials: none real, and enough real ones."""
    rows = []
    threshold = THRESHOLDS[-1]
    window = window_of(threshold)
    for number in DEVICES:
        for real in (0, threshold - 1 + number):
            shares = slots_of(window, real, SLOTS * number)
            outcome = str(solve(shares, threshold).outcome)
            seconds = interleaved({"solve": lambda s=shares: solve(s, threshold)}, max(2, rounds // 3))  # type: ignore[misc]
            rows.append({"devices": number, "real": real, "outcome": outcome, "seconds": seconds})
    return rows


def whole(accounts: int) -> dict[str, Any]:
    """Time sealing and opening whole vouchers: accounts with 64, a fifth each with 0, 10, 29, 30 and 40 real ones."""
    device, opener, signer = Ed25519PrivateKey.generate(), X25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    own = device.public_key().public_bytes_raw()
    policy = Policy(
        serial=1, threshold=30, profile=COVERED, algorithm="pdq", radius=31, quality_floor=50,
        opener_key=opener.public_key().public_bytes_raw(), hashset_digest=bytes(32), hashset_name="list", not_before=0,
        signers=(signer.public_key().public_bytes_raw(),), quorum=1, ordinary=1,
    )  # fmt: skip
    windows, sealing = [], []
    for number in range(accounts):
        account = number.to_bytes(16)
        sealer = DeviceSealer(device, policy, account)
        shares = sealer.terms.shares(SECRET, 735, account)
        real = (0, 10, 29, 30, 40)[number % 5]
        vouchers = []
        for slot in range(SLOTS):
            payload = Payload(slot, 1, policy.digest, "pdq", 3, 90, bytes(32), 20_000, bytes(32), account)
            started = time.perf_counter()
            vouchers.append(sealer.seal(payload, shares, slot) if slot < real else sealer.seal_dummy(735, slot))
            if slot < real:
                sealing.append(time.perf_counter() - started)
        windows.append(ExportedWindow(account, 735, {sealer.device_id: own}, vouchers))
    started = time.perf_counter()
    opened = sum(bool(one.opened) for one in open_export(windows, opener, {policy.digest: policy}))
    return {
        "accounts": accounts,
        "opened": opened,
        "bytes": len(windows[0].vouchers[0]),
        "seal": sealing,
        "open_all": time.perf_counter() - started,
    }


def report(raw: dict[str, Any]) -> None:
    """Print tables made from raw figures."""
    print(f"{POLYNOMIALS_WITH_COVER} polynomials; medians")
    print(f"{'t':>3}{'window us':>11}{'share us':>10}{'dummy us':>10}{'plain share us':>16}{'x':>6}")
    for row in raw["devices"]:
        window, share, dummy, plain = (1e6 * statistics.median(row["seconds"][name]) for name in row["seconds"])
        ratio = median_ratio(row["seconds"]["plain"], row["seconds"]["share"])
        print(f"{row['threshold']:>3}{window:>11.0f}{share:>10.1f}{dummy:>10.1f}{plain:>16.0f}{ratio:>6.0f}")
    print(
        f"\n{'t':>3}{'real':>6}{'dummies':>9}{'solve ms':>10}{'worst ms':>10}{'a minute':>10}{'plain ms':>10}{'x':>6}"
    )
    for row in raw["openers"]:
        ours, plain = row["seconds"]["solve"], row["seconds"]["plain"]
        middle = statistics.median(ours)
        print(
            f"{row['threshold']:>3}{row['real']:>6}{row['dummies']:>9}{1e3 * middle:>10.2f}{1e3 * max(ours):>10.2f}"
            f"{60 / middle:>10,.0f}{1e3 * statistics.median(plain):>10.1f}{median_ratio(plain, ours):>6.0f}"
        )
    print(f"\n{'devices':>7}{'shares':>8}{'real':>6}  {'outcome':<16}{'solve ms':>10}")
    for row in raw["crowds"]:
        middle = statistics.median(row["seconds"]["solve"])
        print(
            f"{row['devices']:>7}{SLOTS * row['devices']:>8}{row['real']:>6}  {row['outcome']:<16}{1e3 * middle:>10.2f}"
        )
    told = raw["whole"]
    print(
        f"a voucher of {told['bytes']:,} bytes, t = 30 with cover: "
        f"sealed in {1e6 * statistics.median(told['seal']):.0f} us; "
        f"{told['accounts']} accounts of {SLOTS} vouchers: {told['opened']} opened, "
        f"{60 * told['accounts'] / told['open_all']:,.0f} a minute"
    )


def main() -> None:
    """Measure, store, print."""
    parser = argparse.ArgumentParser(description="Shares and their solving.")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="times each is measured")
    rounds = parser.parse_args().rounds
    one_thread()
    raw = {
        "machine": machine("numba", "numpy", "cryptography"),
        "devices": devices(rounds),
        "openers": openers(rounds),
        "crowds": crowds(rounds),
        "whole": whole(ACCOUNTS),
    }
    print(f"raw figures: {store('vouchers', raw)}", file=sys.stderr)
    report(raw)


if __name__ == "__main__":
    main()
