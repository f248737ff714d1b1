"""The opener's side of the threshold: which of many shares are real, and the key they give.

Rules: what is returned as a group *is* one, checked share by share: t or more different shares on the same polynomials
of degree t - 2, whoever made them; nothing is guessed, so what can't be told apart is said to be so; a group is a claim
about numbers, and the vouchers must bear it out (see :class:`Group`).

How. Share i is the column (1, x, ..., x^(t-2), y_1, ..., y_P). The values are linear in the powers, so the columns of
m real shares have rank t - 1 at most and any t of them are dependent, while a random share, whose P values are free, is
independent of them and of P - 1 others (but for one chance in about 2^61). So with m >= t real shares and at most P
random ones the kernel of the matrix has dimension m - t + 1, and its vectors are 0 at the random ones; with m < t it is
empty. In reduced row echelon form, each column without a pivot shows one dependency. Dependencies among the shares of
one group have exactly t members, as any t - 1 columns of powers are independent (Vandermonde); each dependency of that
size is interpolated and checked.

*Lifting.* More than P random shares have dependencies of their own. Then s more powers are taken, and the values also
times x, ..., x^s. A group still obeys, and has dependencies of t + s members if it has that many, but P (s + 1) random
shares are independent of it. So up to P (m - t + 1) of them are told apart, as in Bleichenbacher, Kiayias and Yung,
"Decoding of interleaved Reed-Solomon codes over noisy data" (ICALP 2003). Shares made to look alike are worth less: of
any that have different x, only s + 1 are surely independent. Shares of one x that differ, which honest devices never
send, would defeat even that; they are left out at first, and a group found without them takes back its own. Then all
are searched.

What junk can do. Shares of no group, however many and whatever they hold, never make a wrong key. Enough of them can
keep a group from being found: more than P (m - t + 1) random ones, or more than m - t + 1 by who knows the polynomials,
a device of the same account. Then the result is not complete, and says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from scanner.errors import ArgumentError
from scanner.vouchers.field import PRIME, Elements
from scanner.vouchers.sharing import Share, account_key_of

MOST_LIFTS = 8
"""Enough for 576 random shares beside a group of t + 8 with 64 polynomials, and for 72 with 8."""

Indices = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


class Outcome(StrEnum):
    """What came of it.

    ``FOUND``: there is a key to try, or several. ``BELOW_THRESHOLD``: no t different shares belong together, for
    certain. ``AMBIGUOUS``: nothing was found, but there are so many shares that a group could be hidden among them;
    those of each device by themselves may tell more.
    """

    FOUND = "found"
    BELOW_THRESHOLD = "below-threshold"
    AMBIGUOUS = "ambiguous"


@dataclass(frozen=True, slots=True)
class Group:
    """Shares that belong together, and the key they give.

    Nothing here says who made them: t shares made up by one device are a group as well. Count a voucher only if its
    key commitment is to this key and its payload decrypts under it, and act only if vouchers of at least t different x
    do: a share made to lie on the polynomials can stand in a voucher that holds anything.

    Attributes:
        indices: positions in what was solved, ascending; the same share sent twice is there twice.
        distinct: different shares among them; the number to be compared with the threshold.
        account_key: 32 bytes.
    """

    indices: tuple[int, ...]
    distinct: int
    account_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Solution:
    """What the shares of one account and window gave.

    Attributes:
        groups: each with another key, those found first in front; an honest account has at most one.
        complete: whether it is certain that no other t shares belong together; with several groups, no t of those
            that are in none. It is not if there was need of lifting, which overlooks groups of few.
    """

    groups: tuple[Group, ...]
    complete: bool

    @property
    def outcome(self) -> Outcome:
        """What came of it."""
        if self.groups:
            return Outcome.FOUND
        return Outcome.BELOW_THRESHOLD if self.complete else Outcome.AMBIGUOUS


def solve(shares: Sequence[Share], threshold: int) -> Solution:
    """Find the real shares among those of one account and window.

    Equal shares count once. Shares of equal x that differ are kept, as nothing tells which is real. Time grows with the
    number n of shares as n r^2, r being t - 1 + P, and 160 times as much (t = 30, P = 64) if every lift is tried in
    vain: limit n before.

    Args:
        shares: of the same number of polynomials; as :meth:`Share.from_bytes` gives them.
        threshold: t, at least 2, from the signed policy.

    Raises:
        ArgumentError: a share or the threshold is not of that kind.
    """
    if threshold < 2:
        raise ArgumentError(f"a threshold is at least 2, not {threshold}")
    owners: dict[Share, list[int]] = {}
    for index, share in enumerate(shares):
        owners.setdefault(share, []).append(index)
    if len({len(share.ys) for share in owners}) > 1:
        raise ArgumentError("the shares are of different numbers of polynomials; solve those of one policy at a time")
    xs, ys = _columns(list(owners))
    positions = list(owners.values())
    _, which, times = np.unique(xs, return_inverse=True, return_counts=True)
    alone = np.flatnonzero(times[which] == 1)
    found, complete = _search(xs, ys, alone, threshold, [])
    if len(alone) < len(xs):
        more, complete = _search(xs, ys, np.arange(len(xs)), threshold, found)
        found += more
    return Solution(tuple(one.group(positions) for one in found), complete)


@dataclass(frozen=True, slots=True)
class _Found:
    """A group among the columns: which are its members (n,), and the constant terms of its polynomials (P,)."""

    members: Mask
    constant_terms: Elements

    def group(self, positions: list[list[int]]) -> Group:
        columns = np.flatnonzero(self.members).tolist()
        indices = sorted(index for column in columns for index in positions[column])
        return Group(tuple(indices), len(columns), account_key_of(self.constant_terms.tolist()))


def _columns(shares: list[Share]) -> tuple[Elements, Elements]:
    """The shares as arrays, (n,) and (n, P)."""
    try:
        xs = np.array([share.x for share in shares], np.uint64)
        ys = np.array([share.ys for share in shares], np.uint64).reshape(len(shares), -1 if shares else 1)
    except (OverflowError, TypeError, ValueError) as error:
        raise ArgumentError("a share holds something that is no element of the field") from error
    if shares and not ys.size:
        raise ArgumentError("a share has at least one value")
    if shares and not (xs.min() > 0 and xs.max() < PRIME and ys.max() < PRIME):
        raise ArgumentError("a share holds something that is no element of the field")
    return xs, ys


def _search(
    xs: Elements, ys: Elements, left: Indices, threshold: int, known: Sequence[_Found]
) -> tuple[list[_Found], bool]:
    """Lift until every dependency among the columns left is explained by a group.

    Returns:
        groups not known before, and whether that was so without lifting.
    """
    new: list[_Found] = []
    for lift in range(MOST_LIFTS + 1):
        explained = True
        for circuit in _circuits(xs[left], ys[left], threshold, lift):
            columns = left[circuit]
            if any(one.members[columns].all() for one in (*known, *new)):
                continue
            group = _group_through(xs, ys, columns, threshold) if len(columns) == threshold + lift else None
            if group is None:
                explained = False
            else:
                new.append(group)
        if explained:
            return new, lift == 0
    return new, False


def _circuits(xs: Elements, ys: Elements, threshold: int, lift: int) -> list[Indices]:
    """Minimal sets of dependent columns that together span every dependency; empty if the kernel is."""
    from scanner.vouchers import _field_kernels as kernels

    count = len(xs)
    powers = threshold - 1 + lift
    if count <= powers:
        return []
    matrix = np.empty((powers + ys.shape[1] * (lift + 1), count), np.uint64)
    kernels.equations_into(xs, ys, lift, matrix)
    pivots = np.empty(min(matrix.shape), np.int64)
    rank = kernels.reduce_rows(matrix, pivots)
    pivots = pivots[:rank]
    free = np.ones(count, np.bool_)
    free[pivots] = False
    return [np.append(pivots[matrix[:rank, column] != 0], column) for column in np.flatnonzero(free)]


def _group_through(xs: Elements, ys: Elements, columns: Indices, threshold: int) -> _Found | None:
    """The group that these columns belong to, if they lie on common polynomials."""
    from scanner.vouchers import _field_kernels as kernels

    points = columns[: threshold - 1]
    coefficients = np.empty((threshold - 1, ys.shape[1]), np.uint64)
    kernels.interpolate_into(xs[points], ys[points], coefficients)
    members = np.empty(len(xs), np.bool_)
    kernels.lying_into(coefficients, xs, ys, members)
    return _Found(members, coefficients[0]) if members[columns].all() else None
