"""Training as the original study does it, from its description: what this project is measured against.

Single precision; each clip is decoded anew whenever its turn comes, by torch's DataLoader; AdamW as torch makes it; the
loss is read after every step. The loader decodes in this process: workers would do so while the other side is timed.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import soundfile
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bench.plain_models import plain_model
from bench.study import Case
from esc50tune.data.clips import Clips

Item = Sequence[Tensor]  # what is heard [C, T], label, and codes [N, T] where there are any


class WavFiles(Dataset):
    """Recordings, decoded one by one."""

    def __init__(self, files: Sequence[Path], labels: Tensor) -> None:
        self.files, self.labels = files, labels

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Item:
        samples, _ = soundfile.read(self.files[i], dtype="float32")
        return torch.from_numpy(samples)[None], self.labels[i]


class Latents(Dataset):
    """Latents made beforehand, kept in memory."""

    def __init__(self, clips: Clips) -> None:
        everything = range(len(clips))
        self.items = list(zip(clips.waves(everything), clips.labels, clips.codes(everything), strict=True))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Item:
        return self.items[i]


class PlainLoop:
    """The study's model of a case, its optimizer and its data."""

    def __init__(self, case: Case, device: torch.device) -> None:
        torch.manual_seed(0)
        data, config = case.data, case.config
        channels = data.train.waves([0]).shape[1]
        self.device, self.smoothing, self.rho = device, config.label_smoothing, config.sam_rho
        self.model = plain_model(config, channels, data.num_classes).to(device)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), config.lr)
        if case.files is None:
            train, val = Latents(data.train), Latents(data.val)
        else:
            train, val = (WavFiles(f, c.labels) for f, c in zip(case.files, (data.train, data.val), strict=True))
        loader = DataLoader(train, config.batch_size, shuffle=True, drop_last=True)
        self.batches = itertools.chain.from_iterable(itertools.repeat(loader))
        self.val = DataLoader(val, config.batch_size)

    def step(self) -> float:
        """Train on the next batch; return its loss."""
        self.model.train()
        x, *known = (part.to(self.device) for part in next(self.batches))
        self.optimizer.zero_grad()
        loss = self.loss(self.model(x), known)
        loss.backward()
        if self.rho:
            self.sharpen(x, known)
        self.optimizer.step()
        return loss.item()

    def loss(self, told: tuple[Tensor, ...], known: Item) -> Tensor:
        """Return the smoothed loss of logits (and logits of codes), where labels (and codes) are known."""
        (logits, *code_logits), (labels, *codes) = told, known
        loss = F.cross_entropy(logits, labels, label_smoothing=self.smoothing)
        for of_codes, books in zip(code_logits, codes, strict=False):  # a model without codes is not told any
            for book in range(books.shape[1]):
                loss = loss + F.cross_entropy(of_codes[:, :, book], books[:, book], label_smoothing=self.smoothing)
        return loss

    def sharpen(self, x: Tensor, known: Item) -> None:
        """Replace the gradients by those at the worst point nearby: SAM (arXiv 2010.01412)."""
        parameters = list(self.model.parameters())
        norm = torch.stack([p.grad.norm() for p in parameters]).norm()
        moves = [p.grad * (self.rho / (norm + 1e-12)) for p in parameters]
        with torch.no_grad():
            for p, move in zip(parameters, moves, strict=True):
                p.add_(move)
        self.optimizer.zero_grad()
        self.loss(self.model(x), known).backward()
        with torch.no_grad():
            for p, move in zip(parameters, moves, strict=True):
                p.sub_(move)

    @torch.no_grad()
    def evaluate(self) -> float:
        """Return the share of the evaluated clips that are classified right."""
        self.model.eval()
        right, loss = 0, 0.0
        for batch in self.val:
            x, *known = (part.to(self.device) for part in batch)
            told = self.model(x)
            right += (told[0].argmax(1) == known[0]).sum().item()
            loss += self.loss(told, known).item()
        return right / len(self.val.dataset)
