import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vite";

const here = dirname(fileURLToPath(import.meta.url));
const target = process.env.DEPTHWISE_PAGE ?? resolve(here, "../src/depthwise/explain/page/page.html");

/** One file: the script and the styles inside the page, and a policy that lets this one script run and nothing load. */
function singleFile() {
  return {
    name: "depthwise-single-file",
    enforce: "post",
    generateBundle(_, bundle) {
      const files = Object.values(bundle);
      const page = files.find((file) => file.fileName === "index.html");
      const scripts = files.filter((file) => file.type === "chunk");
      const styles = files.filter((file) => file.fileName.endsWith(".css"));
      if (scripts.length !== 1 || styles.length !== 1) {
        throw new Error(`expected one script and one style sheet, got ${scripts.length} and ${styles.length}`);
      }
      const code = scripts[0].code.trim().replaceAll("</script", "<\\/script");
      const css = String(styles[0].source).trim().replaceAll("</style", "<\\/style");
      const hash = createHash("sha256").update(code, "utf8").digest("base64");
      const policy =
        `default-src 'none'; script-src 'sha256-${hash}'; style-src 'unsafe-inline'; img-src data: blob:; ` +
        "connect-src 'none'; base-uri 'none'; form-action 'none'";
      const html = String(page.source)
        .replace(/\s*<script type="module"[^>]*><\/script>/, "")
        .replace(/\s*<link rel="stylesheet"[^>]*>/, "")
        .replace("depthwise:policy", () => policy)
        .replace("</head>", () => `<style>${css}</style>\n  </head>`)
        .replace("</body>", () => `<script type="module">${code}</script>\n  </body>`);
      mkdirSync(dirname(target), { recursive: true });
      writeFileSync(target, html);
      for (const file of files) delete bundle[file.fileName];
    },
  };
}

export default defineConfig({
  plugins: [svelte(), singleFile()],
  build: {
    target: "es2022",
    modulePreload: false,
    assetsInlineLimit: 0,
    cssCodeSplit: false,
    reportCompressedSize: false,
    emptyOutDir: false,
    outDir: resolve(here, "node_modules/.built"),
  },
});
