"""Compiled arithmetic over the field of 2^61 - 1: polynomials at a point, through points, and row reduction.

Every number is an element, a u64 below the prime, going in and coming out. A product has 122 bits; as 2^61 = 1, its low
61 bits and the rest are added, and one subtraction makes the sum an element. Polynomials lie side by side, one row a
power, so that the innermost loops run over independent chains.

Kernels never validate, allocate results or decide; scanner.vouchers.sharing and scanner.vouchers.solving do.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.extending import intrinsic

_PRIME = 2**61 - 1
_BITS = 61
_P, _0, _1 = np.uint64(_PRIME), np.uint64(0), np.uint64(1)

compiled = njit(nogil=True, cache=True, boundscheck=False)

if config.DISABLE_JIT:  # type: ignore[attr-defined]

    def multiply_add(a, b, c):
        return np.uint64((int(a) * int(b) + int(c)) % _PRIME)

else:
    _I64, _I128 = ir.IntType(64), ir.IntType(128)

    @intrinsic
    def multiply_add(typing_context, a, b, c):
        """Multiply and add, a b + c: at most p (p - 1), whose low 61 bits and rest add up to less than 2 p."""

        def generate(context, builder, sig, args):
            a, b, c = (builder.zext(value, _I128) for value in args)
            prime = ir.Constant(_I64, _PRIME)
            total = builder.add(builder.mul(a, b), c)
            low = builder.and_(builder.trunc(total, _I64), prime)
            folded = builder.add(low, builder.trunc(builder.lshr(total, ir.Constant(_I128, _BITS)), _I64))
            return builder.select(builder.icmp_unsigned("<", folded, prime), folded, builder.sub(folded, prime))

        return types.uint64(types.uint64, types.uint64, types.uint64), generate


@compiled
def inverse(a):
    """a^(p - 2), which is 1 / a, or 0 for 0 (Fermat); the exponent's bits are all 1 but the second lowest."""
    result = a
    for bit in range(_BITS - 2, -1, -1):
        result = multiply_add(result, result, _0)
        if bit != 1:
            result = multiply_add(result, a, _0)
    return result


@compiled
def evaluate_into(coefficients, x, out):
    """out[k] = sum over j of coefficients[j, k] x^j; coefficients (terms, P), at least one term; out (P,)."""
    last = coefficients.shape[0] - 1
    for k in range(out.size):
        out[k] = coefficients[last, k]
    for j in range(last - 1, -1, -1):
        for k in range(out.size):
            out[k] = multiply_add(out[k], x, coefficients[j, k])


@compiled
def lying_into(coefficients, xs, ys, out):
    """out[i] = whether the polynomials have the values ys[i] at xs[i]; (terms, P), (n,), (n, P), out (n,) bool."""
    last = coefficients.shape[0] - 1
    values = np.empty(ys.shape[1], np.uint64)
    for i in range(xs.size):
        first = coefficients[last, 0]
        for j in range(last - 1, -1, -1):
            first = multiply_add(first, xs[i], coefficients[j, 0])
        out[i] = first == ys[i, 0]
        if out[i]:  # few that differ get this far
            evaluate_into(coefficients, xs[i], values)
            for k in range(values.size):
                if values[k] != ys[i, k]:
                    out[i] = False


@compiled
def interpolate_into(xs, ys, out):
    """Write the polynomials through the points (xs[i], ys[i]) (Lagrange); xs (terms,) distinct, ys and out (terms, P).

    The basis polynomials are what is left of (x - x_0) (x - x_1) ... when one factor is divided out.
    """
    terms = xs.size
    product = np.zeros(terms + 1, np.uint64)
    product[0] = _1
    for i in range(terms):
        minus = _P - xs[i] if xs[i] else _0
        for j in range(i + 1, 0, -1):
            product[j] = multiply_add(product[j], minus, product[j - 1])
        product[0] = multiply_add(product[0], minus, _0)
    basis = np.empty(terms, np.uint64)
    out[:] = _0
    for i in range(terms):
        value = _0
        factor = product[terms]
        for j in range(terms - 1, -1, -1):
            basis[j] = factor
            value = multiply_add(value, xs[i], factor)
            factor = multiply_add(factor, xs[i], product[j])
        scale = inverse(value)
        for j in range(terms):
            weight = multiply_add(scale, basis[j], _0)
            for k in range(out.shape[1]):
                out[j, k] = multiply_add(weight, ys[i, k], out[j, k])


@compiled
def equations_into(xs, ys, lift, out):
    """Write column i as powers of xs[i], then ys[i] times the powers 0 to lift; xs (n,), ys (n, P), out (rows, n)."""
    polynomials = ys.shape[1]
    powers = out.shape[0] - polynomials * (lift + 1)
    for i in range(xs.size):
        power = _1
        for j in range(powers):
            out[j, i] = power
            power = multiply_add(power, xs[i], _0)
        for k in range(polynomials):
            value = ys[i, k]
            for j in range(lift + 1):
                out[powers + j * polynomials + k, i] = value
                value = multiply_add(value, xs[i], _0)


@compiled
def reduce_rows(matrix, pivots):
    """Bring a matrix (rows, n) to reduced row echelon form; returns its rank, pivots[r] is the column of row r's 1."""
    rows, columns = matrix.shape
    rank = 0
    for c in range(columns):
        chosen = rank
        while chosen < rows and matrix[chosen, c] == _0:
            chosen += 1
        if chosen == rows:
            continue
        scale = inverse(matrix[chosen, c])
        for j in range(c, columns):
            value = matrix[chosen, j]
            matrix[chosen, j] = matrix[rank, j]
            matrix[rank, j] = multiply_add(value, scale, _0)
        for i in range(rows):
            factor = matrix[i, c]
            if i != rank and factor != _0:
                factor = _P - factor
                for j in range(c, columns):
                    matrix[i, j] = multiply_add(factor, matrix[rank, j], matrix[i, j])
        pivots[rank] = c
        rank += 1
    return rank
