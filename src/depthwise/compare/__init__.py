"""Two networks side by side: `depthwise compare`.

- `report`: facts and measurements as frozen data, the ratios between them, and their JSON.
- `statistics`: Wilson's interval, mean and spread. `machine`: where it was measured.
- `training`, `timing`: the measurements. `run`: all of it in order, and what happens on Ctrl-C.
- `wording`: the rows that people read, in their language. `console`, `page` with `charts`: the two views.
- `folder`: what is written where, and what is never overwritten.

All formulas come from `depthwise.network.facts`, all words from `depthwise.messages`.
"""
