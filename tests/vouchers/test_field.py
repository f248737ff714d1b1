"""The field of 2^61 - 1 against Python's integers, one number at a time and compiled."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scanner.errors import ArgumentError, VoucherError
from scanner.vouchers import _field_kernels as kernels
from scanner.vouchers import field
from tests.conftest import run_python

P = 2**61 - 1
EDGES = [0, 1, 2, 7, 8, 2**31, 2**32 - 1, 2**32, 2**60, P - 2, P - 1, P, P + 1, 2**61, 2**62, 2**63, 2**64 - 1]

elements = st.sampled_from([edge for edge in EDGES if edge < P]) | st.integers(0, P - 1)
numbers = st.sampled_from(EDGES) | st.integers(0, 2**64 - 1)
seeds = st.integers(0, 2**32 - 1)


def random_elements(seed: int, *shape: int) -> np.ndarray:
    """Elements, one in three of them an edge."""
    random = np.random.default_rng(seed)
    values = random.integers(0, P, shape, np.uint64)
    edges = random.choice(np.array([edge for edge in EDGES if edge < P], np.uint64), shape)
    return np.where(random.integers(0, 3, shape) == 0, edges, values)


def evaluated(coefficients: list[int], x: int) -> int:
    return sum(c * x**j for j, c in enumerate(coefficients)) % P


def product(left: list[list[int]], right: list[list[int]]) -> list[list[int]]:
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(row, column, strict=True)) % P for column in columns] for row in left]


def reduced(matrix: list[list[int]]) -> tuple[list[list[int]], list[int]]:
    """Reduced row echelon form and its pivot columns, the slow and obvious way."""
    rows = [row[:] for row in matrix]
    pivots: list[int] = []
    for c in range(len(rows[0])):
        below = [i for i in range(len(pivots), len(rows)) if rows[i][c]]
        if not below:
            continue
        top = len(pivots)
        rows[top], rows[below[0]] = rows[below[0]], rows[top]
        rows[top] = [value * pow(rows[top][c], -1, P) % P for value in rows[top]]
        for i in range(len(rows)):
            if i != top:
                rows[i] = [(a - rows[i][c] * b) % P for a, b in zip(rows[i], rows[top], strict=True)]
        pivots.append(c)
    return rows, pivots


@given(a=numbers, b=numbers)
def test_operations_are_those_of_integers_modulo_the_prime(a, b):
    """For any numbers, elements or not."""
    assert field.add(a, b) == (a + b) % P
    assert field.subtract(a, b) == (a - b) % P
    assert field.multiply(a, b) == a * b % P


@given(a=numbers)
def test_an_inverse_gives_one(a):
    """All but 0 have one; p is 0."""
    if a % P:
        assert field.multiply(a, field.inverse(a)) == 1
        assert 0 < field.inverse(a) < P
    else:
        with pytest.raises(ArgumentError, match="no inverse"):
            field.inverse(a)


@given(coefficients=st.lists(elements, max_size=6), x=elements)
def test_a_polynomial_is_the_sum_of_its_terms(coefficients, x):
    """The constant term comes first; no terms make 0."""
    assert field.evaluate(coefficients, x) == evaluated(coefficients, x)


@given(number=numbers)
def test_an_element_has_one_encoding(number):
    """What is no element is neither written nor read, and never reduced."""
    data = number.to_bytes(8)
    if number < P:
        assert field.to_bytes(number) == data
        assert field.from_bytes(data) == number
    else:
        with pytest.raises(ArgumentError):
            field.to_bytes(number)
        with pytest.raises(VoucherError) as refused:
            field.from_bytes(data)
        assert refused.value.problem == "malformed"


def test_a_negative_number_is_no_element():
    """Nothing wraps round."""
    with pytest.raises(ArgumentError):
        field.to_bytes(-1)


@given(data=st.binary(max_size=17))
def test_any_bytes_are_an_element_or_malformed(data):
    """Reading bytes raises VoucherError and nothing else."""
    if len(data) == 8 and int.from_bytes(data) < P:
        assert field.to_bytes(field.from_bytes(data)) == data
    else:
        with pytest.raises(VoucherError):
            field.from_bytes(data)


@given(wide=st.lists(st.tuples(numbers, numbers), max_size=5))
def test_random_bytes_are_spread_as_numbers_of_128_bits(wide):
    """Each 16 bytes, big-endian, modulo the prime."""
    data = b"".join(high.to_bytes(8) + low.to_bytes(8) for high, low in wide)
    assert field.spread(data).tolist() == [((high << 64) + low) % P for high, low in wide]


@given(a=elements, b=elements, c=elements, d=elements)
def test_a_compiled_product_and_sum_are_exact(a, b, c, d):
    """Both terms of a x + b, with every edge: one step of a polynomial of degree 1, for two polynomials."""
    out = np.empty(2, np.uint64)
    kernels.evaluate_into(np.array([[a, b], [c, d]], np.uint64), np.uint64(b), out)
    assert out.tolist() == [(a + b * c) % P, (b + b * d) % P]


@given(a=elements)
def test_a_compiled_inverse_is_exact(a):
    """The inverse, and 0 for 0."""
    assert kernels.inverse(np.uint64(a)) == (pow(a, -1, P) if a else 0)


@given(terms=st.integers(1, 7), count=st.integers(1, 5), x=elements, seed=seeds)
def test_compiled_polynomials_have_the_same_values(terms, count, x, seed):
    """Many polynomials at one place, and the test of whether points lie on them."""
    coefficients = random_elements(seed, terms, count)
    values = np.empty(count, np.uint64)
    kernels.evaluate_into(coefficients, np.uint64(x), values)
    assert values.tolist() == [evaluated(column, x) for column in coefficients.T.tolist()]
    points = np.stack([values, *(values ^ (np.arange(count) == k).astype(np.uint64) for k in range(count))])
    lie = np.empty(count + 1, np.bool_)
    kernels.lying_into(coefficients, np.full(count + 1, x, np.uint64), points, lie)
    assert lie.tolist() == [True] + [False] * count


@given(terms=st.integers(1, 7), count=st.integers(1, 4), seed=seeds)
def test_interpolation_undoes_evaluation(terms, count, seed):
    """Polynomials through as many points as they have terms are the ones the points were taken from."""
    xs = np.unique(random_elements(seed, terms))
    coefficients = random_elements(seed + 1, len(xs), count)
    ys = np.array([[evaluated(c, x) for c in coefficients.T.tolist()] for x in xs.tolist()], np.uint64)
    out = np.empty_like(coefficients)
    kernels.interpolate_into(xs, ys.reshape(len(xs), count), out)
    assert out.tolist() == coefficients.tolist()


@given(rows=st.integers(1, 6), columns=st.integers(1, 6), rank=st.integers(1, 6), seed=seeds)
def test_row_reduction_is_exact(rows, columns, rank, seed):
    """Reduced form, rank and pivots of products of two thin matrices, so that some have a low rank."""
    left = random_elements(seed, rows, rank).tolist()
    matrix = product(left, random_elements(seed + 1, rank, columns).tolist())
    compiled = np.array(matrix, np.uint64)
    pivots = np.empty(min(compiled.shape), np.int64)
    found = kernels.reduce_rows(compiled, pivots)
    assert (compiled.tolist(), pivots[:found].tolist()) == reduced(matrix)


@given(count=st.integers(1, 5), polynomials=st.integers(1, 3), lift=st.integers(0, 2), seed=seeds)
def test_equations_are_powers_and_values_times_powers(count, polynomials, lift, seed):
    """First the powers of x, then y, then x y, and so on."""
    xs, ys = random_elements(seed, count), random_elements(seed + 1, count, polynomials)
    out = np.empty((4 + polynomials * (lift + 1), count), np.uint64)
    kernels.equations_into(xs, ys, lift, out)
    for i, x in enumerate(xs.tolist()):
        powers = [x**j % P for j in range(4)]
        values = [y * x**j % P for j in range(lift + 1) for y in ys[i].tolist()]
        assert out[:, i].tolist() == powers + values


def results() -> list[Any]:
    """What every kernel gives, and what is built on them."""
    from tests.vouchers.test_sharing import shares_of
    from tests.vouchers.test_solving import told

    out: list[Any] = []
    matrix = random_elements(5, 5, 7)
    matrix[3] = matrix[1]
    pivots = np.full(5, -1, np.int64)
    out += [int(kernels.reduce_rows(matrix, pivots)), matrix.tolist(), pivots.tolist()]
    out += [[int(kernels.inverse(np.uint64(edge))) for edge in EDGES if edge < P]]
    window = shares_of(threshold=4, polynomials=6)
    shares = [window.share(number) for number in range(6)]
    out += [[share.to_bytes().hex() for share in shares], told(shares, 4), told(shares[:3], 4)]
    junk = [window.share(0), *(shares_of(secret=bytes([n] * 32)).share(n) for n in range(2, 9))]
    junk = [type(share)(share.x, share.ys[:6]) for share in junk]
    return [*out, told([*shares, *junk], 4)]


SCRIPT = """
import json
import numba
from tests.vouchers.test_field import results

print(json.dumps([numba.config.DISABLE_JIT, results()]))
"""


def test_kernels_give_the_same_without_the_compiler(tmp_path):
    """As plain Python."""
    told = json.loads(run_python(SCRIPT, NUMBA_DISABLE_JIT="1", NUMBA_CACHE_DIR=str(tmp_path)))
    assert told == [1, json.loads(json.dumps(results()))]


def test_vouchers_load_no_compiler():
    """Numba is loaded when the first share is made, not before."""
    script = (
        "import sys, scanner.vouchers, scanner.vouchers.field, scanner.vouchers.sharing, scanner.vouchers.solving;"
        "from scanner.vouchers.sharing import WindowShares;"
        "WindowShares(bytes(32), 1, bytes(16), threshold=3, polynomials=8);"
        "print('numba' in sys.modules)"
    )
    assert run_python(script).strip() == "False"
