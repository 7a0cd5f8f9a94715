"""The layer in a vision-language model of plain torch: no transformers, no hooks, no plugin system.

Everything between the scissors is the README's example.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

# -- 8< ---------------------------------------------------------------------------------------------------------------
from torch import nn

from parrot_adapters.core import AlignmentLayer, MeanSummary, SwiGLUExperts, TextGuidedRouter


class TinyVisionLanguageModel(nn.Module):
    """Patches and words in, next-word logits out: the images stand before the words."""

    def __init__(self, vocabulary=100, width=32, patch=48):
        super().__init__()
        self.words = nn.Embedding(vocabulary, width)
        self.projector = nn.Linear(patch, width)
        block = nn.TransformerEncoderLayer(width, nhead=4, dim_feedforward=64, dropout=0.0, batch_first=True)
        self.blocks = nn.TransformerEncoder(block, num_layers=2, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)
        self.align = AlignmentLayer(  # the only addition
            summary=MeanSummary(width),
            router=TextGuidedRouter(width, num_experts=4),
            experts=SwiGLUExperts(width, hidden_size=16, num_experts=4),
            num_experts=4,
        )

    def forward(self, patches, word_ids, word_mask, *, adapted=True):
        rows, count, _ = patches.shape
        words = self.words(word_ids)
        visual = self.projector(patches)
        if adapted:  # one image per prompt here: item i is image i, its prompt is row i
            flat, offsets = visual.flatten(0, 1), torch.arange(rows + 1) * count
            visual = self.align(flat, offsets, torch.arange(rows), words, word_mask).tokens.view_as(visual)
        mask = torch.cat([torch.ones(rows, count, dtype=torch.bool), word_mask], dim=1)
        return self.head(self.blocks(torch.cat([visual, words], dim=1), src_key_padding_mask=~mask)[:, -1])


# -- 8< ---------------------------------------------------------------------------------------------------------------


def batch():
    generator = torch.Generator().manual_seed(0)
    patches = torch.randn(3, 9, 48, generator=generator)
    ids = torch.randint(100, (3, 5), generator=generator)
    mask = torch.tensor([[False, False, True, True, True], [True] * 5, [False, True, True, True, True]])
    return patches, ids, mask


def test_a_new_layer_changes_nothing_and_a_trained_one_helps():
    torch.manual_seed(0)
    model = TinyVisionLanguageModel()
    with torch.no_grad():
        assert torch.equal(model(*batch()), model(*batch(), adapted=False))
    model.requires_grad_(False)
    model.align.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.align.parameters(), lr=3e-2)
    answers, losses = torch.tensor([1, 2, 3]), []
    for _ in range(40):
        loss = nn.functional.cross_entropy(model(*batch()), answers)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_core_needs_no_model_library_and_no_plugin_system():
    probe = (
        f"import runpy, sys; module = runpy.run_path({str(Path(__file__))!r});"
        "module['test_a_new_layer_changes_nothing_and_a_trained_one_helps']();"
        "heavy = {'transformers', 'peft', 'pluggy', 'hypothesis'} & set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_probe_would_notice():
    probe = "import sys, parrot_adapters.core, pluggy; sys.exit(str({'pluggy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", probe], capture_output=True).returncode != 0
