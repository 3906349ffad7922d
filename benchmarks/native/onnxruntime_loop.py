"""A bare loop around ``InferenceSession.run``: ``onnxruntime_loop.py ARTIFACT THREADS SECONDS``."""

import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

artifact, threads, seconds = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
session = onnxruntime.InferenceSession(artifact / "model.onnx", options, providers=["CPUExecutionProvider"])
with np.load(artifact / "data" / "workload" / "data.npz") as arrays:
    batches = [{node.name: arrays[node.name][i] for node in session.get_inputs()} for i in range(8)]
for batch in batches * 3:
    session.run(None, batch)
times = []
end = time.perf_counter() + seconds
while time.perf_counter() < end:
    start = time.perf_counter_ns()
    session.run(None, batches[len(times) % 8])
    times.append((time.perf_counter_ns() - start) / 1e6)
print(json.dumps({"milliseconds": times}))
