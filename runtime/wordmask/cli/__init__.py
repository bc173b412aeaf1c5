"""The `wordmask` command. A command is a module: its options (`add_arguments`), then what it does (`run`).

The only folder of the runtime that reaches up, to the exporters and the benchmarks.
"""
