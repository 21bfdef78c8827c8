// node run.mjs READY_FILE CLIENTS_MD: runs the tests against the demo that wrote READY_FILE, and writes calls.md.
//
// `cargo xtask test --only node` calls this. By hand: `npm ci`, and `tillgate demo --ready-file demo.json` beside it.

import { spawnSync } from "node:child_process";
import { readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const [readyFile, documentation] = process.argv.slice(2);
const ready = JSON.parse(readFileSync(readyFile, "utf8"));
const files = readdirSync(here);

/** Ten times what the tests take: whatever hangs is ended. */
const RUN_MAX_MS = 400_000;

// What the page tells people to paste is what the tests use: these modules exist nowhere else.
for (const [, name, code] of readFileSync(documentation, "utf8").matchAll(/^```js\n\/\/ (\w+\.mjs)\b.*\n([^]*?)^```$/gm)) {
  writeFileSync(join(here, name), code);
}
for (const old of files.filter((name) => name.endsWith(".rows.json"))) rmSync(join(here, old));

const tests = files.filter((name) => name.endsWith(".test.mjs")).map((name) => join(here, name));
// Each file has a terminal of its own, so they need not wait for each other's cardholder.
const options = ["--test", "--test-reporter=tap", `--test-concurrency=${tests.length}`];
const run = spawnSync(process.execPath, [...options, ...tests], {
  stdio: "inherit",
  timeout: RUN_MAX_MS,
  env: {
    ...process.env,
    TILLGATE_READY_FILE: readyFile,
    TILLGATE_CALLS: here,
    NODE_EXTRA_CA_CERTS: ready.caFile,
  },
});

const table = calls();
writeFileSync(join(here, "calls.md"), table);
console.log(table);
process.exit(run.status ?? 1);

function calls() {
  const library = JSON.parse(readFileSync(join(here, "node_modules/@adyen/api-library/package.json"), "utf8"));
  const rows = readdirSync(here)
    .filter((name) => name.endsWith(".rows.json"))
    .sort()
    .flatMap((name) => JSON.parse(readFileSync(join(here, name), "utf8")));
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|").replaceAll("\n", " ")).join(" | ")} |`;
  return [
    `${library.name} ${library.version}, Node ${process.version}, ${rows.length} calls`,
    "",
    line(["call", "case", "HTTP", "what the library gave"]),
    line(["---", "---", "---", "---"]),
    ...rows.map(({ name, what, http, gave }) => line([name, what, http ?? "–", gave ?? "nothing: the test ended before"])),
    "",
  ].join("\n");
}
