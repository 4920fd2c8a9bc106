"""Triton kernels of the forward selective scan; imported by ``common.scan.triton.launch`` alone.

Time is cut into chunks that are worked on at once, so that one image fills the chip: ``chunk_summaries`` runs every
chunk from a zero state, ``carry_states`` turns that into the state before every chunk, ``chunk_outputs`` runs every
chunk again from there. Reading the inputs twice costs less than one pass over a sequence that cannot be split.
"""

import triton
import triton.language as tl

from common.scan.triton.tiles import (
    LOG2_E,
    hide,
    is_first_lane,
    on4,
    pick,
    pick_states,
    place,
    positions,
    put,
    read,
    state_numbers,
    state_row,
    step_sizes,
    sum_states,
)


@triton.jit(do_not_specialize=["u_d", "delta_d", "B_n", "A_d", "A_n", "unit"])
def chunk_summaries(
    u, delta, A, B, bias, states, sums,
    u_b, u_d, u_l, delta_b, delta_d, delta_l, A_d, A_n, B_b, B_g, B_n,
    channels, width, blocks, length, chunk_count, state_count,
    unit, n1, n2, base, s0, s1, s2,
    CHUNK: tl.constexpr, T: tl.constexpr, MODE: tl.constexpr,
    ALIGNED: tl.constexpr, TAIL: tl.constexpr,
    SOFTPLUS: tl.constexpr, HAS_BIAS: tl.constexpr,
    NH: tl.constexpr, DH: tl.constexpr, NL: tl.constexpr, DL: tl.constexpr,
):  # fmt: skip
    """Last state of every chunk begun at zero, to states[b, chunk + 1], and its sum of step sizes, to sums."""
    chunk, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    group, d, known = place(tl.program_id(1), blocks, width, DH, NL, DL)
    u_b, u_d = u_b * ALIGNED, u_d * ALIGNED
    delta_b, delta_d = delta_b * ALIGNED, delta_d * ALIGNED
    B_b, B_g, B_n = B_b * T, B_g * T, B_n * T
    n, n_row = state_numbers(NH, NL), state_row(NH, NL, DL)
    inside = known & (n < state_count)
    A2 = read(A + d * A_d + n * A_n, inside) * LOG2_E
    offset = read(bias + d, known) if HAS_BIAS else 0.0
    u_rows, delta_rows = u + batch * u_b + d * u_d, delta + batch * delta_b + d * delta_d
    B_rows = B + batch * B_b + group * B_g + n_row * B_n
    h = tl.zeros((NH, DH, NL, DL), tl.float32)
    total = tl.zeros((1, DH, NL, DL), tl.float32)
    begin = chunk * CHUNK
    for i in range(0, tl.cdiv(tl.minimum(length - begin, CHUNK), T)):
        t = begin + i * T
        at = positions(t, n1, n2, base, s0, s1, s2, T, MODE)
        own = hide(at, unit, ALIGNED)
        mask, mask_B = known, n_row < state_count
        if TAIL:
            live = t + tl.arange(0, T) < length
            mask = known & on4(live)
            if MODE == 3:
                mask_B = mask_B & on4(live)
        step = step_sizes(read(delta_rows + own * delta_l, mask) + offset, mask, SOFTPLUS)
        x = read(u_rows + own * u_l, mask) * step
        B_tile = read(B_rows + at, mask_B)
        total += tl.sum(step, axis=0)[None, :, :, :]
        for j in tl.static_range(T):
            h = tl.exp2(pick(step, j, T, MODE) * A2) * h + pick(x, j, T, MODE) * pick_states(B_tile, j, T, MODE)
    index = batch * (chunk_count + 1) + chunk + 1
    tl.store(states + (index * state_count + n) * channels + d * unit, h, mask=inside)
    tl.store(sums + (batch * chunk_count + chunk) * channels + d, total, mask=known & is_first_lane(NL))


@triton.jit(do_not_specialize=["u_d", "delta_d", "z_d", "out_d", "B_n", "C_n", "A_d", "A_n", "unit"])
def chunk_outputs(
    u, delta, A, B, C, D, z, bias, states, out,
    u_b, u_d, u_l, delta_b, delta_d, delta_l, z_b, z_d, z_l, out_b, out_d, out_l,
    A_d, A_n, B_b, B_g, B_n, C_b, C_g, C_n,
    channels, width, blocks, length, chunk_count, state_count,
    unit, n1, n2, base, s0, s1, s2, to_base, to_s0, to_s1, to_s2,
    CHUNK: tl.constexpr, T: tl.constexpr, MODE: tl.constexpr, TO_MODE: tl.constexpr,
    ALIGNED: tl.constexpr,
    TAIL: tl.constexpr, SOFTPLUS: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_D: tl.constexpr, HAS_Z: tl.constexpr,
    ADD: tl.constexpr,
    NH: tl.constexpr, DH: tl.constexpr, NL: tl.constexpr, DL: tl.constexpr,
):  # fmt: skip
    """Outputs of every chunk from its true first state; the second walk is that of z and out. ADD: add to out."""
    chunk, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    group, d, known = place(tl.program_id(1), blocks, width, DH, NL, DL)
    u_b, u_d = u_b * ALIGNED, u_d * ALIGNED
    delta_b, delta_d = delta_b * ALIGNED, delta_d * ALIGNED
    z_b, z_d = z_b * ALIGNED, z_d * ALIGNED
    out_b, out_d = out_b * ALIGNED, out_d * ALIGNED
    B_b, B_g, B_n = B_b * T, B_g * T, B_n * T
    C_b, C_g, C_n = C_b * T, C_g * T, C_n * T
    n, n_row = state_numbers(NH, NL), state_row(NH, NL, DL)
    inside = known & (n < state_count)
    A2 = read(A + d * A_d + n * A_n, inside) * LOG2_E
    offset = read(bias + d, known) if HAS_BIAS else 0.0
    skip = read(D + d, known) if HAS_D else 0.0
    u_rows, delta_rows = u + batch * u_b + d * u_d, delta + batch * delta_b + d * delta_d
    z_rows, out_rows = z + batch * z_b + d * z_d, out + batch * out_b + d * out_d
    B_rows = B + batch * B_b + group * B_g + n_row * B_n
    C_rows = C + batch * C_b + group * C_g + n_row * C_n
    h = read(states + ((batch * (chunk_count + 1) + chunk) * state_count + n) * channels + d * unit, inside)
    begin = chunk * CHUNK
    for i in range(0, tl.cdiv(tl.minimum(length - begin, CHUNK), T)):
        t = begin + i * T
        at = positions(t, n1, n2, base, s0, s1, s2, T, MODE)
        own = hide(at, unit, ALIGNED)
        to = hide(positions(t, n1, n2, to_base, to_s0, to_s1, to_s2, T, TO_MODE), unit, ALIGNED)
        mask, mask_B = known, n_row < state_count
        if TAIL:
            live = t + tl.arange(0, T) < length
            mask = known & on4(live)
            if MODE == 3:
                mask_B = mask_B & on4(live)
        step = step_sizes(read(delta_rows + own * delta_l, mask) + offset, mask, SOFTPLUS)
        u_tile = read(u_rows + own * u_l, mask)
        B_tile, C_tile = read(B_rows + at, mask_B), read(C_rows + at, mask_B)
        y = tl.zeros((T, DH, NL, DL), tl.float32)
        for j in tl.static_range(T):
            step_j, u_j = pick(step, j, T, MODE), pick(u_tile, j, T, MODE)
            h = tl.exp2(step_j * A2) * h + (step_j * u_j) * pick_states(B_tile, j, T, MODE)
            y = put(y, j, sum_states(h * pick_states(C_tile, j, T, MODE), NL) + skip * u_j, T, TO_MODE)
        if HAS_Z:
            gate = read(z_rows + to * z_l, mask)
            y = y * gate * tl.sigmoid(gate)
        pointers, mask_out = out_rows + to * out_l, mask & is_first_lane(NL)
        if ADD:
            y += read(pointers, mask_out)
        tl.store(pointers, y, mask=mask_out)
