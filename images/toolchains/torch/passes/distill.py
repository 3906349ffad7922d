"""Knowledge distillation: a smaller student learns from the model as its teacher."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import Form, Parameter, PassCard
from harness.toolchain.checkpoint import WEIGHTS, copy_companions, load_model

CARD = PassCard(
    name="distill",
    summary="a student with fewer layers or channels, trained on its teacher's logits, features and attention, by PyTorch",
    accepts=(Form("hf", "fp32"),),
    source="Hinton, Vinyals & Dean 2015, Distilling the Knowledge in a Neural Network, https://arxiv.org/abs/1503.02531; "
    "Sanh et al. 2019, DistilBERT, https://arxiv.org/abs/1910.01108",
    costs="other",
    calls=("forward",),
    modalities=("text", "image"),
    parameters={
        "student_layers": Parameter(0, "transformer layers of the student; 0: half of the teacher's", minimum=0),
        "student_depth": Parameter(1, "of a convolutional student, blocks a stage at most", minimum=1),
        "student_width": Parameter(0.5, "of a convolutional student, share of channels", minimum=0.05, maximum=1),
        "copy_layers": Parameter(True, "start a transformer student from its teacher's layers, evenly spaced"),
        "logits": Parameter(
            1.0, "weight of the loss against the teacher's softened classes; 0 turns it off", minimum=0
        ),
        "features": Parameter(1.0, "weight of the loss against its hidden states", minimum=0),
        "attention": Parameter(1.0, "weight of the loss against its attention maps", minimum=0),
        "hard": Parameter(1.0, "weight of the loss against the labels", minimum=0),
        "temperature": Parameter(2.0, "softens the classes of both", minimum=1),
        "epochs": Parameter(0.0, "passes over the training data; 0: 2, of a convolutional student 12", minimum=0),
        "batch": Parameter(32, "examples a step", minimum=1),
        "learning_rate": Parameter(0.0, "its peak; 0: 0.0003, of a convolutional student 0.003", minimum=0, maximum=1),
    },
    needs_training_data=True,
)

_COMPARED = 256  # training examples on which student and teacher are compared at the end


def apply(source: Artifact, out: Path, parameters: Mapping[str, Any], context: Context) -> Made:
    """Build the student, train it, and compare what was written with the teacher.

    With ``logits``, ``features`` and ``attention`` at 0 the student learns from the labels alone: the control that says
    whether its teacher was worth it. Raises ConversionError where all weights are 0 or the student would not be smaller.
    """
    import torch
    from distillation import TERMS, Distillation
    from students import blocks, is_transformer, narrower, shallower
    from students import parameters as count
    from training import Examples, Schedule, finetune, freeze_embeddings

    weights = {term: parameters[term] for term in TERMS}
    if not any(weights.values()):
        raise ConversionError(
            "the student has nothing to learn from: give logits, features, attention or hard a weight"
        )
    examples = Examples.of(context)
    teacher = load_model(source.path, context.auto_class).requires_grad_(False)
    torch.manual_seed(context.seed)
    if is_transformer(teacher):
        student, epochs, rate = shallower(teacher, parameters["student_layers"], parameters["copy_layers"]), 2, 3e-4
        if weights["attention"]:  # only this implementation gives its maps away
            teacher.set_attn_implementation("eager")
            student.set_attn_implementation("eager")
        if parameters["copy_layers"]:
            freeze_embeddings(student)
    else:
        student = narrower(teacher, parameters["student_depth"], parameters["student_width"])
        epochs, rate = 12, 3e-3
    loss = Distillation(teacher, student, weights, parameters["temperature"])
    schedule = Schedule(parameters["epochs"] or epochs, parameters["batch"], parameters["learning_rate"] or rate)
    groups = [{"params": [p for p in (*student.parameters(), *loss.parameters()) if p.requires_grad]}]
    trained = finetune(student, examples, schedule, context, loss, groups=groups, span=(0.0, 0.95))

    copy_companions(source, out)
    student.save_pretrained(out)
    written = load_model(out, context.auto_class)
    effect = {
        "layers_removed": blocks(teacher) - blocks(written),
        "parameters_before": count(teacher),
        "parameters": count(written),
        "share_of_parameters_removed": round(1 - count(written) / count(teacher), 4),
        "training_steps": trained.steps,
        **loss.last(),
        "teacher_agreement_on_training_data": _agreement(teacher, written, examples, context),
    }
    return Made([WEIGHTS], effect=effect, extra=dict(source.manifest.extra))


def _agreement(teacher: Any, student: Any, examples: Any, context: Context) -> float:
    """How often both choose the same class, at every position that has a label."""
    import numpy as np
    import torch
    from training import Examples

    chosen = np.random.default_rng(context.seed).permutation(len(examples))[:_COMPARED]
    same = labelled = 0
    for batch in Examples([examples.items[at] for at in chosen]).batches(32, np.random.default_rng(0)):
        counts = batch.pop("labels") >= 0
        with torch.inference_mode():
            agree = teacher(**batch).logits.argmax(-1) == student(**batch).logits.argmax(-1)
        same, labelled = same + int((agree & counts).sum()), labelled + int(counts.sum())
    return round(same / labelled, 4)
