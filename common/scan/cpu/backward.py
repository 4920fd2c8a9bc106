# mypy: ignore-errors
"""The CPU kernel of the backward scan, compiled by numba: chunks from the last to the first, states recomputed.

Each chunk of a tile runs forward once more from the state that the forward pass kept before it, four states at a time,
and then back. Gradients of B and C are summed over the tiles lane by lane and over the lanes once a chunk.
"""

import numpy as np

from common.compiled.lanes import (
    accumulate64,
    add,
    exp2_product,
    fma,
    load,
    minus,
    mul,
    sigmoid,
    splat,
    store,
    sum_rows,
    times,
    zeros,
)
from common.compiled.width import WIDTH
from common.scan.cpu.sizes import BUFFER, STEPS, backward_layout
from common.scan.cpu.tiles import (
    compiled,
    fetch_state,
    fill_rows,
    prepare_steps,
    read_matrix,
    read_tile,
    skip_term,
    write_tile,
)

LN_2 = 0.6931471805599453


@compiled
def add_to(scratch, at, a, b):
    """scratch[at : at + 16] += a b."""
    store(scratch, at, fma(a, b, load(scratch, at)))


@compiled
def reverse_one(scratch, d, du, gy, y, g_du, g_d, A2, A_at, before_at, carry, carry_at, a, h, B_at, C_at,
                dB_at, dC_at, sums, sums_at, steps):  # fmt: skip
    """One state over one chunk: forward again from the checkpoint, then back with the gradient g of h in a register.

    Adds C h to y, g B to the gradient of d u, g a h_before A2 to that of d (times log2 e), and per lane to dB and dC.
    """
    rate, value = load(A2, A_at), load(scratch, before_at)
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
def reverse_four(scratch, d, du, gy, y, g_du, g_d, A2, A_at, before_at, carry, carry_at, a, h, B_at, C_at,
                 dB_at, dC_at, sums, sums_at, steps):  # fmt: skip
    """``reverse_one`` for four states at once: rows that they share are read and written once, four chains overlap."""
    r0, h0 = load(A2, A_at), load(scratch, before_at)
    r1, h1 = load(A2, A_at + WIDTH), load(scratch, before_at + WIDTH)
    r2, h2 = load(A2, A_at + 2 * WIDTH), load(scratch, before_at + 2 * WIDTH)
    r3, h3 = load(A2, A_at + 3 * WIDTH), load(scratch, before_at + 3 * WIDTH)
    for l in range(steps):
        step, drive = load(scratch, d + l * WIDTH), load(scratch, du + l * WIDTH)
        total, at = load(scratch, y + l * WIDTH), 4 * l * WIDTH
        store(scratch, h + at, h0)
        store(scratch, h + at + WIDTH, h1)
        store(scratch, h + at + 2 * WIDTH, h2)
        store(scratch, h + at + 3 * WIDTH, h3)
        e0, e1, e2, e3 = exp2_product(step, r0), exp2_product(step, r1), exp2_product(step, r2), exp2_product(step, r3)
        store(scratch, a + at, e0)
        store(scratch, a + at + WIDTH, e1)
        store(scratch, a + at + 2 * WIDTH, e2)
        store(scratch, a + at + 3 * WIDTH, e3)
        h0 = fma(e0, h0, mul(drive, splat(scratch, B_at + l)))
        h1 = fma(e1, h1, mul(drive, splat(scratch, B_at + STEPS + l)))
        h2 = fma(e2, h2, mul(drive, splat(scratch, B_at + 2 * STEPS + l)))
        h3 = fma(e3, h3, mul(drive, splat(scratch, B_at + 3 * STEPS + l)))
        total = fma(h0, splat(scratch, C_at + l), total)
        total = fma(h1, splat(scratch, C_at + STEPS + l), total)
        total = fma(h2, splat(scratch, C_at + 2 * STEPS + l), total)
        total = fma(h3, splat(scratch, C_at + 3 * STEPS + l), total)
        store(scratch, y + l * WIDTH, total)
    g0, g1 = load(carry, carry_at), load(carry, carry_at + WIDTH)
    g2, g3 = load(carry, carry_at + 2 * WIDTH), load(carry, carry_at + 3 * WIDTH)
    t0, t1, t2, t3 = zeros(), zeros(), zeros(), zeros()
    for l in range(steps - 1, -1, -1):
        row, at = l * WIDTH, 4 * l * WIDTH
        upstream, drive, step = load(scratch, gy + row), load(scratch, du + row), load(scratch, d + row)
        by_drive, by_step = load(scratch, g_du + row), load(scratch, g_d + row)
        add_to(scratch, dC_at + row, upstream, h0)
        add_to(scratch, dC_at + BUFFER + row, upstream, h1)
        add_to(scratch, dC_at + 2 * BUFFER + row, upstream, h2)
        add_to(scratch, dC_at + 3 * BUFFER + row, upstream, h3)
        g0 = fma(upstream, splat(scratch, C_at + l), g0)
        g1 = fma(upstream, splat(scratch, C_at + STEPS + l), g1)
        g2 = fma(upstream, splat(scratch, C_at + 2 * STEPS + l), g2)
        g3 = fma(upstream, splat(scratch, C_at + 3 * STEPS + l), g3)
        add_to(scratch, dB_at + row, g0, drive)
        add_to(scratch, dB_at + BUFFER + row, g1, drive)
        add_to(scratch, dB_at + 2 * BUFFER + row, g2, drive)
        add_to(scratch, dB_at + 3 * BUFFER + row, g3, drive)
        by_drive = fma(g0, splat(scratch, B_at + l), by_drive)
        by_drive = fma(g1, splat(scratch, B_at + STEPS + l), by_drive)
        by_drive = fma(g2, splat(scratch, B_at + 2 * STEPS + l), by_drive)
        by_drive = fma(g3, splat(scratch, B_at + 3 * STEPS + l), by_drive)
        store(scratch, g_du + row, by_drive)
        g0, h0 = mul(g0, load(scratch, a + at)), load(scratch, h + at)
        g1, h1 = mul(g1, load(scratch, a + at + WIDTH)), load(scratch, h + at + WIDTH)
        g2, h2 = mul(g2, load(scratch, a + at + 2 * WIDTH)), load(scratch, h + at + 2 * WIDTH)
        g3, h3 = mul(g3, load(scratch, a + at + 3 * WIDTH)), load(scratch, h + at + 3 * WIDTH)
        p0, p1, p2, p3 = mul(g0, h0), mul(g1, h1), mul(g2, h2), mul(g3, h3)
        by_step = fma(p0, r0, fma(p1, r1, fma(p2, r2, fma(p3, r3, by_step))))
        store(scratch, g_d + row, by_step)
        t0, t1, t2, t3 = fma(p0, step, t0), fma(p1, step, t1), fma(p2, step, t2), fma(p3, step, t3)
    store(carry, carry_at, g0)
    store(carry, carry_at + WIDTH, g1)
    store(carry, carry_at + 2 * WIDTH, g2)
    store(carry, carry_at + 3 * WIDTH, g3)
    accumulate64(sums, sums_at, t0)
    accumulate64(sums, sums_at + WIDTH, t1)
    accumulate64(sums, sums_at + 2 * WIDTH, t2)
    accumulate64(sums, sums_at + 3 * WIDTH, t3)


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
def write_matrix(scratch, at, spare, target, place, rows, states, steps):
    """target of state n at rows[l] = sum over the lanes of scratch[at + (n STEPS + l) 16 ...]."""
    for n in range(states):
        for half in range(0, steps, WIDTH):
            sum_rows(scratch, spare, scratch, at + n * BUFFER + half * WIDTH)
            for l in range(half, min(half + WIDTH, steps)):
                target[place.start + n * place.channel + rows[l]] = scratch[spare + l - half]


layout = compiled(backward_layout)


@compiled
def scan_backward(
    u, delta, z, B, C, A2, D, bias, saved, g_out, carry, g_u, g_delta, g_z, g_B, g_C, sums,
    places, read, write, extent, flags, scratch,
):  # fmt: skip
    """Gradients of what ``scan_forward`` computed, chunks from the last to the first.

    ``common.scan.cpu.sizes`` says what the arguments are.
    """
    channels, length, states = extent.channels, extent.length, extent.states
    at = layout(states)
    g_y = at.g_y if flags.gated else at.g_out
    rows = np.zeros((10, 2 * STEPS + 1), np.int64)
    for start in range((length - 1) // STEPS * STEPS, -1, -STEPS):
        steps, following = min(STEPS, length - start), max(start - STEPS, 0)
        fill_rows(rows[0], read, start, places.u.step, following, length)
        fill_rows(rows[1], read, start, places.delta.step, following, length)
        fill_rows(rows[2], read, start, places.z.step, following, length)
        fill_rows(rows[3], read, start, places.B.step, following, length)
        fill_rows(rows[4], read, start, places.C.step, following, length)
        fill_rows(rows[5], write, start, places.g_out.step, following, length)
        fill_rows(rows[6], read, start, places.g_u.step, following, length)
        fill_rows(rows[7], read, start, places.g_delta.step, following, length)
        fill_rows(rows[8], read, start, places.g_z.step, following, length)
        fill_rows(rows[9], read, start, places.g_matrix.step, following, length)
        read_matrix(scratch, at.B, B, places.B, rows[3], states, steps)
        read_matrix(scratch, at.C, C, places.C, rows[4], states, steps)
        for i in range(at.g_B, at.floats):
            scratch[i] = 0
        for first in range(0, channels, WIDTH):
            width = min(WIDTH, channels - first)
            index = extent.tile + first // WIDTH
            here = extent.state + first // WIDTH * states * WIDTH
            read_tile(scratch, at.u, u, places.u, first, rows[0], steps, width)
            read_tile(scratch, at.raw, delta, places.delta, first, rows[1], steps, width)
            read_tile(scratch, at.g_out, g_out, places.g_out, first, rows[5], steps, width)
            prepare_steps(scratch, at.raw, at.delta, at.u, at.du, bias, index * WIDTH, flags.softplus, steps)
            skip_term(scratch, at.y, at.u, D, index * WIDTH, steps)
            if flags.gated:
                read_tile(scratch, at.z, z, places.z, first, rows[2], steps, width)
                open_gate(scratch, at.g_out, at.z, g_y, steps)
            kept = extent.saved + start // STEPS * states * extent.saved_row + first
            fetch_state(saved, kept, extent.saved_row, scratch, at.first, states, width)
            for i in range(at.g_du, at.g_delta + BUFFER):
                scratch[i] = 0
            n = 0
            while n + 4 <= states:
                A_at, sums_at = (index * states + n) * WIDTH, (index * (states + 2) + n) * WIDTH
                before_at, carry_at = at.first + n * WIDTH, here + n * WIDTH
                B_at, C_at = at.B + n * STEPS, at.C + n * STEPS
                reverse_four(scratch, at.delta, at.du, g_y, at.y, at.g_du, at.g_delta, A2, A_at, before_at, carry,
                             carry_at, at.decay, at.h, B_at, C_at, at.g_B + n * BUFFER, at.g_C + n * BUFFER,
                             sums, sums_at, steps)  # fmt: skip
                n += 4
            while n < states:
                A_at, sums_at = (index * states + n) * WIDTH, (index * (states + 2) + n) * WIDTH
                before_at, carry_at = at.first + n * WIDTH, here + n * WIDTH
                B_at, C_at = at.B + n * STEPS, at.C + n * STEPS
                reverse_one(scratch, at.delta, at.du, g_y, at.y, at.g_du, at.g_delta, A2, A_at, before_at, carry,
                            carry_at, at.decay, at.h, B_at, C_at, at.g_B + n * BUFFER, at.g_C + n * BUFFER,
                            sums, sums_at, steps)  # fmt: skip
                n += 1
            if flags.gated:
                gate_gradient(scratch, at.g_out, at.z, at.y, steps)
                write_tile(scratch, at.z, g_z, places.g_z, first, rows[8], steps, width, False)
            sums_D = (index * (states + 2) + states) * WIDTH
            close_tile(scratch, at.u, at.raw, at.delta, g_y, at.g_du, at.g_delta, D, index * WIDTH, flags.softplus,
                       sums, sums_D, sums_D + WIDTH, steps)  # fmt: skip
            write_tile(scratch, at.u, g_u, places.g_u, first, rows[6], steps, width, flags.adding)
            write_tile(scratch, at.raw, g_delta, places.g_delta, first, rows[7], steps, width, False)
        write_matrix(scratch, at.g_B, at.line, g_B, places.g_matrix, rows[9], states, steps)
        write_matrix(scratch, at.g_C, at.line, g_C, places.g_matrix, rows[9], states, steps)
