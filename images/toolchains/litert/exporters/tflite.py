"""hf checkpoint -> TFLite flatbuffer by LiteRT Torch: static shapes, one signature per sequence length, weights stored once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.contracts.adapter import Array
from harness.contracts.artifact import Artifact, Context, ConversionError, Made
from harness.contracts.cards import ExporterCard, Form, Use
from harness.toolchain.checkpoint import image_shape, load_model, load_tokenizer
from harness.toolchain.parity import require_close, sample_inputs, source_logits
from harness.toolchain.positions import token_limit

CARD = ExporterCard(
    name="tflite",
    summary="export to a TFLite graph for batch 1: one signature per sequence length, shared weights",
    accepts=(Form("hf", "fp32"),),
    makes=Form("tflite", "fp32"),
    source="https://ai.google.dev/edge/litert/conversion/pytorch/overview",
    calls=("forward",),
    modalities=("text", "image"),
)

#: Tokens that a signature takes, up to what the model has positions for. A text is padded to the next of them. Few, because the
#: runtime packs the weights once more for every signature: the file does not grow, the memory does.
LENGTHS = (32, 128, 512)


def export(source: Artifact, out: Path, context: Context) -> Made:
    """Export every signature into one file, then run it on the text and images that the checkpoint is run on too.

    Signatures are named ``tokens_<length>``, or ``images`` for the one of an image model. Inputs are int32 and float32. Raises
    ConversionError where the logits differ by more than rounding, or where the signatures do not share their weights.
    """
    import litert_torch

    model = load_model(source.path, context.auto_class)
    samples = _samples(source.path, model, context.use)
    wrapped = _wrapped(model, context.use).eval()
    converter: Any = litert_torch
    for name, sample in samples.items():
        converter = converter.signature(name, wrapped, sample_kwargs=sample)
    context.progress(0.1, f"converting {len(samples)} signatures")
    converter.convert().export(str(out / "model.tflite"))
    _shorten_names(out / "model.tflite")
    context.progress(0.8, "comparing")
    stored = (out / "model.tflite").stat().st_size
    weights = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if len(samples) > 1 and stored > 1.5 * weights:
        raise ConversionError(f"the signatures do not share their weights: {weights} bytes became {stored}")
    difference = max(_differences(source.path, model, context.use, out / "model.tflite"))
    effect = {"max_abs_logit_difference": difference, "signatures": list(samples)}
    return Made(["model.tflite"], effect=effect, extra={"signatures": list(samples)})


def _samples(path: Path, model: Any, use: Use) -> dict[str, dict[str, Any]]:
    """What each signature is traced with, by name: batch 1, values that any model takes."""
    import inspect

    import torch

    if use.modality == "image":
        return {"images": {"pixel_values": torch.zeros(1, *image_shape(path))}}
    # What the tokenizer names and the model takes: where both know segments, those too.
    named = sample_inputs(path, model.config, use, 1)
    known = [name for name in inspect.signature(model.forward).parameters if name in named]
    return {
        f"tokens_{length}": {name: torch.ones(1, length, dtype=torch.int32) for name in known}
        for length in _lengths(path)
    }


def _lengths(path: Path) -> list[int]:
    """The lengths to export: where the model has fewer positions than the longest of them, its own limit is the last."""
    limit = min(token_limit(path, load_tokenizer(path)) or LENGTHS[-1], LENGTHS[-1])
    return [*(length for length in LENGTHS if length < limit), limit]


def _wrapped(model: Any, use: Use) -> Any:
    """A module that takes what the worker gives and returns ``{"logits": ...}``.

    The attention mask [1, tokens] becomes the additive one that attention adds to its scores, here instead of inside
    transformers: as transformers builds it, the graph gets a GATHER_ND on booleans that older runtimes have no kernel for.
    """
    import torch

    class Images(torch.nn.Module):  # type: ignore[misc]  # torch is not installed where types are checked
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: Any) -> dict[str, Any]:
            return {"logits": self.model(pixel_values=pixel_values).logits}

    class Text(Images):
        def forward(self, **inputs: Any) -> dict[str, Any]:  # type: ignore[override]
            hidden = 1.0 - inputs["attention_mask"][:, None, None, :].float()
            mask = hidden * torch.finfo(torch.float32).min
            return {"logits": self.model(**{**inputs, "attention_mask": mask}).logits}

    return Images() if use.modality == "image" else Text()


def _shorten_names(file: Path) -> None:
    """Number the tensors instead of naming each by its stack of modules, which would outweigh a small model's weights.

    What signatures name stays.
    """
    from ai_edge_litert.tools.flatbuffer_utils import read_model, write_model

    model = read_model(str(file))
    for index, graph in enumerate(model.subgraphs):
        for number in set(range(len(graph.tensors))) - {*graph.inputs, *graph.outputs}:
            graph.tensors[number].name = f"{index}/{number}"
    write_model(model, str(file))


def _differences(path: Path, model: Any, use: Use, file: Path) -> list[float]:
    """The largest difference of the logits for each of three inputs, texts in several lengths that are padded."""
    from ai_edge_litert.interpreter import Interpreter

    if use.modality == "image":
        *_, model.config.image_size = image_shape(path)  # some configurations keep it elsewhere
    interpreter = Interpreter(model_path=str(file))
    found = []
    for batch in (1, 2, 3):
        inputs = {name: array[:1] for name, array in sample_inputs(path, model.config, use, batch).items()}
        found.append(require_close(source_logits(model, inputs), _run(interpreter, inputs)))
    return found


def _run(interpreter: Any, inputs: dict[str, Array]) -> Array:
    """The logits of one row, by the shortest signature that it fits into."""
    names = interpreter.get_signature_list()
    if "input_ids" not in inputs:
        (name,) = names
        return np.asarray(interpreter.get_signature_runner(name)(**inputs)["logits"])
    length = inputs["input_ids"].shape[1]
    size, name = min((size, name) for name in names if (size := int(name.removeprefix("tokens_"))) >= length)
    padded = {name: np.pad(array.astype(np.int32), ((0, 0), (0, size - length))) for name, array in inputs.items()}
    # A tokenizer may leave the kinds of segments out (RoBERTa's does): transformers takes them for 0.
    padded.setdefault("token_type_ids", np.zeros_like(padded["input_ids"]))
    runner = interpreter.get_signature_runner(name)
    logits = np.asarray(runner(**{name: padded[name] for name in names[name]["inputs"]})["logits"])
    return logits[:, :length] if logits.ndim == 3 else logits
