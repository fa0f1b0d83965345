"""Work on the machines of a Ray cluster (`pip install 'depthwise[ray]'`): the same code, the same bits, more processors.

`predict` classifies images or a Ray dataset; `depthwise predict … --ray` does the same from the command line, and `depthwise compare …
--ray` trains there. Ray is imported by the first call that needs it.
docs/distributed.md says what holds.
"""

from depthwise.distributed.prediction import predict

__all__ = ["predict"]
