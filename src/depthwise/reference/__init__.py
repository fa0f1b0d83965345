"""The judge: slow, obvious float64 NumPy, forward and gradients, which shares no code with what it judges.

It reads layer descriptions and graphs, and nothing else of the project: it derives every output shape and every weight
shape on its own, so that it also judges `depthwise.network.facts`. Arrays are (batch, height, width, channels) or (batch, …);
weights have Keras' names, shapes and order of axes.

- `forward`: one plain function for each operation. `activations`, `losses`: with their slopes.
- `backward`: gradients of each operation to its inputs and weights.
- `layer`: one layer description at a time. `network`: a whole graph.
- `optimizers`: one step of each of Keras' optimizers.
- `bounds`: how far float32 may be from these results.
"""
