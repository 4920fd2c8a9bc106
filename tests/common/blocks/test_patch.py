import torch

from common.blocks.patch import PatchEmbedding, PatchMerging


def test_embedding_cuts_cubes():
    embedding = PatchEmbedding(2, 8, 4)
    volume = torch.randn(1, 2, 8, 4, 12)
    tokens = embedding(volume)
    assert tokens.shape == (1, 2, 1, 3, 8)
    cube = embedding(volume[:, :, 4:, :, 8:])
    torch.testing.assert_close(tokens[:, 1:, :, 2:], cube)


def test_merging_joins_cells_in_the_published_order():
    merging = PatchMerging(1)
    merging.norm = torch.nn.Identity()
    merging.reduction = torch.nn.Identity()
    tokens = torch.zeros(1, 2, 4, 6, 1)
    for i, j, k in [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 0), (0, 1, 1), (1, 0, 1), (1, 1, 1)]:
        tokens[0, i::2, j::2, k::2] = 100 * i + 10 * j + k
    merged = merging(tokens)
    assert merged.shape == (1, 1, 2, 3, 8)
    assert merged[0, 0, 1, 2].tolist() == [0, 100, 10, 1, 110, 11, 101, 111]
