# mypy: ignore-errors
"""The CPU kernels: forward and backward over tiles of sixteen channels, compiled by numba, no Python inside.

Loop order: chunks of ``STEPS`` steps outermost, so that B and C of a chunk and all its rows of u are read once, while
hot; then tiles of sixteen channels; then pairs of states; then the steps, with the states in registers. The
state between chunks lies in memory. A tile's rows are brought into a (STEPS, 16) buffer first, whatever their layout:
channel-last rows are copied, channel-first rows are transposed in registers, the rest is picked one by one.

All arrays are flat; ``layout`` holds, for each sequence, the strides (batch, channel, step), in elements.
The kernels release the GIL and use no numba threads: the callers give each thread its own range of tiles.
"""

import contextlib
import hashlib
from pathlib import Path

import numpy as np
from numba import njit, types

from common.scan.lanes import (
    WIDTH,
    accumulate64,
    add,
    exp2_product,
    fma,
    load,
    minus,
    mul,
    prefetch,
    prefetch_write,
    sigmoid,
    softplus,
    splat,
    store,
    sum_rows,
    times,
    transpose,
    zeros,
)

STEPS = 32
BUFFER = STEPS * WIDTH  # floats of one (STEPS, 16) buffer
LN_2 = 0.6931471805599453
OPTIONS = {"nogil": True, "error_model": "numpy", "boundscheck": False}


def _source_stamp() -> str:
    """A digest of this file and of the vector operations, which numba's own cache would not see change."""
    here = Path(__file__)
    return hashlib.sha256(here.read_bytes() + here.with_name("lanes.py").read_bytes()).hexdigest()


STAMP = _source_stamp()


def compiled(function):
    """``njit`` with the on-disk cache where a folder for it can be written, without where not."""
    try:
        kernel = njit(cache=True, **OPTIONS)(function)
    except RuntimeError:  # "no locator available": neither the package's folder nor the user's cache is writable
        return njit(**OPTIONS)(function)
    with contextlib.suppress(AttributeError):  # where numba renames its internals, only edits of lanes.py go unnoticed
        kernel._cache._cache_file._source_stamp = STAMP
    return kernel


@compiled
def read_tile(buffer, at, source, base, channel_stride, rows, steps, width):
    """buffer[at + 16 l + j] = source[base + j channel_stride + rows[l]]; lanes and steps beyond the tile are zero."""
    if channel_stride == 1 and width == WIDTH:
        for l in range(steps):
            store(buffer, at + l * WIDTH, load(source, base + rows[l]))
            prefetch(source, base + rows[l + STEPS])
    elif width == WIDTH and steps == STEPS and rows[2 * STEPS]:
        for j in range(width):
            prefetch(source, base + j * channel_stride + rows[STEPS])
            prefetch(source, base + j * channel_stride + rows[STEPS + WIDTH])
        transpose(buffer, at, WIDTH, source, base + rows[0], channel_stride)
        transpose(buffer, at + WIDTH * WIDTH, WIDTH, source, base + rows[0] + WIDTH, channel_stride)
    else:
        for l in range(steps):
            for j in range(width):
                buffer[at + l * WIDTH + j] = source[base + j * channel_stride + rows[l]]
            for j in range(width, WIDTH):
                buffer[at + l * WIDTH + j] = 0


@compiled
def write_tile(buffer, at, target, base, channel_stride, rows, steps, width, adding):
    """The inverse of ``read_tile``; adds to what is there if ``adding``."""
    if adding and channel_stride == 1 and width == WIDTH:
        for l in range(steps):
            store(target, base + rows[l], add(load(target, base + rows[l]), load(buffer, at + l * WIDTH)))
            prefetch_write(target, base + rows[l + STEPS])
    elif adding:
        for l in range(steps):
            for j in range(width):
                target[base + j * channel_stride + rows[l]] += buffer[at + l * WIDTH + j]
    elif channel_stride == 1 and width == WIDTH:
        for l in range(steps):
            store(target, base + rows[l], load(buffer, at + l * WIDTH))
            prefetch_write(target, base + rows[l + STEPS])
    elif width == WIDTH and steps == STEPS and rows[2 * STEPS]:
        for j in range(width):
            prefetch_write(target, base + j * channel_stride + rows[STEPS])
            prefetch_write(target, base + j * channel_stride + rows[STEPS + WIDTH])
        transpose(target, base + rows[0], channel_stride, buffer, at, WIDTH)
        transpose(target, base + rows[0] + WIDTH, channel_stride, buffer, at + WIDTH * WIDTH, WIDTH)
    else:
        for l in range(steps):
            for j in range(width):
                target[base + j * channel_stride + rows[l]] = buffer[at + l * WIDTH + j]


@compiled
def read_matrix(buffer, at, source, base, state_stride, rows, states, steps):
    """buffer[at + n STEPS + l] = source[base + n state_stride + rows[l]]: one chunk of B or C."""
    for n in range(states):
        for l in range(steps):
            buffer[at + n * STEPS + l] = source[base + n * state_stride + rows[l]]


@compiled
def fill_rows(rows, walk, start, stride, following, length):
    """rows[l] = offset of step start + l: the walk's voxel, or the step itself where there is no walk.

    Behind them, from rows[STEPS], the same for the chunk at ``following``, whose memory is fetched ahead; at the end
    a flag: both chunks lie in one piece.
    """
    rows[2 * STEPS] = 1
    for first, at in ((start, 0), (following, STEPS)):
        for l in range(min(STEPS, length - first)):
            rows[at + l] = (walk[first + l] if walk.size else first + l) * stride
            if rows[at + l] - rows[at] != l:
                rows[2 * STEPS] = 0


@compiled
def prepare_steps(scratch, raw, d, u, du, bias, bias_at, positive, steps):
    """Turn raw delta into step sizes d (in place of nothing: raw is kept with its bias added) and d u."""
    offset = load(bias, bias_at)
    for l in range(steps):
        value = add(load(scratch, raw + l * WIDTH), offset)
        store(scratch, raw + l * WIDTH, value)
        if positive:
            value = softplus(value)
        store(scratch, d + l * WIDTH, value)
        store(scratch, du + l * WIDTH, mul(value, load(scratch, u + l * WIDTH)))


@compiled
def skip_term(scratch, y, u, D, D_at, steps):
    """y = D u."""
    skip = load(D, D_at)
    for l in range(steps):
        store(scratch, y + l * WIDTH, mul(skip, load(scratch, u + l * WIDTH)))


@compiled
def advance_four(scratch, d, du, y, A2, A_at, state, state_at, B_at, C_at, steps):
    """Four states over one chunk: h = 2^(d A2) h + d u B, y += C h, with the states in registers."""
    a0, h0 = load(A2, A_at), load(state, state_at)
    a1, h1 = load(A2, A_at + WIDTH), load(state, state_at + WIDTH)
    a2, h2 = load(A2, A_at + 2 * WIDTH), load(state, state_at + 2 * WIDTH)
    a3, h3 = load(A2, A_at + 3 * WIDTH), load(state, state_at + 3 * WIDTH)
    for l in range(steps):
        step, drive = load(scratch, d + l * WIDTH), load(scratch, du + l * WIDTH)
        total = load(scratch, y + l * WIDTH)
        h0 = fma(exp2_product(step, a0), h0, mul(drive, splat(scratch, B_at + l)))
        h1 = fma(exp2_product(step, a1), h1, mul(drive, splat(scratch, B_at + STEPS + l)))
        h2 = fma(exp2_product(step, a2), h2, mul(drive, splat(scratch, B_at + 2 * STEPS + l)))
        h3 = fma(exp2_product(step, a3), h3, mul(drive, splat(scratch, B_at + 3 * STEPS + l)))
        total = fma(h0, splat(scratch, C_at + l), total)
        total = fma(h1, splat(scratch, C_at + STEPS + l), total)
        total = fma(h2, splat(scratch, C_at + 2 * STEPS + l), total)
        total = fma(h3, splat(scratch, C_at + 3 * STEPS + l), total)
        store(scratch, y + l * WIDTH, total)
    store(state, state_at, h0)
    store(state, state_at + WIDTH, h1)
    store(state, state_at + 2 * WIDTH, h2)
    store(state, state_at + 3 * WIDTH, h3)


@compiled
def advance_one(scratch, d, du, y, A2, A_at, state, state_at, B_at, C_at, steps):
    """One state over one chunk."""
    a, h = load(A2, A_at), load(state, state_at)
    for l in range(steps):
        step, drive = load(scratch, d + l * WIDTH), load(scratch, du + l * WIDTH)
        h = fma(exp2_product(step, a), h, mul(drive, splat(scratch, B_at + l)))
        store(scratch, y + l * WIDTH, fma(h, splat(scratch, C_at + l), load(scratch, y + l * WIDTH)))
    store(state, state_at, h)


@compiled
def gate(scratch, y, z, steps):
    """y = y z sigmoid(z)."""
    for l in range(steps):
        value = load(scratch, z + l * WIDTH)
        value = mul(value, sigmoid(value))
        store(scratch, y + l * WIDTH, mul(load(scratch, y + l * WIDTH), value))


@compiled
def keep_state(saved, at, row, state, state_at, states, width):
    """saved[at + n row + j] = state of lane j: the checkpoint before a chunk."""
    for n in range(states):
        if width == WIDTH:
            store(saved, at + n * row, load(state, state_at + n * WIDTH))
        else:
            for j in range(width):
                saved[at + n * row + j] = state[state_at + n * WIDTH + j]


@compiled
def fetch_state(saved, at, row, state, state_at, states, width):
    """The inverse of ``keep_state``; lanes beyond the tile are zero."""
    for n in range(states):
        if width == WIDTH:
            store(state, state_at + n * WIDTH, load(saved, at + n * row))
        else:
            for j in range(WIDTH):
                state[state_at + n * WIDTH + j] = saved[at + n * row + j] if j < width else 0


@compiled
def scan_forward(u, delta, z, B, C, A2, D, bias, state, saved, out, at, strides, read, write, sizes, flags, scratch):
    """Scan ``channels`` consecutive channels of one group of one batch entry; ``common.scan.cpu`` says how."""
    at_u, at_delta, at_z, at_B, at_C, at_out, tile, at_state, at_saved = at
    u_c, u_l, delta_c, delta_l, z_c, z_l, B_n, B_l, C_n, C_l, out_c, out_l = strides
    channels, length, states, saved_row = sizes
    has_z, positive, save, adding = flags
    X, DT, DU, Y, Z = 0, BUFFER, 2 * BUFFER, 3 * BUFFER, 4 * BUFFER
    BC = 5 * BUFFER
    CC = BC + states * STEPS
    rows = np.zeros((6, 2 * STEPS + 1), np.int64)
    for start in range(0, length, STEPS):
        steps, following = min(STEPS, length - start), min(start + STEPS, length)
        fill_rows(rows[0], read, start, u_l, following, length)
        fill_rows(rows[1], read, start, delta_l, following, length)
        fill_rows(rows[2], read, start, z_l, following, length)
        fill_rows(rows[3], read, start, B_l, following, length)
        fill_rows(rows[4], read, start, C_l, following, length)
        fill_rows(rows[5], write, start, out_l, following, length)
        read_matrix(scratch, BC, B, at_B, B_n, rows[3], states, steps)
        read_matrix(scratch, CC, C, at_C, C_n, rows[4], states, steps)
        for first in range(0, channels, WIDTH):
            width = min(WIDTH, channels - first)
            index = tile + first // WIDTH
            here = at_state + first // WIDTH * states * WIDTH
            read_tile(scratch, X, u, at_u + first * u_c, u_c, rows[0], steps, width)
            read_tile(scratch, DT, delta, at_delta + first * delta_c, delta_c, rows[1], steps, width)
            prepare_steps(scratch, DT, DT, X, DU, bias, index * WIDTH, positive, steps)
            skip_term(scratch, Y, X, D, index * WIDTH, steps)
            if save:
                keep_state(
                    saved, at_saved + start // STEPS * states * saved_row + first, saved_row, state, here, states, width
                )
            n = 0
            while n + 4 <= states:
                A_at, n_at = (index * states + n) * WIDTH, here + n * WIDTH
                advance_four(scratch, DT, DU, Y, A2, A_at, state, n_at, BC + n * STEPS, CC + n * STEPS, steps)
                n += 4
            while n < states:
                A_at, n_at = (index * states + n) * WIDTH, here + n * WIDTH
                advance_one(scratch, DT, DU, Y, A2, A_at, state, n_at, BC + n * STEPS, CC + n * STEPS, steps)
                n += 1
            if has_z:
                read_tile(scratch, Z, z, at_z + first * z_c, z_c, rows[2], steps, width)
                gate(scratch, Y, Z, steps)
            write_tile(scratch, Y, out, at_out + first * out_c, out_c, rows[5], steps, width, adding)


@compiled
def reverse_one(scratch, d, du, gy, y, g_du, g_d, A2, A_at, states_before, before_at, carry, carry_at, a, h, B_at, C_at,
                dB_at, dC_at, sums, sums_at, steps):  # fmt: skip
    """One state over one chunk: forward again from the checkpoint, then back with the gradient g of h in a register.

    Adds C h to y, g B to the gradient of d u, g a h_before A2 to that of d (times log2 e), and per lane to dB and dC.
    """
    rate, value = load(A2, A_at), load(states_before, before_at)
    store(scratch, h, value)
    for l in range(steps):
        decay = exp2_product(load(scratch, d + l * WIDTH), rate)
        value = fma(decay, value, mul(load(scratch, du + l * WIDTH), splat(scratch, B_at + l)))
        store(scratch, a + l * WIDTH, decay)
        store(scratch, h + (l + 1) * WIDTH, value)
        store(scratch, y + l * WIDTH, fma(value, splat(scratch, C_at + l), load(scratch, y + l * WIDTH)))
    g, total = load(carry, carry_at), zeros()
    for l in range(steps - 1, -1, -1):
        upstream, row = load(scratch, gy + l * WIDTH), l * WIDTH
        g = fma(upstream, splat(scratch, C_at + l), g)
        store(scratch, dC_at + row, fma(upstream, load(scratch, h + row + WIDTH), load(scratch, dC_at + row)))
        store(scratch, dB_at + row, fma(g, load(scratch, du + row), load(scratch, dB_at + row)))
        store(scratch, g_du + row, fma(g, splat(scratch, B_at + l), load(scratch, g_du + row)))
        g = mul(g, load(scratch, a + row))
        through = mul(g, load(scratch, h + row))
        store(scratch, g_d + row, fma(through, rate, load(scratch, g_d + row)))
        total = fma(through, load(scratch, d + row), total)
    store(carry, carry_at, g)
    accumulate64(sums, sums_at, total)


@compiled
def open_gate(scratch, go, z, gy, steps):
    """gy = go silu(z), the gradient of the ungated output."""
    for l in range(steps):
        value = load(scratch, z + l * WIDTH)
        store(scratch, gy + l * WIDTH, mul(load(scratch, go + l * WIDTH), mul(value, sigmoid(value))))


@compiled
def gate_gradient(scratch, go, z, y, steps):
    """z = go y silu'(z): the gate's own gradient, in the place of z."""
    for l in range(steps):
        value = load(scratch, z + l * WIDTH)
        s = sigmoid(value)
        slope = fma(mul(s, value), sigmoid(minus(value)), s)  # s + z s (1 - s)
        product = mul(load(scratch, go + l * WIDTH), load(scratch, y + l * WIDTH))
        store(scratch, z + l * WIDTH, mul(product, slope))


@compiled
def close_tile(scratch, x, raw, d, gy, g_du, g_d, D, D_at, positive, sums, sums_D, sums_bias, steps):
    """Finish a tile: x becomes the gradient of u, raw that of delta; sums over time go to the float64 sums."""
    skip = load(D, D_at)
    sum_D, sum_bias = zeros(), zeros()
    for l in range(steps):
        row = l * WIDTH
        upstream, drive, value = load(scratch, gy + row), load(scratch, g_du + row), load(scratch, x + row)
        slope = fma(drive, value, times(load(scratch, g_d + row), LN_2))
        if positive:
            slope = mul(slope, sigmoid(load(scratch, raw + row)))
        sum_D, sum_bias = fma(upstream, value, sum_D), add(sum_bias, slope)
        store(scratch, x + row, fma(drive, load(scratch, d + row), mul(upstream, skip)))
        store(scratch, raw + row, slope)
    accumulate64(sums, sums_D, sum_D)
    accumulate64(sums, sums_bias, sum_bias)


@compiled
def write_matrix(scratch, at, spare, target, base, state_stride, rows, states, steps):
    """target[base + n state_stride + rows[l]] = sum over the lanes of scratch[at + (n STEPS + l) 16 ...]."""
    for n in range(states):
        for half in range(0, steps, WIDTH):
            sum_rows(scratch, spare, scratch, at + n * BUFFER + half * WIDTH)
            for l in range(half, min(half + WIDTH, steps)):
                target[base + n * state_stride + rows[l]] = scratch[spare + l - half]


@compiled
def scan_backward(
    u, delta, z, B, C, A2, D, bias, saved, grad_out, carry, g_u, g_delta, g_z, g_B, g_C, sums,
    at, strides, read, write, sizes, flags, scratch,
):  # fmt: skip
    """Gradients of what ``scan_forward`` computed, chunks from the last to the first. See ``common.scan.cpu``."""
    at_u, at_delta, at_z, at_B, at_C, at_out, tile, at_state, at_saved, at_gu, at_gdelta, at_gz, at_gB = at
    u_c, u_l, delta_c, delta_l, z_c, z_l, B_n, B_l, C_n, C_l, out_c, out_l = strides[:12]
    gu_c, gu_l, gdelta_c, gdelta_l, gz_c, gz_l = strides[12:]
    channels, length, states, saved_row = sizes
    has_z, positive, _, adding = flags
    X, RAW, DT, DU, Y, Z, GO, GY = 0, BUFFER, 2 * BUFFER, 3 * BUFFER, 4 * BUFFER, 5 * BUFFER, 6 * BUFFER, 7 * BUFFER
    GDU, GD, DECAY, H = 8 * BUFFER, 9 * BUFFER, 10 * BUFFER, 11 * BUFFER
    SPARE = 12 * BUFFER + WIDTH
    START = SPARE + WIDTH
    BC = START + states * WIDTH
    CC = BC + states * STEPS
    DB = CC + states * STEPS
    DC = DB + states * BUFFER
    if not has_z:
        GY = GO
    rows = np.zeros((10, 2 * STEPS + 1), np.int64)
    for start in range((length - 1) // STEPS * STEPS, -1, -STEPS):
        steps, following = min(STEPS, length - start), max(start - STEPS, 0)
        fill_rows(rows[0], read, start, u_l, following, length)
        fill_rows(rows[1], read, start, delta_l, following, length)
        fill_rows(rows[2], read, start, z_l, following, length)
        fill_rows(rows[3], read, start, B_l, following, length)
        fill_rows(rows[4], read, start, C_l, following, length)
        fill_rows(rows[5], write, start, out_l, following, length)
        fill_rows(rows[6], read, start, gu_l, following, length)
        fill_rows(rows[7], read, start, gdelta_l, following, length)
        fill_rows(rows[8], read, start, gz_l, following, length)
        fill_rows(rows[9], read, start, 1, following, length)
        read_matrix(scratch, BC, B, at_B, B_n, rows[3], states, steps)
        read_matrix(scratch, CC, C, at_C, C_n, rows[4], states, steps)
        for i in range(DB, DC + states * BUFFER):
            scratch[i] = 0
        for first in range(0, channels, WIDTH):
            width = min(WIDTH, channels - first)
            index = tile + first // WIDTH
            here = at_state + first // WIDTH * states * WIDTH
            read_tile(scratch, X, u, at_u + first * u_c, u_c, rows[0], steps, width)
            read_tile(scratch, RAW, delta, at_delta + first * delta_c, delta_c, rows[1], steps, width)
            read_tile(scratch, GO, grad_out, at_out + first * out_c, out_c, rows[5], steps, width)
            prepare_steps(scratch, RAW, DT, X, DU, bias, index * WIDTH, positive, steps)
            skip_term(scratch, Y, X, D, index * WIDTH, steps)
            if has_z:
                read_tile(scratch, Z, z, at_z + first * z_c, z_c, rows[2], steps, width)
                open_gate(scratch, GO, Z, GY, steps)
            fetch_state(
                saved, at_saved + start // STEPS * states * saved_row + first, saved_row, scratch, START, states, width
            )
            for i in range(GDU, GD + BUFFER):
                scratch[i] = 0
            for n in range(states):
                A_at = (index * states + n) * WIDTH
                reverse_one(scratch, DT, DU, GY, Y, GDU, GD, A2, A_at, scratch, START + n * WIDTH,
                            carry, here + n * WIDTH, DECAY, H, BC + n * STEPS, CC + n * STEPS,
                            DB + n * BUFFER, DC + n * BUFFER,
                            sums, (index * (states + 2) + n) * WIDTH, steps)  # fmt: skip
            if has_z:
                gate_gradient(scratch, GO, Z, Y, steps)
                write_tile(scratch, Z, g_z, at_gz + first * gz_c, gz_c, rows[8], steps, width, False)
            sums_D = (index * (states + 2) + states) * WIDTH
            close_tile(
                scratch, X, RAW, DT, GY, GDU, GD, D, index * WIDTH, positive, sums, sums_D, sums_D + WIDTH, steps
            )
            write_tile(scratch, X, g_u, at_gu + first * gu_c, gu_c, rows[6], steps, width, adding)
            write_tile(scratch, RAW, g_delta, at_gdelta + first * gdelta_c, gdelta_c, rows[7], steps, width, False)
        write_matrix(scratch, DB, SPARE, g_B, at_gB, length, rows[9], states, steps)
        write_matrix(scratch, DC, SPARE, g_C, at_gB, length, rows[9], states, steps)


@compiled
def convolve(source, row, weight, bias, target, channels, taps, steps):
    """target[l, c] = silu(bias[c] + sum over k of weight[k, c] source[l + k, c]); at least sixteen channels.

    Rows of the source are ``row`` apart, those of weight and target are dense. The last tile overlaps the one before.
    """
    for l in range(steps):
        for first in range(0, channels, WIDTH):
            c = min(first, channels - WIDTH)
            total = load(bias, c)
            for k in range(taps):
                total = fma(load(weight, k * channels + c), load(source, (l + k) * row + c), total)
            store(target, l * channels + c, mul(total, sigmoid(total)))


_FLOATS, _DOUBLES, _OFFSETS = types.float32[::1], types.float64[::1], types.int64[::1]
_NUMBER = types.int64
# argument types of the entry points, so that loading or compiling one needs no data
SIGNATURES = {
    "scan_forward": (*[_FLOATS] * 11, *[_OFFSETS] * 6, _FLOATS),
    "convolve": (_FLOATS, _NUMBER, _FLOATS, _FLOATS, _FLOATS, _NUMBER, _NUMBER, _NUMBER),
    "scan_backward": (*[_FLOATS] * 16, _DOUBLES, *[_OFFSETS] * 6, _FLOATS),
}
