"""What the search kernels need and numba does not have, in portable LLVM IR: typed pointers into one block of bytes,
scratch space on the stack (so that many threads may search at once), prefetches, and comparisons of many values.

With the JIT off (``NUMBA_DISABLE_JIT=1``) the same names are plain Python, so that the kernels run and are tested as
Python too.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import config, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

SKETCHES = 32  # sketches compared at once
ROWS = 8  # rows compared at once
compiled = njit(nogil=True, cache=True, error_model="numpy", boundscheck=False)
part = njit(nogil=True, error_model="numpy", boundscheck=False)  # of a compiled kernel, cached with it

if config.DISABLE_JIT:  # type: ignore[attr-defined]

    def words_at(base, index, like):
        return tuple(base[index + word] for word in range(len(like)))

    def pointer(block, offset, dtype):
        tail = np.frombuffer(block, np.uint8)[int(offset) :]
        size = np.dtype(dtype).itemsize
        return tail[: tail.size // size * size].view(dtype)

    def scratch(dtype, count):
        return lambda: np.zeros(count, dtype)

    def prefetch(base, index):
        pass

    def put(base, index, value):
        base[index] = value

    def word(base, index):
        return base[index]

    def sketches_within(base, index, sketch, limit):
        near = ((int(base[index + lane]) ^ int(sketch)).bit_count() <= limit for lane in range(SKETCHES))
        return np.uint64(sum(hit << lane for lane, hit in enumerate(near)))

    bytes_within = sketches_within

    def number_at(base, index, size):
        return int.from_bytes(bytes(base[index : index + size]), "little")

    def rows_within(base, index, query, limit):
        mask = 0
        for lane in range(ROWS):
            row = base[len(query) * (index + lane) :][: len(query)]
            distance = sum((int(word) ^ int(q)).bit_count() for word, q in zip(row, query, strict=True))
            mask |= (distance <= limit) << lane
        return np.uint64(mask)

    def row_distances_into(base, index, query, out):
        for lane in range(ROWS):
            row = base[len(query) * (index + lane) :][: len(query)]
            out[lane] = sum((int(word) ^ int(q)).bit_count() for word, q in zip(row, query, strict=True))

    def lowest_bit(word):
        return (int(word) & -int(word)).bit_length() - 1

    def popcount(word):
        return int(word).bit_count()

else:
    _I8_POINTER = ir.IntType(8).as_pointer()
    _I32, _I64 = ir.IntType(32), ir.IntType(64)

    def _lanes(indices):
        indices = list(indices)
        return ir.Constant(ir.VectorType(_I32, len(indices)), indices)

    def _undefined(element, count):
        return ir.Constant(ir.VectorType(element, count), ir.Undefined)

    def _splat(builder, value, element, count):
        one = builder.insert_element(_undefined(element, count), value, ir.Constant(_I32, 0))
        return builder.shuffle_vector(one, _undefined(element, count), _lanes([0] * count))

    def _call(builder, name, result, *args):
        kind = ir.FunctionType(result, [arg.type for arg in args])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), list(args))

    @intrinsic
    def pointer(typing_context, block, offset, dtype):
        """Pointer to values of dtype, offset bytes into a block (an array or bytes).

        It does not keep the block alive: take it of an argument of the kernel, or of an array that is used afterwards.
        """
        kind = dtype.dtype

        def generate(context, builder, sig, args):
            start = builder.bitcast(context.make_array(sig.args[0])(context, builder, args[0]).data, _I8_POINTER)
            place = builder.gep(start, [args[1]])
            return builder.bitcast(place, context.get_value_type(kind).as_pointer())

        return types.CPointer(kind)(block, types.int64, dtype), generate

    def scratch(dtype, count):
        """Make an intrinsic that gives count values of dtype on the stack of the calling kernel."""
        kind = types.NumberClass(getattr(types, np.dtype(dtype).name)).dtype

        @intrinsic
        def allocate(typing_context):
            def generate(context, builder, sig, args):
                element = context.get_value_type(kind)
                with builder.goto_entry_block():
                    place = builder.alloca(ir.ArrayType(element, count))
                    place.align = 64
                return builder.bitcast(place, element.as_pointer())

            return types.CPointer(kind)(), generate

        return allocate

    @intrinsic
    def prefetch(typing_context, base, index):
        """Ask for the cache line of base[index]."""

        def generate(context, builder, sig, args):
            place = builder.bitcast(builder.gep(args[0], [args[1]]), _I8_POINTER)
            read, keep, data = (ir.Constant(_I32, value) for value in (0, 3, 1))
            _call(builder, "llvm.prefetch.p0", ir.VoidType(), place, read, keep, data)
            return context.get_dummy_value()

        return types.void(base, types.int64), generate

    @intrinsic
    def put(typing_context, base, index, value):
        """base[index] = value."""

        def generate(context, builder, sig, args):
            builder.store(args[2], builder.gep(args[0], [args[1]]))
            return context.get_dummy_value()

        return types.void(base, types.int64, base.dtype), generate

    @intrinsic
    def word(typing_context, base, index):
        """base[index], a u64 at any address: codes in a file begin where FAISS puts them."""

        def generate(context, builder, sig, args):
            return builder.load(builder.gep(args[0], [args[1]]), align=1)

        return types.uint64(base, types.int64), generate

    def _compare(bits):
        """Make the comparison of 32 sketches of so many bits."""
        element = ir.IntType(bits)

        def generate(context, builder, sig, args):
            vector = ir.VectorType(element, SKETCHES)
            place = builder.bitcast(builder.gep(args[0], [args[1]]), vector.as_pointer())
            stored = builder.load(place, align=1)
            wanted = _splat(builder, builder.trunc(args[2], element), element, SKETCHES)
            most = _splat(builder, builder.trunc(args[3], element), element, SKETCHES)
            differing = _call(builder, f"llvm.ctpop.v{SKETCHES}i{bits}", vector, builder.xor(stored, wanted))
            near = builder.icmp_unsigned("<=", differing, most)
            return builder.zext(builder.bitcast(near, ir.IntType(SKETCHES)), _I64)

        return generate

    @intrinsic
    def sketches_within(typing_context, base, index, sketch, limit):
        """Compare 32 sketches of 16 bits: bit l is set iff popcount(base[index + l] ^ sketch) <= limit."""
        return types.uint64(base, types.int64, types.uint64, types.int64), _compare(16)

    @intrinsic
    def bytes_within(typing_context, base, index, sketch, limit):
        """The same for sketches of 8 bits."""
        return types.uint64(base, types.int64, types.uint64, types.int64), _compare(8)

    @intrinsic
    def number_at(typing_context, base, index, size):
        """A number of 3 or 4 bytes at base[index], little-endian; reads four."""

        def generate(context, builder, sig, args):
            place = builder.bitcast(builder.gep(args[0], [args[1]]), _I32.as_pointer())
            stored = builder.load(place, align=1)
            unused = builder.sub(ir.Constant(_I64, 32), builder.mul(args[2], ir.Constant(_I64, 8)))
            mask = builder.lshr(ir.Constant(_I32, 0xFFFFFFFF), builder.trunc(unused, _I32))
            return builder.zext(builder.and_(stored, mask), _I64)

        return types.int64(base, types.int64, types.int64), generate

    @intrinsic
    def words_at(typing_context, base, index, like):
        """As many u64 from base[index], at any address, as like has; a tuple."""
        kind = types.UniTuple(types.uint64, like.count)

        def generate(context, builder, sig, args):
            places = (builder.gep(args[0], [builder.add(args[1], ir.Constant(_I64, n))]) for n in range(like.count))
            return context.make_tuple(builder, kind, [builder.load(place, align=1) for place in places])

        return kind(base, types.int64, like), generate

    def _row_distances(builder, base, index, query, words):
        """Distances of rows index to index + 7 from a query, a tuple of words: a vector of 8 u64."""
        count = words * ROWS
        vector = ir.VectorType(_I64, count)
        start = builder.gep(base, [builder.mul(index, ir.Constant(_I64, words))])
        stored = builder.load(builder.bitcast(start, vector.as_pointer()), align=1)
        wanted = _undefined(_I64, words)
        for n, value in enumerate(cgutils.unpack_tuple(builder, query, words)):
            wanted = builder.insert_element(wanted, value, ir.Constant(_I32, n))
        wanted = builder.shuffle_vector(wanted, _undefined(_I64, words), _lanes(n % words for n in range(count)))
        total = _call(builder, f"llvm.ctpop.v{count}i64", vector, builder.xor(stored, wanted))
        while count > ROWS:
            nothing = _undefined(_I64, count)
            even = builder.shuffle_vector(total, nothing, _lanes(range(0, count, 2)))
            odd = builder.shuffle_vector(total, nothing, _lanes(range(1, count, 2)))
            total = builder.add(even, odd)
            count //= 2
        return total

    @intrinsic
    def rows_within(typing_context, base, index, query, limit):
        """Compare 8 rows of as many words as query has: bit l is set iff row index + l is within limit bits of it."""
        words = query.count

        def generate(context, builder, sig, args):
            total = _row_distances(builder, *args[:3], words)
            near = builder.icmp_unsigned("<=", total, _splat(builder, args[3], _I64, ROWS))
            return builder.zext(builder.bitcast(near, ir.IntType(ROWS)), _I64)

        return types.uint64(base, types.int64, query, types.int64), generate

    @intrinsic
    def row_distances_into(typing_context, base, index, query, out):
        """out[l] = distance of row index + l from query, for the 8 rows from index; out points to u64."""
        words = query.count

        def generate(context, builder, sig, args):
            total = _row_distances(builder, *args[:3], words)
            place = builder.bitcast(args[3], ir.VectorType(_I64, ROWS).as_pointer())
            builder.store(total, place, align=8)
            return context.get_dummy_value()

        return types.void(base, types.int64, query, out), generate

    @intrinsic
    def lowest_bit(typing_context, word):
        """Position of the lowest set bit; the word is not 0."""

        def generate(context, builder, sig, args):
            return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

        return types.int64(types.uint64), generate

    @intrinsic
    def popcount(typing_context, word):
        """Bits set in a u64."""

        def generate(context, builder, sig, args):
            return builder.ctpop(args[0])

        return types.int64(types.uint64), generate
