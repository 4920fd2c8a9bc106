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
from common.scan.cpu.sizes import STEPS, forward_layout
from common.scan.cpu.tiles import (
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


layout = compiled(forward_layout)


@compiled
def scan_forward(
    u, delta, z, B, C, A2, D, bias, state, saved, out, places, read, write, extent, flags, scratch
):  # fmt: skip
    """Scan the channels of ``extent``; ``common.scan.cpu.sizes`` says what the arguments are."""
    channels, length, states = extent.channels, extent.length, extent.states
    at = layout(states)
    rows = np.zeros((6, 2 * STEPS + 1), np.int64)
    for start in range(0, length, STEPS):
        steps, following = min(STEPS, length - start), min(start + STEPS, length)
        fill_rows(rows[0], read, start, places.u.step, following, length)
        fill_rows(rows[1], read, start, places.delta.step, following, length)
        fill_rows(rows[2], read, start, places.z.step, following, length)
        fill_rows(rows[3], read, start, places.B.step, following, length)
        fill_rows(rows[4], read, start, places.C.step, following, length)
        fill_rows(rows[5], write, start, places.out.step, following, length)
        read_matrix(scratch, at.B, B, places.B, rows[3], states, steps)
        read_matrix(scratch, at.C, C, places.C, rows[4], states, steps)
        for first in range(0, channels, WIDTH):
            width = min(WIDTH, channels - first)
            index = extent.tile + first // WIDTH
            here = extent.state + first // WIDTH * states * WIDTH
            read_tile(scratch, at.u, u, places.u, first, rows[0], steps, width)
            read_tile(scratch, at.delta, delta, places.delta, first, rows[1], steps, width)
            prepare_steps(scratch, at.delta, at.delta, at.u, at.du, bias, index * WIDTH, flags.softplus, steps)
            skip_term(scratch, at.y, at.u, D, index * WIDTH, steps)
            if flags.save:
                kept = extent.saved + start // STEPS * states * extent.saved_row + first
                keep_state(saved, kept, extent.saved_row, state, here, states, width)
            n = 0
            while n + 4 <= states:
                A_at, n_at = (index * states + n) * WIDTH, here + n * WIDTH
                B_at, C_at = at.B + n * STEPS, at.C + n * STEPS
                advance_four(scratch, at.delta, at.du, at.y, A2, A_at, state, n_at, B_at, C_at, steps)
                n += 4
            while n < states:
                A_at, n_at = (index * states + n) * WIDTH, here + n * WIDTH
                B_at, C_at = at.B + n * STEPS, at.C + n * STEPS
                advance_one(scratch, at.delta, at.du, at.y, A2, A_at, state, n_at, B_at, C_at, steps)
                n += 1
            if flags.gated:
                read_tile(scratch, at.z, z, places.z, first, rows[2], steps, width)
                gate(scratch, at.y, at.z, steps)
            write_tile(scratch, at.y, out, places.out, first, rows[5], steps, width, flags.adding)


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
