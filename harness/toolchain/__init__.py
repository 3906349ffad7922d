"""The toolchain runner: inside a toolchain image it runs the steps that prepare data, train, compress and export.

``python -m harness.toolchain --step DIR --input NAME=DIR ...``; each kind of step has a module of its name. Passes and
exporters keep the contract of ``harness/contracts/artifact.py``.
"""
