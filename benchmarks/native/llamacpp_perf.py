"""llama.cpp's own timings of single-token decoding: ``llamacpp_perf.py ARTIFACT THREADS SECONDS``.

Prompt and continuation are those of the workload; ``llama_perf_context`` tells the milliseconds of the decode calls.
"""

import json
import sys
import time
from pathlib import Path

import llama_cpp
import numpy as np

artifact, threads, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
manifest = json.loads((artifact / "manifest.json").read_text())
full = manifest["precision"] == "fp32"  # as the adapter: an fp32 row keeps fp32 throughout
cache = llama_cpp.GGML_TYPE_F32 if full else llama_cpp.GGML_TYPE_F16
with np.load(artifact / "data" / "workload" / "data.npz") as arrays:
    prompts, continuations = arrays["input_ids"][:, 0], arrays["continuation_ids"][:, 0]
options = {"type_k": cache, "type_v": cache, "flash_attn": not full, "n_ctx": 256, "no_perf": False, "verbose": False}
model = llama_cpp.Llama(str(artifact / "model.gguf"), n_threads=threads, n_threads_batch=threads, **options)
context = model._ctx.ctx
times = []
end = time.perf_counter() + seconds
for number in range(10**6):
    if number > 1 and time.perf_counter() > end:
        break
    model.reset()
    model.eval(prompts[number % len(prompts)].tolist())
    llama_cpp.llama_get_logits(context)
    llama_cpp.llama_perf_context_reset(context)
    for token in continuations[number % len(continuations)].tolist():
        model.eval([token])
        llama_cpp.llama_get_logits(context)  # waits for the graph: only then llama.cpp counts its time
    told = llama_cpp.llama_perf_context(context)
    if number:
        times.append(told.t_eval_ms / told.n_eval)
print(json.dumps({"milliseconds": times}))
