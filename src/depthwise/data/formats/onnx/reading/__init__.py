"""ONNX files → networks.

`proto.py` takes a file apart into plain values and trusts none of them; `folding.py` computes what does not depend on the inputs;
`network.py` is the network as it grows, with the layouts of its tensors; the files `operators_….py` have a rule for each operator;
`opening.py` puts them together.
"""
