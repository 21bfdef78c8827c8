// What the example does, against a running `tillgate demo`: TILLGATE_READY_FILE is its ready file.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { after, test as define } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import WebSocket, { WebSocketServer } from "ws";

import { Desktop, Duplicate, Refused, RequestError } from "./desktop.mjs";

const READY_FILE = process.env.TILLGATE_READY_FILE;
const { baseUrl, apiKeys } = JSON.parse(readFileSync(READY_FILE, "utf8"));
const url = `${baseUrl.replace(/^http/, "ws")}/v1`;
const TERMINAL = "TERM-001";

/** One that the demo does not play. */
const FREE_TERMINAL = "TERM-002";

/** Whatever hangs is ended. */
const test = (name, run) => define(name, { timeout: 60_000 }, run);

/** Desktops and sockets that are open, to be closed in the end. */
const open = new Set();
after(() => open.forEach((it) => it.close()));

/** A till that connects again at once. */
function till(deviceId, options = {}) {
  const backoff = { first: 20, most: 200 };
  const desktop = new Desktop({ url, apiKey: apiKeys.actionsDesktop, deviceId, backoff, ...options });
  open.add(desktop);
  return desktop;
}

/** A socket without the pattern around it. */
async function socketOf(deviceId, apiKey = apiKeys.actionsDesktop) {
  const headers = { "x-api-key": apiKey, ...(deviceId && { "x-device-id": deviceId }) };
  const socket = new WebSocket(url, { headers });
  open.add(socket);
  // The first frames may come together with the answer to the upgrade.
  socket.heard = [];
  socket.on("message", (data) => {
    socket.heard.push(JSON.parse(data));
    socket.emit("heard");
  });
  await once(socket, "open");
  return socket;
}

/** The next frame with this action that nobody has asked for before. */
async function frame(socket, action) {
  for (;;) {
    const index = socket.heard.findIndex((frame) => frame.action === action);
    if (index >= 0) return socket.heard.splice(index, 1)[0];
    await once(socket, "heard");
  }
}

const paymentOf = (amount) => ({ transactionId: randomUUID(), amount, currency: "EUR", paymentMethod: "CARD" });

/** Pays once the terminal is free: another test's payment may be on it. */
async function payOnceFree(desktop, amount) {
  for (const end = Date.now() + 30_000; ; ) {
    const paymentRequest = paymentOf(amount);
    const answer = await desktop.pay(TERMINAL, paymentRequest);
    if (answer.errorCode !== "PAYMENT_IN_PROGRESS") return { answer, paymentRequest };
    assert.ok(Date.now() < end, "the terminal does not get free");
    await wait(100);
  }
}

/** Runs pos.mjs; its exit code and what it has printed. */
async function pos(...words) {
  const child = spawn(process.execPath, ["pos.mjs", "--ready-file", READY_FILE, ...words], { stdio: "pipe" });
  let [out, err] = ["", ""];
  child.stdout.on("data", (text) => (out += text));
  child.stderr.on("data", (text) => (err += text));
  const [code] = await once(child, "close");
  return { code, out, err };
}

test("the program lists terminals, pays, and says why a payment was declined", async () => {
  const list = await pos();
  assert.equal(list.code, 0, list.err);
  assert.match(list.out, /^TERM-001 +online$/m);

  const paid = await pos(TERMINAL, "12.50", "EUR");
  assert.equal(paid.code, 0, paid.out + paid.err);
  assert.match(paid.out, /: paid, authorization code \S+/);

  const declined = await pos(TERMINAL, "11.24", "EUR");
  assert.equal(declined.code, 1, declined.out + declined.err);
  assert.match(declined.out, /: not paid, FAILED \S+: .*NOT_ENOUGH_BALANCE/);
});

test("the program says how it is used, and in one line what is wrong", async () => {
  const help = await pos("--help");
  assert.equal(help.code, 0, help.err);
  for (const word of ["--ready-file", "--device-id", "--wait"]) assert.ok(help.out.includes(word), word);
  const unknown = await pos("--nonsense");
  assert.equal(unknown.code, 2);
  assert.doesNotMatch(unknown.err, /^ +at /m);

  const child = spawn(process.execPath, ["pos.mjs"], { stdio: "pipe", env: { ...process.env, TILLGATE_URL: url, TILLGATE_API_KEY: "wrong" } });
  let err = "";
  child.stderr.on("data", (text) => (err += text));
  const [code] = await once(child, "close");
  assert.equal(code, 2);
  assert.match(err, /^401: This API key is not valid[^\n]*\n$/);
});

test("an outcome that is not known is said to be, until it becomes known", async () => {
  const gateway = new WebSocketServer({ port: 0 });
  open.add(gateway);
  await once(gateway, "listening");
  gateway.on("connection", (socket) =>
    socket.on("message", (data) => {
      const { action, terminalId, paymentRequest } = JSON.parse(data);
      const say = (frame) => socket.send(JSON.stringify(frame));
      if (action === "ping") return say({ action: "pong" });
      const { transactionId } = paymentRequest;
      const paymentResponse = { transactionId, status: "FAILED", errorCode: "TERMINAL_UNREACHABLE", errorMessage: "away" };
      say({ action: "paymentComplete", terminalId, paymentResponse });
      if (terminalId === "PAID") say({ action: "paymentComplete", late: true, paymentResponse: { transactionId, status: "SUCCESS" } });
      if (terminalId === "VOIDED") say({ action: "paymentVoided", transactionId, voidReason: "too late" });
    }),
  );
  const env = { ...process.env, TILLGATE_URL: `ws://127.0.0.1:${gateway.address().port}`, TILLGATE_API_KEY: "key" };
  for (const [words, exit, last] of [
    [["AWAY"], 4, /NOT KNOWN/],
    [["AWAY", "--wait", "0.1"], 4, /still NOT KNOWN$/],
    [["PAID", "--wait", "20"], 0, /: paid/],
    [["VOIDED", "--wait", "20"], 1, /given back/],
  ]) {
    const [terminal, ...options] = words;
    const child = spawn(process.execPath, ["pos.mjs", ...options, terminal, "1.00"], { stdio: "pipe", env });
    let out = "";
    child.stdout.on("data", (text) => (out += text));
    const [code] = await once(child, "close");
    assert.equal(code, exit, out);
    assert.match(out, /NOT KNOWN/);
    assert.match(out.trimEnd(), last);
  }
});

test("an error rejects what was asked, and the connection stays", async () => {
  const desktop = till("till-errors");
  await desktop.open();
  const unknown = desktop.pay("NOBODY", paymentOf("1.00"));
  await assert.rejects(unknown, (error) => {
    assert.ok(error instanceof RequestError);
    assert.deepEqual([error.error, error.message], ["Not Found", "Terminal connection not found"]);
    return true;
  });
  const names = (await desktop.terminals()).map(({ deviceId }) => deviceId);
  assert.ok(names.includes(TERMINAL), names.join());
});

test("of requests that are made at once, an error rejects the one that it is about", async () => {
  const desktop = till("till-at-once");
  await desktop.open();
  const asked = [
    payOnceFree(desktop, "17.00"),
    desktop.pay("NOBODY", paymentOf("1.00")),
    desktop.terminals(),
    desktop.pay(TERMINAL, paymentOf("nothing")),
    desktop.terminals(),
  ];
  const [paid, nobody, list, nothing, again] = await Promise.allSettled(asked);
  assert.equal(paid.value?.answer.status, "SUCCESS", String(paid.reason));
  assert.equal(nobody.reason?.message, "Terminal connection not found");
  assert.match(nothing.reason?.message, /amount/);
  assert.deepEqual(list.value?.length, again.value?.length);
});

test("a transactionId is for one payment, and a clash says nothing about the other that has it", async () => {
  const first = till("till-first");
  const second = till("till-second");
  await Promise.all([first.open(), second.open()]);
  const { paymentRequest } = await payOnceFree(first, "18.00");
  await assert.rejects(first.pay(TERMINAL, paymentRequest), TypeError);
  const results = [];
  second.on("result", (frame) => results.push(frame));
  const { transactionId } = paymentRequest;
  await assert.rejects(second.pay(TERMINAL, { ...paymentRequest, amount: "19.00" }), Duplicate);
  // What is told of a payment that nobody here has asked for is passed on, once; a clash is not.
  const socket = await socketOf("till-second");
  const clash = frame(socket, "paymentComplete");
  socket.send(JSON.stringify({ action: "payment", terminalId: TERMINAL, paymentRequest: { transactionId, amount: "20.00", currency: "EUR" } }));
  assert.equal((await clash).paymentResponse.errorCode, "DUPLICATE_TRANSACTION_ID");
  await second.terminals();
  assert.deepEqual(results, []);
});

test("a wrong key is refused for good", async () => {
  const desktop = till("till-wrong", { apiKey: "tg_key_wrong" });
  await assert.rejects(desktop.open(), Refused);
});

test("a connection that breaks in mid-payment comes back, and so does the result", async () => {
  const desktop = till("till-breaks");
  let connections = 0;
  desktop.on("connected", (socket) => {
    connections += 1;
    // Right after the payment has gone out: it may have been read, or not.
    if (connections === 1) socket.on("pong", () => socket.terminate());
  });
  const opened = once(desktop, "connected");
  desktop.open();
  const [socket] = await opened;
  const paying = payOnceFree(desktop, "15.00");
  socket.ping();
  const { answer, paymentRequest } = await paying;
  assert.equal(answer.status, "SUCCESS");
  assert.equal(answer.transactionId, paymentRequest.transactionId);
  assert.ok(connections >= 2, `${connections} connections`);
});

test("a result that a till has missed is sent to it when it is back, and to no other", async () => {
  const first = await socketOf("till-missing");
  const terminal = await socketOf(undefined, apiKeys.actionsTerminal);
  terminal.send(JSON.stringify({ action: "ping" }));
  await frame(terminal, "pong"); // Now it is online.
  const asked = frame(terminal, "paymentRequest");
  const paymentRequest = paymentOf("16.00");
  const { transactionId } = paymentRequest;
  first.send(JSON.stringify({ action: "payment", terminalId: FREE_TERMINAL, paymentRequest }));
  const { desktopId } = await asked;
  first.close();
  await once(first, "close"); // Both ends know.
  const paymentResponse = { transactionId, status: "SUCCESS" };
  terminal.send(JSON.stringify({ action: "paymentResponse", desktopId, paymentResponse }));

  const other = await socketOf("till-other");
  const second = await socketOf("till-missing");
  const told = (await frame(second, "paymentComplete")).paymentResponse;
  assert.deepEqual([told.transactionId, told.status], [transactionId, "SUCCESS"]);
  other.send(JSON.stringify({ action: "ping" }));
  await frame(other, "pong");
  assert.deepEqual(other.heard.filter(({ action }) => action === "paymentComplete"), []);
});

test("a connection that says nothing any more is given up", async () => {
  const desktop = till("till-deaf", { heartbeat: { every: 50, wait: 50 } });
  const sockets = [];
  desktop.on("connected", (socket) => sockets.push(socket));
  await desktop.open();
  // As if the network had gone: nothing comes in, and nobody says so.
  sockets[0].pause();
  const [reason] = await once(desktop, "disconnected");
  assert.match(reason, /nothing was heard/);
  while (sockets.length < 2) await once(desktop, "connected");
  const names = (await desktop.terminals()).map(({ deviceId }) => deviceId);
  assert.ok(names.includes(TERMINAL), names.join());
});
