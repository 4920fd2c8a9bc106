# mypy: ignore-errors
"""The CPU kernel of the forward scan, and of the convolution before it, compiled by numba, no Python inside.

Loop order: chunks of ``STEPS`` steps outermost, so that B and C of a chunk and all its rows of u are read once, while
hot; then tiles of sixteen channels; then four states at a time; then the steps, with the states in registers. The
state between chunks lies in memory.
"""

import numpy as np

from common.compiled.lanes import (
    exp2_product,
    fma,
    load,
    mul,
    sigmoid,
    splat,
    store,
)
from common.compiled.width import WIDTH
from common.scan.cpu.tiles import (
    BUFFER,
    STEPS,
    compiled,
    fill_rows,
    keep_state,
    prepare_steps,
    read_matrix,
    read_tile,
    skip_term,
    write_tile,
)


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
def scan_forward(u, delta, z, B, C, A2, D, bias, state, saved, out, at, strides, read, write, sizes, flags, scratch):
    """Scan ``channels`` consecutive channels of one group of one batch entry; ``common.scan.cpu.backend`` says how."""
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
