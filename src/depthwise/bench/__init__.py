"""Where the time of a network goes: block by block, as a share of what the machine can do, measured in one run.

`probes` finds what the machine can do, `instructions` what a kernel asks of it, `rows` which calls belong together,
`measured` counts their time inside the native code, `run` does it in rounds, `table` prints it.
"""
