"""What the Triton kernels of the selective scan share: tiles, walks, and arithmetic on one step.

Imported by the kernels alone, since it needs ``triton``.

A program holds its states as one (NH, DH, NL, DL) tile with state index ``nh * NL + nl`` and channel ``dh * DL + dl``.
Triton deals a tile's last axes out to the lanes of the one warp that a program has, DL * NL of them, so a thread keeps
NH states of DH channels in registers. Sums over states then cost log2(NL) shuffles, sums over channels log2(DL), each
on what is left after adding up inside the thread. Time is walked step by step: a state costs one exponential and three
multiplications, without the shuffles that an associative scan over time would need.

Sequences are read ``T`` steps at once, one vector access where time is contiguous; lanes that need the same numbers
read the same addresses. A step is then picked from the tile by a sum over conditions that are constants in each
register, which the compiler folds away, and no number passes through shared memory. Strides of channels and states are
kept from specialisation, because a stride known to be 1 would make Triton deal the lanes out along it.
"""

import triton
import triton.language as tl

LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def place(block, blocks, width, DH: tl.constexpr, NL: tl.constexpr, DL: tl.constexpr):
    """Which channels a program works on, a group having ``blocks`` programs.

    Returns (group, channel numbers (1, DH, NL, DL), whether each exists). The lanes along NL hold the same channels.
    """
    group = (block // blocks).to(tl.int64)
    local = (block % blocks) * (DH * DL) + tl.arange(0, DH)[None, :, None, None] * DL
    local = local + tl.arange(0, DL)[None, None, None, :] + tl.arange(0, NL)[None, None, :, None] * 0
    return group, local + group * width, local < width


@triton.jit
def state_numbers(NH: tl.constexpr, NL: tl.constexpr):
    """State numbers (NH, 1, NL, 1)."""
    return tl.arange(0, NH)[:, None, None, None] * NL + tl.arange(0, NL)[None, None, :, None]


@triton.jit
def state_row(NH: tl.constexpr, NL: tl.constexpr, DL: tl.constexpr):
    """State numbers (1, NH, NL, DL): how B and C are read, the lanes of different channels reading the same."""
    row = tl.arange(0, NH)[None, :, None, None] * NL + tl.arange(0, NL)[None, None, :, None]
    return row + tl.arange(0, DL)[None, None, None, :] * 0


@triton.jit
def is_first_lane(NL: tl.constexpr):
    """Which of the lanes that hold the same channel writes it: (1, 1, NL, 1)."""
    return tl.arange(0, NL)[None, None, :, None] == 0


@triton.jit
def positions(t0, n1, n2, base, s0, s1, s2, T: tl.constexpr, MODE: tl.constexpr):
    """Memory positions (T, 1, 1, 1), int64, of the steps t0 .. t0 + T - 1, in falling time where MODE is 2.

    MODE 0: a step's number is its position. Otherwise step t has counters (t // n2 // n1, t // n2 % n1, t % n2) and
    lies at ``base`` plus the counters times s0, s1, s2. MODE 1 and 2 promise that s2 is 1 and -1 and that T divides n2,
    s0 and s1, so that the T positions are neighbours and aligned; MODE 3 promises nothing.
    """
    j = tl.arange(0, T)
    if MODE == 0:
        at = tl.multiple_of(t0, T) + j
    elif MODE == 3:
        t = t0 + j
        row = t // n2
        at = base + (row // n1) * s0 + (row % n1) * s1 + (t % n2) * s2
    else:
        row = t0 // n2
        first = base + (row // n1) * s0 + (row % n1) * s1 + (t0 % n2) * s2
        if MODE == 2:
            first = first - (T - 1)
        at = tl.multiple_of(first, T) + j
    return on4(at.to(tl.int64))


@triton.jit
def hide(at, unit, ALIGNED: tl.constexpr):
    """The positions times ``unit``, a 1 that the compiler does not know, where sequences are not aligned.

    It then does not see neighbours, which it would deal out to different lanes where it cannot read them at once.
    """
    return at * unit if ALIGNED == 1 else at


@triton.jit
def on4(row):
    """(T,) as (T, 1, 1, 1)."""
    return row[:, None, None, None]


@triton.jit
def read(pointers, mask):
    """Load a tile as float32, zero where masked."""
    return tl.load(pointers, mask=mask, other=0.0).to(tl.float32)


@triton.jit
def pick(tile, j: tl.constexpr, T: tl.constexpr, MODE: tl.constexpr):
    """Step ``j`` of a float32 (T, DH, NL, DL) tile that was read along a walk of this mode, as (1, DH, NL, DL)."""
    index: tl.constexpr = T - 1 - j if MODE == 2 else j
    bits = tl.where(on4(tl.arange(0, T)) == index, tile.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, axis=0).to(tl.float32, bitcast=True)[None, :, :, :]


@triton.jit
def pick_states(tile, j: tl.constexpr, T: tl.constexpr, MODE: tl.constexpr):
    """Step ``j`` of a float32 (T, NH, NL, DL) tile, as (NH, 1, NL, DL)."""
    index: tl.constexpr = T - 1 - j if MODE == 2 else j
    bits = tl.where(on4(tl.arange(0, T)) == index, tile.to(tl.int32, bitcast=True), 0)
    return tl.sum(bits, axis=0).to(tl.float32, bitcast=True)[:, None, :, :]


@triton.jit
def put(tile, j: tl.constexpr, value, T: tl.constexpr, MODE: tl.constexpr):
    """The (T, a, NL, DL) tile with step ``j`` replaced by (1, a, NL, DL)."""
    index: tl.constexpr = T - 1 - j if MODE == 2 else j
    return tl.where(on4(tl.arange(0, T)) == index, value, tile)


@triton.jit
def sum_states(tile, NL: tl.constexpr):
    """Sum (NH, DH, NL, DL) over its states, every state lane holding the result: (1, DH, NL, DL)."""
    total = tl.sum(tile, axis=0)
    if NL > 1:
        total = tl.broadcast_to(tl.sum(total, axis=1)[:, None, :], total.shape)
    return total[None, :, :, :]


@triton.jit
def sum_channels(tile, DL: tl.constexpr):
    """Sum (NH, DH, NL, DL) over its channels, every lane holding the result: (1, NH, NL, DL)."""
    total = tl.sum(tile, axis=1)
    return tl.broadcast_to(tl.sum(total, axis=2)[:, :, None], total.shape)[None, :, :, :]


@triton.jit
def softplus(x):
    """log(1 + exp(x)), accurate for very negative x too, with a single exponential and no division.

    max(x, 0) + log1p(e), e = exp(-|x|) in [0, 1]; log1p(e) / e as a polynomial, a Chebyshev fit with error 1e-9.
    """
    e = tl.exp2(-tl.abs(x) * LOG2_E)
    p = 0.00197942909 * e - 0.013151147
    p = p * e + 0.0409278039
    p = p * e - 0.0817866252
    p = p * e + 0.123712367
    p = p * e - 0.160846017
    p = p * e + 0.198849959
    p = p * e - 0.249863668
    p = p * e + 0.333324871
    p = p * e - 0.499999792
    p = p * e + 0.999999999
    return tl.maximum(x, 0.0) + e * p


@triton.jit
def step_sizes(raw, mask, SOFTPLUS: tl.constexpr):
    """Step sizes from delta + bias; zero where masked, which leaves a state as it is."""
    sizes = softplus(raw) if SOFTPLUS else raw
    return tl.where(mask, sizes, 0.0)


@triton.jit
def compose(a_left, h_left, a_right, h_right):
    """Composition of two steps h -> a h + b, the left one first."""
    return a_left * a_right, a_right * h_left + h_right


@triton.jit(do_not_specialize=["A_d", "A_n"])
def carry_states(
    states, sums, A, A_d, A_n, channels, state_count, chunk_count,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    """Carry states across chunks, in place: states[b, k + 1] = decay_k states[b, k] + what states[b, k + 1] held.

    ``states`` is (batch, chunks + 1, N, channels), ``sums`` the sums of step sizes (batch, chunks, channels). With
    REVERSE the carry runs from the end: states[b, k] = decay_k states[b, k + 1] + what states[b, k] held.
    """
    batch = tl.program_id(1).to(tl.int64)
    column = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    inside = column < channels * state_count
    d, n = column % channels, column // channels
    A2 = tl.load(A + d * A_d + n * A_n, mask=inside, other=0.0).to(tl.float32) * LOG2_E
    size = channels.to(tl.int64) * state_count
    states += batch * (chunk_count + 1) * size + column
    sums += batch * chunk_count * channels + d
    first = chunk_count if REVERSE else 0
    carry = tl.load(states + first * size, mask=inside, other=0.0)
    row = tl.arange(0, ROWS)[:, None]
    for begin in range(0, chunk_count, ROWS):
        k = chunk_count - 1 - begin - row if REVERSE else begin + row
        live = inside & (begin + row < chunk_count)
        place_k = (k if REVERSE else k + 1) * size
        decay = tl.exp2(A2 * tl.load(sums + k.to(tl.int64) * channels, mask=live, other=0.0))
        own = tl.load(states + place_k, mask=live, other=0.0)
        decay, own = tl.associative_scan((decay, own), 0, compose)
        carried = decay * carry + own
        tl.store(states + place_k, carried, mask=live)
        carry = tl.sum(tl.where(row == ROWS - 1, carried, 0.0), axis=0)[None, :]
