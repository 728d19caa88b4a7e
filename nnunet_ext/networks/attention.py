"""Attention gates on the skip connections of nnU-Net's own networks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from dynamic_network_architectures.building_blocks.unet_decoder import UNetDecoder
from dynamic_network_architectures.initialization.weight_init import InitWeights_He
from torch import Tensor, nn

#: names of the architectures in nnU-Net's plans that have a decoder to put gates into
GATED = ("PlainConvUNet", "ResidualEncoderUNet")
_UPSAMPLING = {3: "linear", 4: "bilinear", 5: "trilinear"}  # number of axes of a batch -> mode


class AttentionGate(nn.Module):
    """Scale the features of a skip connection by what the decoder has found below.

    A grid of attention from 0 to 1, as fine as the decoder's features, is up-sampled and multiplied with the
    skip's features, which a 1 × 1 convolution and a norm then mix.

    Parameters
    ----------
    skip_channels, channels_below : int
        Features of the skip connection, and of the decoder one level below.
    stride : sequence of int
        How much finer the skip connection is, for each axis.
    conv_op : type
        ``nn.Conv2d`` or ``nn.Conv3d``.
    norm : nn.Module
        Of `skip_channels` features.

    References
    ----------
    Oktay et al. Attention U-Net: learning where to look for the pancreas. MIDL 2018, arXiv:1804.03999, and
    its authors' code.
    """

    def __init__(
        self, skip_channels: int, channels_below: int, stride: Any, conv_op: Any, norm: nn.Module
    ) -> None:
        super().__init__()
        self.of_skip = conv_op(skip_channels, skip_channels, tuple(stride), tuple(stride), bias=False)
        self.of_below = conv_op(channels_below, skip_channels, 1)
        self.attention = conv_op(skip_channels, 1, 1)
        self.mix = nn.Sequential(conv_op(skip_channels, skip_channels, 1), norm)

    def forward(self, skip: Tensor, below: Tensor) -> Tensor:
        """The gated features, of the shape of `skip` (B, C, *spatial); `below` (B, C', *coarser)."""
        mode = _UPSAMPLING[skip.dim()]
        of_skip, of_below = self.of_skip(skip), self.of_below(below)
        if of_below.shape != of_skip.shape:
            of_below = F.interpolate(of_below, of_skip.shape[2:], mode=mode)
        attention = torch.sigmoid(self.attention(F.relu(of_skip + of_below)))
        mixed: Tensor = self.mix(F.interpolate(attention, skip.shape[2:], mode=mode) * skip)
        return mixed


class GatedDecoder(UNetDecoder):
    """nnU-Net's decoder with a gate on each skip connection but the finest.

    Parameters
    ----------
    decoder : UNetDecoder
        Its layers are taken over.
    """

    def __init__(self, decoder: UNetDecoder) -> None:
        nn.Module.__init__(self)
        self.deep_supervision = decoder.deep_supervision
        self.encoder, self.num_classes = decoder.encoder, decoder.num_classes
        self.stages, self.transpconvs = decoder.stages, decoder.transpconvs
        self.seg_layers = decoder.seg_layers
        encoder = decoder.encoder
        features = encoder.output_channels
        self.gates = nn.ModuleList(
            AttentionGate(
                features[-(level + 2)],
                features[-(level + 1)],
                encoder.strides[-(level + 1)],
                encoder.conv_op,
                encoder.norm_op(features[-(level + 2)], **(encoder.norm_op_kwargs or {})),
            )
            for level in range(len(self.stages) - 1)
        )
        self.gates.apply(InitWeights_He(1e-2))

    def forward(self, skips: list[Tensor]) -> Any:
        """As nnU-Net's: the output, or with deep supervision one for each scale, full size first."""
        below, outputs = skips[-1], []
        for level, stage in enumerate(self.stages):
            skip = skips[-(level + 2)]
            if level < len(self.gates):
                skip = self.gates[level](skip, below)
            below = stage(torch.cat((self.transpconvs[level](below), skip), 1))
            if self.deep_supervision or level == len(self.stages) - 1:
                outputs.append(self.seg_layers[level](below))
        return outputs[::-1] if self.deep_supervision else outputs[0]


def with_attention(network: nn.Module) -> nn.Module:
    """Put gates into one of nnU-Net's networks, in place.

    Raises
    ------
    ValueError
        If its decoder is another one.
    """
    found: Any = network
    if type(getattr(found, "decoder", None)) is not UNetDecoder:
        raise ValueError(f"attention gates are for {' and '.join(GATED)}; got {type(network).__name__}")
    found.decoder = GatedDecoder(found.decoder)
    return network
