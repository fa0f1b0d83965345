import { vitePreprocess } from "@sveltejs/vite-plugin-svelte";

// A fixed hash of the class names keeps the built page the same wherever it is built.
export default {
  preprocess: vitePreprocess({ script: false }),
  compilerOptions: { runes: true, cssHash: ({ hash, css }) => `s${hash(css)}` },
};
