"""What the passes that prune share: writing the pruned checkpoint, and fine-tuning that lets it recover."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.contracts.artifact import Artifact, Context, ConversionError
from harness.toolchain.checkpoint import copy_companions, load_model

if TYPE_CHECKING:
    from pathlib import Path

    from training import Examples, Trained


def recover(
    model: Any, examples: Examples, parameters: Mapping[str, Any], context: Context, span: tuple[float, float]
) -> Trained | None:
    """Fine-tune ``model`` in place on its own loss; None where no step was wanted.

    ``parameters`` holds ``recovery_steps`` (-1: those of the step's recipe) and ``learning_rate`` (its peak; 0: likewise).
    Token embeddings, and a head that is tied to them, stay as they are.
    """
    from training import Schedule, finetune, freeze_embeddings

    recipe = context.recipe
    steps = recipe.steps if parameters["recovery_steps"] < 0 else parameters["recovery_steps"]
    if not steps:
        return None
    rate = parameters["learning_rate"] or recipe.learning_rate
    schedule = Schedule(epochs=steps * recipe.batch, batch=recipe.batch, rate=rate, max_steps=steps)
    freeze_embeddings(model)
    return finetune(model, examples, schedule, context, span=span)


def recovery_effect(trained: Trained | None) -> dict[str, Any]:
    """What the report says of a recovery."""
    if trained is None:
        return {"recovery_steps": 0}
    return {"recovery_steps": trained.steps, "recovery_loss": round(trained.loss, 4)}


def rebuilt(model: Any, config: Any) -> Any:
    """A fresh model of the same class that ``config`` describes, with the weights of ``model``.

    This proves that an ordinary checkpoint holds them. Raises ConversionError where one tensor's name or shape differs.
    """
    fresh = type(model)(config)
    try:
        fresh.load_state_dict(model.state_dict())
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise ConversionError(f"the configuration cannot describe the pruned model: {reason}") from None
    return fresh.eval()


def save(model: Any, source: Artifact, out: Path) -> None:
    """Write ``model`` as one safetensors file, with its configuration and the tokenizer of ``source``."""
    copy_companions(source, out)
    model.save_pretrained(out, max_shard_size="1TB")  # one file, whatever the size


def removed(source: Artifact, out: Path, auto_class: str) -> dict[str, Any]:
    """The parameters of both checkpoints as they are on disk, a tied matrix counted once.

    Raises ConversionError where the written one is not smaller.
    """
    models = (load_model(path, auto_class) for path in (source.path, out))
    before, after = (sum(parameter.numel() for parameter in model.parameters()) for model in models)
    if after >= before:
        raise ConversionError("no parameter was removed: prune more")
    return {
        "parameters_before": before,
        "parameters_after": after,
        "share_of_parameters_removed": round(1 - after / before, 4),
    }
