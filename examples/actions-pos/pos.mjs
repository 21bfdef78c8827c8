// Lists the terminals, or takes a payment:
//
//   node pos.mjs                              lists
//   node pos.mjs TERM-001 12.50 EUR           pays
//
// Where the gateway is and with which key is read from the file that `tillgate demo --ready-file FILE` writes
// (`--ready-file FILE`, or demo.json), or from TILLGATE_URL and TILLGATE_API_KEY.

import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { parseArgs } from "node:util";

import { Desktop } from "./desktop.mjs";

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "ready-file": { type: "string", default: "demo.json" },
    "device-id": { type: "string", default: "till-1" },
  },
});
const [terminalId, amount, currency = "EUR"] = positionals;
if (terminalId && !amount) fail("usage: node pos.mjs [TERMINAL AMOUNT [CURRENCY]]");

const desktop = new Desktop({ ...gateway(), deviceId: options["device-id"] });
desktop.on("disconnected", (reason) => console.error(`disconnected (${reason})`));
desktop.on("result", ({ paymentResponse: { transactionId, status }, late }) =>
  console.log(`${transactionId}: ${status}${late ? ", late: it was reported as FAILED before" : " (it was missed)"}`),
);
desktop.on("voided", ({ transactionId, voidReason }) => console.log(`${transactionId}: voided. ${voidReason}`));
try {
  await desktop.open();
  await (terminalId ? pay() : list());
} catch (error) {
  console.error(error.message);
  process.exitCode = 2;
} finally {
  desktop.close();
}

async function list() {
  for (const { deviceId, connectionId, status } of await desktop.terminals()) {
    console.log(`${(deviceId ?? connectionId).padEnd(24)} ${status}`);
  }
}

async function pay() {
  const transactionId = randomUUID();
  console.log(`${transactionId}: ${amount} ${currency} on ${terminalId} …`);
  const paymentRequest = { transactionId, amount, currency, paymentMethod: "CARD" };
  const { status, authorizationCode, errorCode, errorMessage } = await desktop.pay(terminalId, paymentRequest);
  if (status === "SUCCESS") return console.log(`${transactionId}: paid, authorization code ${authorizationCode ?? "none"}`);
  console.log(`${transactionId}: not paid, ${status} ${errorCode}: ${errorMessage}`);
  process.exitCode = 1;
}

function gateway() {
  const { TILLGATE_URL: url, TILLGATE_API_KEY: apiKey } = process.env;
  if (url && apiKey) return { url, apiKey };
  const file = options["ready-file"];
  if (!existsSync(file)) fail(`there is no ${file}: start \`tillgate demo --ready-file ${file}\`, or set TILLGATE_URL and TILLGATE_API_KEY`);
  const { baseUrl, apiKeys } = JSON.parse(readFileSync(file, "utf8"));
  return { url: `${baseUrl.replace(/^http/, "ws")}/v1`, apiKey: apiKeys.actionsDesktop };
}

function fail(message) {
  console.error(message);
  process.exit(2);
}
