"""A bare loop around LiteRT's ``Interpreter.invoke``: ``litert_loop.py ARTIFACT THREADS SECONDS``.

Of a graph with several signatures ``invoke`` reaches only the first: those are called through their runner.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter

artifact, threads, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
interpreter = Interpreter(str(artifact / "model.tflite"), num_threads=threads)
interpreter.allocate_tensors()
with np.load(artifact / "data" / "workload" / "data.npz") as arrays:
    batches = [{name: arrays[name][i] for name in arrays} for i in range(8)]

if "input_ids" in batches[0]:
    runner = interpreter.get_signature_runner(f"tokens_{batches[0]['input_ids'].shape[1]}")
    wanted = interpreter.get_signature_list()[f"tokens_{batches[0]['input_ids'].shape[1]}"]["inputs"]
    batches = [{name: batch[name].astype(np.int32) for name in wanted} for batch in batches]

    def call(batch: dict[str, np.ndarray]) -> None:
        """One text through the signature of its length."""
        runner(**batch)

else:
    pixels = interpreter.get_input_details()[0]["index"]
    logits = interpreter.get_output_details()[0]["index"]

    def call(batch: dict[str, np.ndarray]) -> None:
        """One image."""
        interpreter.set_tensor(pixels, batch["pixel_values"])
        interpreter.invoke()
        interpreter.get_tensor(logits)


for batch in batches * 3:
    call(batch)
times = []
end = time.perf_counter() + seconds
while time.perf_counter() < end:
    start = time.perf_counter_ns()
    call(batches[len(times) % 8])
    times.append((time.perf_counter_ns() - start) / 1e6)
print(json.dumps({"milliseconds": times}))
