"""The worker: runs inside every runtime image and measures one artifact.

In scope: load, warm up, measure, account for memory, evaluate. Out of scope: downloading, tokenizing, converting, choosing.
Needs the standard library, numpy and psutil (and pynvml where there is a GPU). A measurement knows the contracts only; an
evaluation also loads the one task that scores it.
"""
