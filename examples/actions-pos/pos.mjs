// Lists the terminals, or takes a payment. See USAGE.

import { randomUUID } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";

import { Desktop, Duplicate, RequestError } from "./desktop.mjs";

const USAGE = `node pos.mjs [OPTIONS]                             lists the terminals
node pos.mjs [OPTIONS] TERMINAL AMOUNT [CURRENCY]  takes a payment

  --ready-file FILE   what \`tillgate demo --ready-file FILE\` has written [default: demo.json].
                      TILLGATE_URL (wss://HOST/v1) and TILLGATE_API_KEY are used instead if both are set
  --device-id ID      what this till calls itself; what it missed is told to it by that name [default: till-1]
  --wait SECONDS      how long to wait for what becomes known later of a payment that is not known [default: 0]
  --help

Exit status: 0 paid, or listed; 1 not paid; 2 something else is wrong, and nothing was begun; 4 NOT KNOWN: it may be charged.
With a CA of your own: NODE_EXTRA_CA_CERTS=FILE (a demo's is the caFile in its ready file).`;
const NOT_PAID = 1;
const WRONG = 2;
const NOT_KNOWN = 4; // As of `tillgate pay`.
const CONNECT_WITHIN = 15_000;

const { options, terminalId, amount, currency } = read();
const wait = Number(options.wait) * 1000;
const { url, apiKey } = gateway();
const desktop = new Desktop({ url, apiKey, deviceId: options["device-id"] });
let isOpen = false;
let mine; // The transactionId of the payment that was asked for here.
desktop.on("connected", () => (isOpen = true));
desktop.on("disconnected", (reason) => isOpen && console.error(`disconnected (${reason})`));
desktop.on("result", ({ paymentResponse: { transactionId, status }, late }) => {
  if (transactionId !== mine) console.log(`${transactionId}: ${status}${late ? ", late: it was reported as FAILED before" : " (it was missed)"}`);
});
desktop.on("voided", ({ transactionId, voidReason }) => {
  if (transactionId !== mine) console.log(`${transactionId}: voided. ${voidReason}`);
});
try {
  await connect();
  await (terminalId ? pay() : list());
} catch (error) {
  console.error(error.message);
  process.exitCode = WRONG;
} finally {
  desktop.close();
}

/** An address where nobody listens is tried again by the pattern; a program that is started by hand gives up. */
async function connect() {
  let last = "no answer";
  desktop.on("disconnected", (reason) => (last = reason));
  const late = AbortSignal.timeout(CONNECT_WITHIN);
  const gaveUp = new Promise((_, reject) => {
    late.onabort = () => reject(new Error(`no connection to ${url} within ${CONNECT_WITHIN / 1000} s: ${last}`));
  });
  const waiting = setTimeout(() => console.error(`waiting for ${url} (${last}) …`), 1_500);
  await Promise.race([desktop.open(), gaveUp]).finally(() => clearTimeout(waiting));
}

async function list() {
  for (const { deviceId, connectionId, status } of await desktop.terminals()) {
    console.log(`${(deviceId ?? connectionId).padEnd(24)} ${status}`);
  }
}

async function pay() {
  const transactionId = (mine = randomUUID());
  console.log(`${transactionId}: ${amount} ${currency} on ${terminalId} …`);
  const later = laterWord(transactionId);
  let told;
  try {
    told = await desktop.pay(terminalId, { transactionId, amount, currency, paymentMethod: "CARD" });
  } catch (error) {
    if (error instanceof RequestError || error instanceof Duplicate) throw error;
    return notKnown(transactionId, error.message, later);
  }
  if (told.errorCode === "TERMINAL_UNREACHABLE") return notKnown(transactionId, "the terminal has stayed away", later);
  finish(transactionId, told);
}

function finish(transactionId, { status, authorizationCode, errorCode, errorMessage }) {
  if (status === "SUCCESS") return console.log(`${transactionId}: paid, authorization code ${authorizationCode ?? "none"}`);
  const inPart = errorCode === "PARTIAL_APPROVAL" ? "paid IN PART" : "not paid";
  const why = [errorCode, errorMessage].filter(Boolean).join(": ");
  console.log(`${transactionId}: ${inPart}, ${status}${why ? ` ${why}` : ""}`);
  process.exitCode = NOT_PAID;
}

/** Nobody knows yet whether it was charged. What becomes known comes as a late result, as a void, or never. */
async function notKnown(transactionId, why, later) {
  console.log(`${transactionId}: NOT KNOWN, it may be charged: ${why}. Look at the terminal before you charge again`);
  process.exitCode = NOT_KNOWN;
  if (!wait) return;
  console.log(`${transactionId}: waiting ${options.wait} s for what becomes known …`);
  const timer = new AbortController();
  const word = await Promise.race([later, sleep(wait, undefined, { signal: timer.signal })]);
  timer.abort();
  if (!word) return console.log(`${transactionId}: still NOT KNOWN`);
  process.exitCode = 0;
  if (word.paymentResponse) return finish(transactionId, word.paymentResponse);
  console.log(`${transactionId}: not paid: it was charged, and given back. ${word.voidReason}`);
  process.exitCode = NOT_PAID;
}

/** The next that is told of it once nobody waits for its first answer. */
function laterWord(transactionId) {
  return new Promise((resolve) => {
    desktop.on("result", (frame) => frame.paymentResponse.transactionId === transactionId && resolve(frame));
    desktop.on("voided", (frame) => frame.transactionId === transactionId && resolve(frame));
  });
}

function read() {
  const known = {
    "ready-file": { type: "string", default: "demo.json" },
    "device-id": { type: "string", default: "till-1" },
    wait: { type: "string", default: "0" },
    help: { type: "boolean", short: "h" },
  };
  let parsed;
  try {
    parsed = parseArgs({ allowPositionals: true, options: known });
  } catch (error) {
    fail(`${error.message}\n\n${USAGE}`);
  }
  const { values: options, positionals } = parsed;
  if (options.help) {
    console.log(USAGE);
    process.exit(0);
  }
  const [terminalId, amount, currency = "EUR"] = positionals;
  if (positionals.length > 3 || (terminalId && !amount) || !(Number(options.wait) >= 0)) fail(USAGE);
  return { options, terminalId, amount, currency };
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
  process.exit(WRONG);
}
