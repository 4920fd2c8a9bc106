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
from common.scan.cpu.tiles import (
    BUFFER,
    STEPS,
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
    """Gradients of what ``scan_forward`` computed, chunks from the last to the first. See
    ``common.scan.cpu.backend``."""
    at_u, at_delta, at_z, at_B, at_C, at_out, tile, at_state, at_saved, at_gu, at_gdelta, at_gz, at_gB = at
    u_c, u_l, delta_c, delta_l, z_c, z_l, B_n, B_l, C_n, C_l, out_c, out_l = strides[:12]
    gu_c, gu_l, gdelta_c, gdelta_l, gz_c, gz_l = strides[12:]
    channels, length, states, saved_row = sizes
    has_z, positive, _, adding = flags
    X, RAW, DT, DU, Y, Z, GO, GY = 0, BUFFER, 2 * BUFFER, 3 * BUFFER, 4 * BUFFER, 5 * BUFFER, 6 * BUFFER, 7 * BUFFER
    GDU, GD, DECAY, H = 8 * BUFFER, 9 * BUFFER, 10 * BUFFER, 14 * BUFFER
    SPARE = 18 * BUFFER + WIDTH
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
            n = 0
            while n + 4 <= states:
                A_at, sums_at = (index * states + n) * WIDTH, (index * (states + 2) + n) * WIDTH
                reverse_four(scratch, DT, DU, GY, Y, GDU, GD, A2, A_at, START + n * WIDTH, carry, here + n * WIDTH,
                             DECAY, H, BC + n * STEPS, CC + n * STEPS, DB + n * BUFFER, DC + n * BUFFER,
                             sums, sums_at, steps)  # fmt: skip
                n += 4
            while n < states:
                A_at, sums_at = (index * states + n) * WIDTH, (index * (states + 2) + n) * WIDTH
                reverse_one(scratch, DT, DU, GY, Y, GDU, GD, A2, A_at, START + n * WIDTH, carry, here + n * WIDTH,
                            DECAY, H, BC + n * STEPS, CC + n * STEPS, DB + n * BUFFER, DC + n * BUFFER,
                            sums, sums_at, steps)  # fmt: skip
                n += 1
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
