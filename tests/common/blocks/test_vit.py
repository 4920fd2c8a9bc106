import pytest
import torch

from common.blocks.vit import SelfAttention, VisionTransformer


def test_attention_is_the_formula():
    layer, tokens = SelfAttention(6, 2).double(), torch.randn(2, 5, 6, dtype=torch.float64)
    heads = []
    for head in (slice(0, 3), slice(3, 6)):
        q, k, v = (linear(tokens)[..., head] for linear in (layer.query, layer.key, layer.value))
        heads.append((q @ k.transpose(1, 2) / 3**0.5).softmax(-1) @ v)
    torch.testing.assert_close(layer(tokens), layer.out(torch.cat(heads, -1)))


def test_tokens_are_read_row_by_row():
    transformer = VisionTransformer((2, 1, 3), 4, 8, 2, num_layers=0).double().eval()
    torch.nn.init.normal_(transformer.position_embedding)
    features = torch.randn(1, 4, 2, 1, 3, dtype=torch.float64)
    tokens = features.flatten(2).transpose(1, 2) + transformer.position_embedding
    expected = transformer.norm(tokens).transpose(1, 2).view(1, 4, 2, 1, 3)
    torch.testing.assert_close(transformer(features), expected)


def test_dropout_acts_in_training_only():
    transformer = VisionTransformer((2, 2, 2), 4, 8, 2, num_layers=1, dropout=0.5)
    features = torch.randn(1, 4, 2, 2, 2)
    assert not torch.equal(transformer(features), transformer(features))
    transformer.eval()
    assert torch.equal(transformer(features), transformer(features))


def test_refuses_a_width_that_the_heads_do_not_share():
    with pytest.raises(ValueError, match="multiple of num_heads, got 8 and 3"):
        SelfAttention(8, 3)
