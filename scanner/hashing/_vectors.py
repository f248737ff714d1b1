"""A vector of sixteen float32 for numba, in portable LLVM IR: one lane a row, so that a running sum that must be taken
one pixel after the other is taken for sixteen rows at once.

With the JIT off (``NUMBA_DISABLE_JIT=1``) the same names are numpy operations on arrays of sixteen, so that the kernels
run and are tested as plain Python too.
"""

from __future__ import annotations

import operator

import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.datamodel.models import PrimitiveModel
from numba.core.datamodel.registry import register_default
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin

LANES = 16

if config.DISABLE_JIT:  # type: ignore[attr-defined]

    def load(array, at):
        return array[at : at + LANES].copy()

    def store(array, at, vector):
        array[at : at + LANES] = vector

    def splat(number):
        return np.full(LANES, number, np.float32)

    def divide(vector, by, reciprocal):
        return vector / by

    def transpose_into(source, at, target, to):
        target[to : to + LANES * LANES] = source[at : at + LANES * LANES].reshape(LANES, LANES).T.ravel()

    def luma_transposed_into(pixels, at, stride, target, to):
        channels = 1 if pixels.ndim == 2 else 3
        rows = [pixels.ravel()[at + row * stride :][: LANES * channels] for row in range(LANES)]
        square = np.array(rows, np.float64).reshape(LANES, LANES, channels)
        luma = square[..., 0] if channels == 1 else square @ np.array([0.299, 0.587, 0.114])
        target[to : to + LANES * LANES] = luma.astype(np.float32).T.ravel()

else:
    _F32, _I8, _I32 = ir.FloatType(), ir.IntType(8), ir.IntType(32)
    _VECTOR = ir.VectorType(_F32, LANES)

    class _VectorType(types.Type):
        def __init__(self):
            super().__init__("float32x16")

    _vector = _VectorType()

    @register_default(_VectorType)
    class _VectorModel(PrimitiveModel):
        def __init__(self, manager, kind):
            super().__init__(manager, kind, _VECTOR)

    def _define(function, emit):
        @infer_global(function)
        class _Template(AbstractTemplate):
            def generic(self, args, kws):
                return signature(_vector, _vector, _vector) if args == (_vector, _vector) and not kws else None

        @lower_builtin(function, _vector, _vector)
        def _lower(context, builder, sig, args):
            return getattr(builder, emit)(*args)

    _define(operator.add, "fadd")
    _define(operator.sub, "fsub")

    def _address(context, builder, array_type, array, index, vector):
        data = context.make_array(array_type)(context, builder, array).data
        return builder.bitcast(builder.gep(data, [index]), vector.as_pointer())

    def _constant(number):
        return ir.Constant(_VECTOR, [number] * LANES)

    def _multiply_add(builder, a, b, c):
        """A * b + c, rounded once."""
        kind = ir.FunctionType(_VECTOR, [_VECTOR] * 3)
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32"), [a, b, c])

    def _quotient(builder, vector, by, reciprocal):
        """Vector / by, correctly rounded, where reciprocal is 1 / by, correctly rounded.

        Two fused steps are enough (Markstein, IBM J. Res. Dev. 34(1), 1990, theorem 8).
        """
        estimate = builder.fmul(vector, reciprocal)
        rest = _multiply_add(builder, builder.fneg(estimate), by, vector)
        return _multiply_add(builder, rest, reciprocal, estimate)

    def _transposed(builder, rows):
        """Sixteen vectors to the sixteen columns of the square they make."""
        rows = list(rows)
        for step in (8, 4, 2, 1):  # swap the off-diagonal blocks of step x step in each block of twice that
            low = [lane if not lane & step else LANES + lane - step for lane in range(LANES)]
            high = [lane + step if not lane & step else LANES + lane for lane in range(LANES)]
            masks = [ir.Constant(ir.VectorType(_I32, LANES), mask) for mask in (low, high)]
            for row in range(LANES):
                if not row & step:
                    pair = rows[row], rows[row + step]
                    rows[row], rows[row + step] = (builder.shuffle_vector(*pair, mask) for mask in masks)
        return rows

    @intrinsic
    def load(typing_context, array, at):
        """Sixteen float32 from array[at]."""

        def generate(context, builder, sig, args):
            return builder.load(_address(context, builder, sig.args[0], args[0], args[1], _VECTOR), align=4)

        return _vector(array, types.intp), generate

    @intrinsic
    def store(typing_context, array, at, vector):
        """array[at : at + 16] = vector."""

        def generate(context, builder, sig, args):
            builder.store(args[2], _address(context, builder, sig.args[0], args[0], args[1], _VECTOR), align=4)
            return context.get_dummy_value()

        return types.void(array, types.intp, _vector), generate

    @intrinsic
    def splat(typing_context, number):
        """One float32 in every lane."""

        def generate(context, builder, sig, args):
            undefined = ir.Constant(_VECTOR, ir.Undefined)
            one = builder.insert_element(undefined, args[0], ir.Constant(_I32, 0))
            zeros = ir.Constant(ir.VectorType(_I32, LANES), [0] * LANES)
            return builder.shuffle_vector(one, undefined, zeros)

        return _vector(types.float32), generate

    @intrinsic
    def divide(typing_context, vector, by, reciprocal):
        """Vector / by, correctly rounded; reciprocal is the correctly rounded 1 / by."""

        def generate(context, builder, sig, args):
            return _quotient(builder, *args)

        return _vector(_vector, _vector, _vector), generate

    @intrinsic
    def transpose_into(typing_context, source, at, target, to):
        """target[to + 16 c + r] = source[at + 16 r + c] for r, c < 16."""

        def generate(context, builder, sig, args):
            source, at, target, to = args

            def place(kind, array, start, row):
                index = builder.add(start, ir.Constant(start.type, LANES * row))
                return _address(context, builder, kind, array, index, _VECTOR)

            rows = [builder.load(place(sig.args[0], source, at, row), align=4) for row in range(LANES)]
            for row, vector in enumerate(_transposed(builder, rows)):
                builder.store(vector, place(sig.args[2], target, to, row), align=4)
            return context.get_dummy_value()

        return types.void(source, types.intp, target, types.intp), generate

    @intrinsic
    def luma_transposed_into(typing_context, pixels, at, stride, target, to):
        """target[to + 16 c + r] = luma of the pixel at byte at + r stride + channels c, for r, c < 16.

        Pixels of two dimensions are grey, of three RGB. 299 r + 587 g + 114 b is exact in float32; a thousandth of it,
        correctly rounded, is for each of the 2^24 colours the float32 nearest to .299 r + .587 g + .114 b in float64,
        which is what pdqhash takes.
        """
        channels = 1 if pixels.ndim == 2 else 3

        def generate(context, builder, sig, args):
            pixels, at, stride, target, to = args
            raw_type = ir.VectorType(_I8, LANES * channels)

            def plane(raw, channel):
                lanes = [channels * lane + channel for lane in range(LANES)]
                mask = ir.Constant(ir.VectorType(_I32, LANES), lanes)
                picked = builder.shuffle_vector(raw, ir.Constant(raw_type, ir.Undefined), mask)
                return builder.uitofp(picked, _VECTOR)

            def luma(raw):
                if channels == 1:
                    return builder.uitofp(raw, _VECTOR)
                total = builder.fmul(plane(raw, 0), _constant(299.0))
                total = _multiply_add(builder, plane(raw, 1), _constant(587.0), total)
                total = _multiply_add(builder, plane(raw, 2), _constant(114.0), total)
                thousandth = float(np.float32(1) / np.float32(1000))
                return _quotient(builder, total, _constant(1000.0), _constant(thousandth))

            rows = []
            for row in range(LANES):
                index = builder.add(at, builder.mul(stride, ir.Constant(at.type, row)))
                rows.append(builder.load(_address(context, builder, sig.args[0], pixels, index, raw_type), align=1))
            for column, vector in enumerate(_transposed(builder, map(luma, rows))):
                index = builder.add(to, ir.Constant(to.type, LANES * column))
                builder.store(vector, _address(context, builder, sig.args[3], target, index, _VECTOR), align=4)
            return context.get_dummy_value()

        return types.void(pixels, types.intp, types.intp, target, types.intp), generate
