// Builds the page into a temporary folder and compares it with the committed one, byte for byte.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const web = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const committed = resolve(web, "../src/depthwise/explain/page/page.html");
const folder = mkdtempSync(join(tmpdir(), "depthwise-page-"));
const built = join(folder, "page.html");
try {
  const run = spawnSync(process.execPath, [join(web, "node_modules/vite/bin/vite.js"), "build", "--logLevel", "warn"], {
    cwd: web,
    env: { ...process.env, DEPTHWISE_PAGE: built },
    stdio: "inherit",
  });
  if (run.status !== 0) process.exit(run.status ?? 1);
  if (!readFileSync(built).equals(readFileSync(committed))) {
    console.error("the committed page differs from what web/ builds; run `npm run build` in web/ and commit the result");
    process.exit(1);
  }
  console.log("the committed page is what web/ builds");
} finally {
  rmSync(folder, { recursive: true, force: true });
}
