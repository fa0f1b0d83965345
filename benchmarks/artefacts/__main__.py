"""Write model files in a process of their own: `python -m benchmarks.artefacts FORMAT NETWORK:BATCH=PATH …`.

The rivals that read these files then need neither TensorFlow nor `onnx`, as their users don't.
"""

import importlib
import sys
from pathlib import Path

from benchmarks.models import NETWORKS, make_weights


def main(arguments: list[str]) -> None:
    """Write each `NETWORK:BATCH=PATH` in the given format (`tflite` or `onnx`)."""
    file_format, *orders = arguments
    write = importlib.import_module(f"benchmarks.artefacts.{file_format}_file").write
    for order in orders:
        what, _, path = order.partition("=")
        name, _, batch = what.partition(":")
        network = NETWORKS[name]
        write(network, make_weights(network), int(batch), Path(path))


if __name__ == "__main__":
    main(sys.argv[1:])
