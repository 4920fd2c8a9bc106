# mypy: ignore-errors
"""What both CPU scans are built from: tiles of sixteen channels by ``STEPS`` steps, brought to and from any layout.

A tile's rows are brought into a (STEPS, 16) buffer first, whatever their layout: channel-last rows are copied,
channel-first rows are transposed in registers, the rest is picked one by one. All arrays are flat. Compiled by numba.
"""

from pathlib import Path

from common.compiled.compiling import lane_kernels
from common.compiled.lanes import (
    add,
    load,
    mul,
    prefetch,
    prefetch_write,
    softplus,
    store,
    transpose,
)
from common.compiled.width import WIDTH
from common.scan.cpu import sizes
from common.scan.cpu.sizes import STEPS

# Every kernel holds the code of the tiles: its copy on disk is stale when they or what they share with the host change.
compiled = lane_kernels(depends=[Path(__file__), Path(sizes.__file__)])


@compiled
def read_tile(buffer, at, source, place, first, rows, steps, width):
    """buffer[at + 16 l + j] = source of channel first + j at rows[l]; lanes and steps beyond the tile are zero."""
    base, channel_stride = place.start + first * place.channel, place.channel
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
def write_tile(buffer, at, target, place, first, rows, steps, width, adding):
    """The inverse of ``read_tile``; adds to what is there if ``adding``."""
    base, channel_stride = place.start + first * place.channel, place.channel
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
def read_matrix(buffer, at, source, place, rows, states, steps):
    """buffer[at + n STEPS + l] = source of state n at rows[l]: one chunk of B or C."""
    for n in range(states):
        for l in range(steps):
            buffer[at + n * STEPS + l] = source[place.start + n * place.channel + rows[l]]


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
