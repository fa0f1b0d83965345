"""Explanations: every number of every layer, for people and for programs.

- `facts`: what follows from the network's description, as plain data (shapes, formulas, what is odd about a layer).
- `values`: what every layer computes for one image. `cells`: how one of those numbers comes about.
- `variations`, `questions`, `timing`: what the page needs to let its reader change a layer, guess, and compare.
- `terminal`, `page`, `explanation` (for notebooks): the three views. `note`: the note's worked examples, its slips and open questions.

Nothing here computes a formula: they all come from `depthwise.network.facts`. Nothing here has words of its own: they come
from `depthwise.messages`.
"""
