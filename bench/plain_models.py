"""The original study's models as it wrote them, of torch's own layers, from the study's description.

A model returns its logits [B, K], and after them, if it has any, those of the codes [B, 1024, N, T].
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from esc50tune.config import TrialConfig
from esc50tune.data.latents import CODEBOOK_SIZE, codebooks


def plain_model(config: TrialConfig, in_channels: int, classes: int) -> nn.Module:
    """Return the study's model of that kind and size."""
    make = {"hifigan": PlainHiFiGAN, "convnext": PlainConvNeXt, "causal": PlainCausal}[config.model]
    return make(config, in_channels, classes)


class PlainHiFiGAN(nn.Module):
    """HiFi-GAN's scale discriminator; the logits are its last output's mean over time."""

    def __init__(self, config: TrialConfig, in_channels: int, classes: int) -> None:
        super().__init__()
        width, groups = config.hifigan_channels, 4
        layers = [weight_norm(nn.Conv1d(in_channels, width, 15, padding=7)), nn.LeakyReLU(0.1)]
        last = width
        for stride in (4, 4, 4, 4, 1):
            layers += [
                weight_norm(nn.Conv1d(last, width, 41, stride, padding=20, groups=groups)),
                nn.LeakyReLU(0.1),
            ]
            last, width = width, min(2 * width, 8 * config.hifigan_channels)
            groups = min(4 * groups, 16, config.hifigan_channels)
        layers += [weight_norm(nn.Conv1d(last, width, 5, padding=2)), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*layers, weight_norm(nn.Conv1d(width, classes, 3, padding=1)))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.layers(x).mean(-1),)


class PlainBlock(nn.Module):
    """A residual block; `left` and `right` are the frames that it pads by."""

    def __init__(self, config: TrialConfig, channels: int, kernel: int, left: int, right: int) -> None:
        super().__init__()
        same = left == right
        self.net = nn.Sequential(
            nn.Identity() if same else nn.ConstantPad1d((left, right), 0.0),
            nn.Conv1d(channels, channels, kernel, padding="same" if same else 0, groups=channels),
            nn.GroupNorm(1, channels),
            nn.Conv1d(channels, 4 * channels, 1),
            nn.GELU(),
            nn.Conv1d(4 * channels, channels, 1),
            nn.Dropout(config.dropout),
            nn.Dropout1d(config.channel_dropout),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


class PlainConvNeXt(nn.Module):
    """Each stage halves or quarters the frames and doubles the channels; 1x1 to the classes, then the mean."""

    def __init__(self, config: TrialConfig, in_channels: int, classes: int) -> None:
        super().__init__()
        width, kernel, by = config.convnext_width, config.convnext_kernel, config.convnext_downsample
        stem = nn.Conv1d(in_channels, width, config.convnext_stem_kernel, config.convnext_stem_stride)
        layers = [stem, nn.GroupNorm(1, width)]
        for depth in config.convnext_depths:
            layers += [nn.Conv1d(width, 2 * width, by, by), nn.GroupNorm(1, 2 * width)]
            width *= 2
            layers += [PlainBlock(config, width, kernel, kernel // 2, kernel // 2) for _ in range(depth)]
        self.layers = nn.Sequential(*layers, nn.Conv1d(width, classes, 1))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        return (self.layers(x).mean(-1),)


class PlainCausal(nn.Module):
    """Blocks padded on the left alone; classes from the last frame, the next frame's codes from each."""

    def __init__(self, config: TrialConfig, in_channels: int, classes: int) -> None:
        super().__init__()
        kernel, self.books = config.causal_kernel, codebooks(config.encodec_bandwidth)
        blocks = [PlainBlock(config, in_channels, kernel, kernel - 1, 0) for _ in range(config.causal_blocks)]
        self.layers = nn.Sequential(nn.ConstantPad1d((1, 0), 0.0), *blocks)
        self.head = nn.Linear(in_channels, classes)
        self.code_head = nn.Conv1d(in_channels, CODEBOOK_SIZE * self.books, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.layers(x)
        codes = self.code_head(x[..., :-1]).unflatten(1, (self.books, CODEBOOK_SIZE))
        return self.head(x[..., -1]), codes.transpose(1, 2)
