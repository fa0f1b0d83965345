"""Write model files in a process of their own: `python -m benchmarks.artefacts FORMAT NETWORK:KIND:BATCH … --folder FOLDER`.

The rivals that read these files then need neither TensorFlow nor `onnx`, as their users don't.
"""

import argparse
import importlib
from pathlib import Path

from benchmarks.keras_networks import ALL_NETWORKS, KerasNetwork
from benchmarks.models import make_weights
from benchmarks.protocol import files_of, keras_file_of
from benchmarks.results import parse_work


def main() -> None:
    """Write the file of each work in the given format (`keras`, `tflite` or `onnx`)."""
    parser = argparse.ArgumentParser()
    parser.add_argument("format", choices=("keras", "tflite", "onnx"))
    parser.add_argument("works", nargs="+")
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    module = importlib.import_module(f"benchmarks.artefacts.{options.format}_file")
    for text in options.works:
        work = parse_work(text, list(ALL_NETWORKS))
        network = ALL_NETWORKS[work.network]
        folder = files_of(options.folder, work.network, work.batch)
        if options.format == "keras":
            module.write(network, work.kind, work.batch, keras_file_of(options.folder, work.network), folder)
        elif isinstance(network, KerasNetwork):
            module.convert(keras_file_of(options.folder, work.network), work.batch, folder)
        else:
            module.write(network, make_weights(network), work.batch, folder)


if __name__ == "__main__":
    main()
