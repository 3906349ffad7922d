"""OpenVINO's own ``benchmark_app``, synchronous: ``openvino_benchmark_app.py ARTIFACT THREADS SECONDS``.

The time of a call is its duration over its iterations, which holds the call from Python as our rows do. Its printed median
is of the time inside the inference request only: for a model of 0.1 ms that leaves out 8 % of what a caller waits.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

artifact, threads, seconds = Path(sys.argv[1]), sys.argv[2], max(1, round(float(sys.argv[3])))
with np.load(artifact / "data" / "workload" / "data.npz") as arrays:
    shapes = {name: values.shape[1:] for name, values in arrays.items()}
graph = (artifact / "model.xml").read_text()
used = {name: shape for name, shape in shapes.items() if f'names="{name}"' in graph}
shape = ",".join(f"{name}[{','.join(map(str, each))}]" for name, each in used.items())
tool = [str(Path(sys.executable).with_name("benchmark_app")), "-m", str(artifact / "model.xml"), "-d", "CPU"]
# One stream on all threads is what the latency hint comes to; benchmark_app takes no number of threads beside a hint.
streams = ["-hint", "none", "-nstreams", "1", "-nthreads", threads]
options = [*streams, "-api", "sync", "-infer_precision", "f32", "-t", str(seconds)]
done = subprocess.run([*tool, *options, "-data_shape", shape], capture_output=True, text=True, check=False)
count = re.search(r"Count:\s+(\d+) iterations", done.stdout)
duration = re.search(r"Duration:\s+([\d.]+) ms", done.stdout)
if not count or not duration:
    sys.exit(done.stdout + done.stderr)
print(json.dumps({"milliseconds": [float(duration[1]) / int(count[1])]}))
