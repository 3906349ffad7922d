"""The store: content-addressed steps under ``.matrix/``.

A step is made in ``tmp/`` and renamed to ``steps/<kk>/<key>/`` once it is whole and on the disk: a reader sees all of it or
nothing, also after a power cut, and a run that is killed loses at most the step in flight. ``receipt.json`` lists the hash of
every file of the step, and holds a hash of itself. All reading goes through ``find`` and ``output``, which verify what they
hand out: an entry that is not what its receipt says is set aside in ``damaged/``, told in one line, and made again. Failed
steps are kept apart, in ``failed/``, with their logs.
"""

from harness.runner.store.layout import log_tail, remove, size_of
from harness.runner.store.receipt import LOG, OUT, RECEIPT, RECORD, STATUS, Energy, Entry, Receipt, RoundFacts
from harness.runner.store.store import Checked, Store

__all__ = [
    "LOG",
    "OUT",
    "RECEIPT",
    "RECORD",
    "STATUS",
    "Checked",
    "Energy",
    "Entry",
    "Receipt",
    "RoundFacts",
    "Store",
    "log_tail",
    "remove",
    "size_of",
]
