"""Attention gates in nnU-Net's own networks."""

import copy

import pytest
import torch
import torch.nn.functional as F
from dynamic_network_architectures.architectures.unet import PlainConvUNet, ResidualEncoderUNet, ResidualUNet
from torch import nn

from nnunet_ext.networks.attention import AttentionGate, GatedDecoder, with_attention

STRIDES = {2: [1, 2, 2, 2], 3: [(1, 1, 1), (1, 2, 2), (2, 2, 2), (2, 2, 2)]}


def network_of(kind=PlainConvUNet, axes=2, deep_supervision=True):
    """Four stages, in 3D the first pooling within the plane alone."""
    torch.manual_seed(0)
    convolution, norm = (nn.Conv2d, nn.InstanceNorm2d) if axes == 2 else (nn.Conv3d, nn.InstanceNorm3d)
    blocks = {} if kind is PlainConvUNet else {"n_blocks_per_stage": 1}
    if kind is PlainConvUNet:
        blocks = {"n_conv_per_stage": 1}
    return kind(
        1, 4, [4, 6, 8, 10], convolution, 3, STRIDES[axes], num_classes=3, n_conv_per_stage_decoder=1,
        conv_bias=True, norm_op=norm, norm_op_kwargs={"affine": True}, nonlin=nn.LeakyReLU,
        deep_supervision=deep_supervision, **blocks,
    )  # fmt: skip


def image_of(axes):
    return torch.randn(2, 1, *((32, 32) if axes == 2 else (8, 32, 32)))


@pytest.mark.parametrize("axes", [2, 3])
@pytest.mark.parametrize("kind", [PlainConvUNet, ResidualEncoderUNet])
def test_outputs_are_those_of_nnunets_network(kind, axes):
    plain, gated = network_of(kind, axes), with_attention(network_of(kind, axes))
    image = image_of(axes)
    shapes = [[tuple(scale.shape) for scale in network(image)] for network in (plain, gated)]
    assert shapes[0] == shapes[1]
    assert len(shapes[1]) == 3
    gated.decoder.deep_supervision = False  # where nnU-Net switches it
    assert tuple(gated(image).shape) == shapes[0][0]
    assert not torch.equal(gated(image), plain(image)[0])
    assert len(gated.decoder.gates) == 2  # the finest skip connection has none


def test_the_gate_follows_its_formula():
    torch.manual_seed(0)
    gate = AttentionGate(3, 5, (2, 2), nn.Conv2d, nn.Identity())
    skip, below = torch.randn(1, 3, 8, 8), torch.randn(1, 5, 4, 4)
    theta = F.conv2d(skip, gate.of_skip.weight, stride=2)
    phi = F.conv2d(below, gate.of_below.weight, gate.of_below.bias)
    psi = torch.sigmoid(F.conv2d((theta + phi).clamp(min=0), gate.attention.weight, gate.attention.bias))
    grown = F.interpolate(psi, (8, 8), mode="bilinear")
    mix = gate.mix[0]
    torch.testing.assert_close(gate(skip, below), F.conv2d(grown * skip, mix.weight, mix.bias))
    assert gate.of_skip.bias is None


def test_where_no_attention_is_the_skip_counts_nothing():
    network = with_attention(network_of(deep_supervision=False))
    for gate in network.decoder.gates:
        nn.init.constant_(gate.attention.bias, -1e4)
    image = image_of(2)
    skips = network.encoder(image)
    other = [skips[0], *(torch.randn_like(skip) for skip in skips[1:-1]), skips[-1]]
    torch.testing.assert_close(network.decoder(skips), network.decoder(other))
    for gate in network.decoder.gates:
        nn.init.constant_(gate.attention.bias, 0)
    assert not torch.allclose(network.decoder(skips), network.decoder(other))


@pytest.mark.parametrize("axes", [2, 3])
def test_a_network_without_deep_supervision_loads_the_weights_of_one_with(axes):
    """As nnU-Net does for a prediction: strictly."""
    trained = with_attention(network_of(axes=axes))
    for parameter in trained.parameters():
        nn.init.normal_(parameter, std=0.1)
    built = with_attention(network_of(axes=axes, deep_supervision=False))
    built.load_state_dict(copy.deepcopy(trained.state_dict()), strict=True)
    image = image_of(axes)
    torch.testing.assert_close(built(image), trained(image)[0])
    heads = [key for key in trained.state_dict() if ".seg_layers." in key]
    assert len(heads) == 6


def test_all_parameters_learn():
    network = with_attention(network_of())
    sum(output.square().sum() for output in network(image_of(2))).backward()
    for name, parameter in network.named_parameters():
        if not name.endswith("bias"):  # those before a norm have none
            assert parameter.grad.abs().max() > 0, name


def test_another_decoder_is_refused():
    with pytest.raises(ValueError, match="PlainConvUNet and ResidualEncoderUNet; got ResidualUNet"):
        with_attention(
            ResidualUNet(
                1, 4, [4, 6, 8, 10], nn.Conv2d, 3, STRIDES[2], n_blocks_per_stage=1, num_classes=3,
                n_conv_per_stage_decoder=1, norm_op=nn.InstanceNorm2d, nonlin=nn.LeakyReLU,
            )
        )  # fmt: skip
    with pytest.raises(ValueError, match="got Identity"):
        with_attention(nn.Identity())
    with pytest.raises(ValueError, match="got PlainConvUNet"):  # twice
        with_attention(with_attention(network_of()))
    assert isinstance(with_attention(network_of()).decoder, GatedDecoder)
