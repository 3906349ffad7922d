"""The kinds of steps: each module holds ``run(spec, out, context)`` and is loaded by the name of its kind."""
