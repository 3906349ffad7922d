"""How many tokens a model of text takes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.contracts import checkpoint


def token_limit(path: Path, tokenizer: Any) -> int | None:
    """How many tokens the model takes, special ones included; None where nothing limits them.

    The smallest of what the tokenizer says, what the configuration says (transformers knows its many names), and how many
    positions were learned. RoBERTa and its like keep the first positions for padding, OPT and BART the first two.
    """
    import transformers

    config = transformers.AutoConfig.from_pretrained(path, **checkpoint.options(path)).get_text_config()
    told = getattr(config, "max_position_embeddings", None)
    limits = [tokenizer.model_max_length, told, *_learned_positions(path)]
    found = min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=_NO_LIMIT)
    return found if found < _NO_LIMIT else None


_NO_LIMIT = 10**9  # tokenizers without a limit say 10**30


def _learned_positions(path: Path) -> list[int]:
    """How many positions each table of learned positions leaves for tokens. The model is built without its weights."""
    import torch
    import transformers

    auto = json.loads((path / "manifest.json").read_text("utf-8"))["auto_class"]
    config = transformers.AutoConfig.from_pretrained(path, **checkpoint.options(path))
    with torch.device("meta"):
        model = getattr(transformers, auto).from_config(config, trust_remote_code=checkpoint.has_own_code(path))
    tables = {name: module for name, module in model.named_modules() if isinstance(module, torch.nn.Embedding)}
    return [
        table.num_embeddings - int(getattr(table, "offset", 0) or _kept_for_padding(table))
        for name, table in tables.items()
        if name.rpartition(".")[2] in _TABLES
    ]


#: What transformers calls the tables of absolute positions.
_TABLES = ("position_embeddings", "embed_positions", "wpe", "position_embedding")


def _kept_for_padding(table: Any) -> int:
    return 0 if table.padding_idx is None else table.padding_idx + 1
