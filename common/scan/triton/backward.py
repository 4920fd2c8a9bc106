"""Triton kernels of the selective scan's gradients; imported by ``common.scan.triton.launch`` alone.

With y_t = C_t h_t and h_t = a_t h_(t-1) + x_t B_t (a = exp(step A), x = step u), the gradient g_t of h_t runs backwards
in time: g_t = C_t dy_t + r, and r = a_t g_t is what step t hands to step t - 1. ``chunk_adjoints`` computes every
chunk's r from zero, ``carry_states`` carries it across chunks, ``chunk_gradients`` then walks every chunk: forward
once, leaving a state per T steps in a scratch area that each program uses again and again, and backward with T states
in registers.

No atomic additions: sums over channels go to one slice per block of channels, sums over time to one slice per chunk,
and the caller adds the slices up. The same inputs give the same bits every time.
"""

import triton
import triton.language as tl

from common.scan.triton.tiles import (
    LN_2,
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
    sum_channels,
    sum_states,
)


@triton.jit
def _pick_history(tile, index: tl.constexpr, T: tl.constexpr):
    """Row ``index`` of a float32 (T, NH, DH, NL, DL) tile."""
    row = tl.arange(0, T)[:, None, None, None, None]
    bits = tl.where(row == index, tile.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, axis=0).to(tl.float32, bitcast=True)


@triton.jit
def _put_history(tile, index: tl.constexpr, value, T: tl.constexpr):
    """The (T, NH, DH, NL, DL) tile with row ``index`` replaced by (NH, DH, NL, DL)."""
    return tl.where(tl.arange(0, T)[:, None, None, None, None] == index, value[None, :, :, :, :], tile)


@triton.jit(do_not_specialize=["delta_d", "z_d", "dout_d", "C_n", "A_d", "A_n", "unit"])
def chunk_adjoints(
    delta, A, C, z, bias, dout, adjoints, sums,
    delta_b, delta_d, delta_l, z_b, z_d, z_l, dout_b, dout_d, dout_l, A_d, A_n, C_b, C_g, C_n,
    channels, width, blocks, length, chunk_count, state_count,
    unit, n1, n2, base, s0, s1, s2, to_base, to_s0, to_s1, to_s2,
    CHUNK: tl.constexpr, T: tl.constexpr, MODE: tl.constexpr, TO_MODE: tl.constexpr,
    ALIGNED: tl.constexpr,
    TAIL: tl.constexpr, SOFTPLUS: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_Z: tl.constexpr,
    NH: tl.constexpr, DH: tl.constexpr, NL: tl.constexpr, DL: tl.constexpr,
):  # fmt: skip
    """What every chunk hands to the one before it when nothing comes from behind, to adjoints[b, chunk]; sums too."""
    chunk, batch = tl.program_id(0), tl.program_id(2).to(tl.int64)
    group, d, known = place(tl.program_id(1), blocks, width, DH, NL, DL)
    delta_b, delta_d = delta_b * ALIGNED, delta_d * ALIGNED
    z_b, z_d = z_b * ALIGNED, z_d * ALIGNED
    dout_b, dout_d = dout_b * ALIGNED, dout_d * ALIGNED
    C_b, C_g, C_n = C_b * T, C_g * T, C_n * T
    n, n_row = state_numbers(NH, NL), state_row(NH, NL, DL)
    inside = known & (n < state_count)
    A2 = read(A + d * A_d + n * A_n, inside) * LOG2_E
    offset = read(bias + d, known) if HAS_BIAS else 0.0
    delta_rows = delta + batch * delta_b + d * delta_d
    z_rows, dout_rows = z + batch * z_b + d * z_d, dout + batch * dout_b + d * dout_d
    C_rows = C + batch * C_b + group * C_g + n_row * C_n
    r = tl.zeros((NH, DH, NL, DL), tl.float32)
    total = tl.zeros((1, DH, NL, DL), tl.float32)
    begin = chunk * CHUNK
    count = tl.cdiv(tl.minimum(length - begin, CHUNK), T)
    for i in range(0, count):
        t = begin + (count - 1 - i) * T
        at = positions(t, n1, n2, base, s0, s1, s2, T, MODE)
        own = hide(at, unit, ALIGNED)
        to = hide(positions(t, n1, n2, to_base, to_s0, to_s1, to_s2, T, TO_MODE), unit, ALIGNED)
        mask, mask_C = known, n_row < state_count
        if TAIL:
            live = t + tl.arange(0, T) < length
            mask = known & on4(live)
            if MODE == 3:
                mask_C = mask_C & on4(live)
        step = step_sizes(read(delta_rows + own * delta_l, mask) + offset, mask, SOFTPLUS)
        C_tile = read(C_rows + at, mask_C)
        dy = read(dout_rows + to * dout_l, mask)
        if HAS_Z:
            gate = read(z_rows + to * z_l, mask)
            dy = dy * gate * tl.sigmoid(gate)
        total += tl.sum(step, axis=0)[None, :, :, :]
        for j in tl.static_range(T - 1, -1, -1):
            r = tl.exp2(pick(step, j, T, MODE) * A2) * (r + pick_states(C_tile, j, T, MODE) * pick(dy, j, T, TO_MODE))
    index = batch * (chunk_count + 1) + chunk
    tl.store(adjoints + (index * state_count + n) * channels + d * unit, r, mask=inside)
    tl.store(sums + (batch * chunk_count + chunk) * channels + d, total, mask=known & is_first_lane(NL))


@triton.jit(
    do_not_specialize=[
        "u_d",
        "delta_d",
        "z_d",
        "dout_d",
        "du_d",
        "ddelta_d",
        "dz_d",
        "B_n",
        "C_n",
        "A_d",
        "A_n",
        "unit",
    ]
)
def chunk_gradients(
    u, delta, A, B, C, D, z, bias, states, adjoints, dout,
    du, ddelta, dz, dB, dC, dA, dD, dbias, scratch,
    u_b, u_d, u_l, delta_b, delta_d, delta_l, z_b, z_d, z_l, dout_b, dout_d, dout_l,
    du_b, du_d, du_l, ddelta_b, ddelta_d, ddelta_l, dz_b, dz_d, dz_l,
    A_d, A_n, B_b, B_g, B_n, C_b, C_g, C_n,
    batches, groups, channels, width, blocks, length, chunk_count, state_count,
    unit, n1, n2, base, s0, s1, s2, to_base, to_s0, to_s1, to_s2,
    CHUNK: tl.constexpr, T: tl.constexpr, MODE: tl.constexpr, TO_MODE: tl.constexpr,
    ALIGNED: tl.constexpr,
    TAIL: tl.constexpr, SOFTPLUS: tl.constexpr, HAS_BIAS: tl.constexpr, HAS_D: tl.constexpr, HAS_Z: tl.constexpr,
    ADD: tl.constexpr,
    NH: tl.constexpr, DH: tl.constexpr, NL: tl.constexpr, DL: tl.constexpr,
):  # fmt: skip
    """All gradients. A program takes one (chunk, block of channels, image) after the other, with one scratch area.

    dB, dC: (blocks, batch, groups, N, L to a multiple of T) slices; dA: (batch * chunks, N, channels); dD, dbias:
    (batch * chunks, channels).
    """
    u_b, u_d = u_b * ALIGNED, u_d * ALIGNED
    delta_b, delta_d = delta_b * ALIGNED, delta_d * ALIGNED
    z_b, z_d = z_b * ALIGNED, z_d * ALIGNED
    dout_b, dout_d = dout_b * ALIGNED, dout_d * ALIGNED
    du_b, du_d = du_b * ALIGNED, du_d * ALIGNED
    ddelta_b, ddelta_d = ddelta_b * ALIGNED, ddelta_d * ALIGNED
    dz_b, dz_d = dz_b * ALIGNED, dz_d * ALIGNED
    B_b, B_g, B_n = B_b * T, B_g * T, B_n * T
    C_b, C_g, C_n = C_b * T, C_g * T, C_n * T
    n, n_row = state_numbers(NH, NL), state_row(NH, NL, DL)
    first_lane, first_channel = is_first_lane(NL), (tl.arange(0, DL) == 0)[None, None, None, :]
    lane = tl.arange(0, DH)[None, :, None, None] * DL + tl.arange(0, DL)[None, None, None, :]
    kept = scratch + tl.program_id(0).to(tl.int64) * (CHUNK // T) * (NH * NL * DH * DL) + n * (DH * DL) + lane * unit
    for item in range(tl.program_id(0), chunk_count * blocks * groups * batches, tl.num_programs(0)):
        chunk, block = item % chunk_count, item // chunk_count % (blocks * groups)
        batch = (item // chunk_count // (blocks * groups)).to(tl.int64)
        group, d, known = place(block, blocks, width, DH, NL, DL)
        inside = known & (n < state_count)
        A2 = read(A + d * A_d + n * A_n, inside) * LOG2_E
        offset = read(bias + d, known) if HAS_BIAS else 0.0
        skip = read(D + d, known) if HAS_D else 0.0
        u_rows, delta_rows = u + batch * u_b + d * u_d, delta + batch * delta_b + d * delta_d
        z_rows, dout_rows = z + batch * z_b + d * z_d, dout + batch * dout_b + d * dout_d
        B_rows = B + batch * B_b + group * B_g + n_row * B_n
        C_rows = C + batch * C_b + group * C_g + n_row * C_n
        begin = chunk * CHUNK
        count = tl.cdiv(tl.minimum(length - begin, CHUNK), T)
        index = batch * (chunk_count + 1) + chunk

        h = read(states + (index * state_count + n) * channels + d * unit, inside)
        for i in range(0, count - 1):
            t = begin + i * T
            at = positions(t, n1, n2, base, s0, s1, s2, T, MODE)
            own = hide(at, unit, ALIGNED)
            step = step_sizes(read(delta_rows + own * delta_l, known) + offset, known, SOFTPLUS)
            x = read(u_rows + own * u_l, known) * step
            B_tile = read(B_rows + at, n_row < state_count)
            tl.store(kept + i * (NH * NL * DH * DL), h)
            for j in tl.static_range(T):
                h = tl.exp2(pick(step, j, T, MODE) * A2) * h + pick(x, j, T, MODE) * pick_states(B_tile, j, T, MODE)
        tl.store(kept + (count - 1) * (NH * NL * DH * DL), h)
        tl.debug_barrier()

        r = read(adjoints + ((index + 1) * state_count + n) * channels + d * unit, inside)
        sum_A = tl.zeros((NH, DH, NL, DL), tl.float32)
        sum_D = tl.zeros((1, DH, NL, DL), tl.float32)
        sum_bias = tl.zeros((1, DH, NL, DL), tl.float32)
        slices = (((block % blocks * batches + batch) * groups + group) * state_count + n_row) * (
            tl.cdiv(length, T) * T
        )
        for i in range(0, count):
            t = begin + (count - 1 - i) * T
            at = positions(t, n1, n2, base, s0, s1, s2, T, MODE)
            own = hide(at, unit, ALIGNED)
            to = hide(positions(t, n1, n2, to_base, to_s0, to_s1, to_s2, T, TO_MODE), unit, ALIGNED)
            mask, mask_B = known, n_row < state_count
            if TAIL:
                live = t + tl.arange(0, T) < length
                mask = known & on4(live)
                if MODE == 3:
                    mask_B = mask_B & on4(live)
            raw = read(delta_rows + own * delta_l, mask) + offset
            step = step_sizes(raw, mask, SOFTPLUS)
            u_tile = read(u_rows + own * u_l, mask)
            B_tile, C_tile = read(B_rows + at, mask_B), read(C_rows + at, mask_B)
            dout_tile = read(dout_rows + to * dout_l, mask)
            dy = dout_tile
            if HAS_Z:
                gate = read(z_rows + to * z_l, mask)
                sigmoid = tl.sigmoid(gate)
                dy = dy * gate * sigmoid
            h = tl.load(kept + (count - 1 - i) * (NH * NL * DH * DL))
            history = tl.zeros((T, NH, DH, NL, DL), tl.float32)
            for j in tl.static_range(T):
                history = _put_history(history, j, h, T)
                if j < T - 1:
                    x = pick(step, j, T, MODE) * pick(u_tile, j, T, MODE)
                    h = tl.exp2(pick(step, j, T, MODE) * A2) * h + x * pick_states(B_tile, j, T, MODE)

            y = tl.zeros((T, DH, NL, DL), tl.float32)
            du_tile = tl.zeros((T, DH, NL, DL), tl.float32)
            ddelta_tile = tl.zeros((T, DH, NL, DL), tl.float32)
            dB_tile = tl.zeros((T, NH, NL, DL), tl.float32)
            dC_tile = tl.zeros((T, NH, NL, DL), tl.float32)
            for j in tl.static_range(T - 1, -1, -1):
                step_j, u_j, dy_j = pick(step, j, T, MODE), pick(u_tile, j, T, MODE), pick(dy, j, T, TO_MODE)
                B_j, C_j = pick_states(B_tile, j, T, MODE), pick_states(C_tile, j, T, MODE)
                a = tl.exp2(step_j * A2)
                passed = a * _pick_history(history, j, T)
                x = step_j * u_j
                after = passed + x * B_j
                g = r + C_j * dy_j
                r = a * g
                if HAS_Z:
                    y = put(y, j, sum_states(after * C_j, NL) + skip * u_j, T, TO_MODE)
                dC_tile = put(dC_tile, j, sum_channels(after * dy_j, DL), T, MODE)
                dB_tile = put(dB_tile, j, sum_channels(g * x, DL), T, MODE)
                through = g * passed
                sum_A += through * step_j
                g_x = sum_states(g * B_j, NL)
                du_tile = put(du_tile, j, g_x * step_j + skip * dy_j, T, MODE)
                ddelta_tile = put(ddelta_tile, j, sum_states(through * A2, NL) * LN_2 + g_x * u_j, T, MODE)
                if HAS_D:
                    sum_D += dy_j * u_j

            if SOFTPLUS:
                ddelta_tile = ddelta_tile * tl.sigmoid(raw)
            ddelta_tile = tl.where(mask, ddelta_tile, 0.0)
            if HAS_BIAS:
                sum_bias += tl.sum(ddelta_tile, axis=0)[None, :, :, :]
            mask_out = mask & first_lane
            pointers = du + batch * du_b + d * du_d + own * du_l
            if ADD:
                du_tile += read(pointers, mask_out)
            tl.store(pointers, du_tile, mask=mask_out)
            tl.store(ddelta + batch * ddelta_b + d * ddelta_d + own * ddelta_l, ddelta_tile, mask=mask_out)
            if HAS_Z:
                dz_tile = dout_tile * y * sigmoid * (1.0 + gate * (1.0 - sigmoid))
                tl.store(dz + batch * dz_b + d * dz_d + to * dz_l, dz_tile, mask=mask_out)
            tl.store(dB + slices + at, dB_tile, mask=mask_B & first_channel)
            tl.store(dC + slices + at, dC_tile, mask=mask_B & first_channel)

        total = batch * chunk_count + chunk
        tl.store(dA + (total * state_count + n) * channels + d * unit, sum_A, mask=inside)
        if HAS_D:
            tl.store(dD + total * channels + d, sum_D, mask=known & first_lane)
        if HAS_BIAS:
            tl.store(dbias + total * channels + d, sum_bias, mask=known & first_lane)
        tl.debug_barrier()
