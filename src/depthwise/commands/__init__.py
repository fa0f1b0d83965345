"""The commands of `depthwise`, one file each. What is heavy is imported when a command runs, so `--help` is quick."""
