"""A tiny language model with a tied head, and training rows for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from harness.contracts.artifact import Artifact, Context
from harness.tasks import _storage
from tests.passes.contexts import LANGUAGE, make_artifact, make_context


@pytest.fixture
def artifact(tmp_path: Path) -> Artifact:
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = LlamaConfig(vocab_size=64, tie_word_embeddings=True, **sizes)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "source")
    words = Tokenizer(models.WordLevel({"<unk>": 0, "the": 1, "of": 2, "to": 3}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="<unk>").save_pretrained(tmp_path / "source")
    return make_artifact(tmp_path / "source", LANGUAGE)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    data = tmp_path / "calibration"
    data.mkdir()
    rows = np.random.default_rng(0).integers(0, 64, (8, 32))
    values, offsets = _storage.flatten([list(row) for row in rows])
    _storage.save(data, {"task": LANGUAGE, "window": 32}, {"input_ids": values, "offsets": offsets})
    return make_context(LANGUAGE, {"calibration": data})
