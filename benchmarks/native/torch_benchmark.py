"""``torch.utils.benchmark`` on a transformers checkpoint: ``torch_benchmark.py ARTIFACT THREADS SECONDS``.

From NumPy arrays to a NumPy array, as every runtime is called.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch
import transformers
from torch.utils.benchmark import Timer

AUTO = {
    "token-classification": transformers.AutoModelForTokenClassification,
    "image-classification": transformers.AutoModelForImageClassification,
}

artifact, threads, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
task = json.loads((artifact / "manifest.json").read_text())["task"]
model = AUTO[task].from_pretrained(artifact, local_files_only=True).eval()
with np.load(artifact / "data" / "workload" / "data.npz") as arrays:
    feed = {name: values[0] for name, values in arrays.items()}
CALL = """
with torch.inference_mode():
    model(**{name: torch.from_numpy(values) for name, values in feed.items()}).logits.numpy()
"""
timer = Timer(CALL, globals={"torch": torch, "model": model, "feed": feed}, num_threads=threads)
timer.timeit(20)
measured = timer.blocked_autorange(min_run_time=seconds)
print(json.dumps({"milliseconds": [1e3 * time for time in measured.times]}))
