import { mount, tick } from "svelte";

import App from "./App.svelte";
import { explain } from "./lib/cell";
import { data, layerByName } from "./lib/data";
import { fill } from "./lib/formula";
import { run } from "./lib/network";
import { state } from "./lib/state.svelte";
import "./style.css";

mount(App, { target: document.getElementById("app")! });

// For the curious in the browser's console, and for the tests: the network as functions.
Object.assign(window, {
  depthwise: {
    data,
    fill,
    tick,
    state,
    run: (...pictures: (number[] | Float32Array)[]) => run(pictures.map((picture) => Float32Array.from(picture)), data.kept_layers),
    explain: (layer: string, position: number[]) => explain(layerByName.get(layer)!, position, state.values),
  },
});
