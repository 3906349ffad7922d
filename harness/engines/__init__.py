"""Engines: where a step runs. Each is a folder with a card in its ``__init__.py``; ``registry`` finds them.

All keep the contract of ``contract``, so that the same step runs under any of them. A step succeeded only if its
``status.json`` says so; what an engine returns is a hint for the reason.
"""
