// A desktop (POS) of the Actions API: one WebSocket that is kept open, requests, and what comes back.
//
// - An error does not say which request it is about. So one request is out at a time: the next goes out when it is certain
//   that no error will come for this one. Nothing says that a payment has begun; but frames are answered in order, so a `ping`
//   goes out right behind each payment, and when its `pong` comes first, the payment runs. Its result comes when it comes.
// - It pings every 15 s. When no pong comes within 10 s the connection is dead, whatever the operating system thinks. (A
//   client that is silent for 30 s gets a `pong` that it did not ask for, which would be counted for another: so it never is.)
// - It connects again by itself, after 1 s, 2 s, 4 s … at most 30 s, and a little more or less, so that the tills of a shop
//   do not all come at once.
// - It says who it is (`x-device-id`): then a result that it missed is sent to it when it is back.
// - A payment has a transactionId of its own. So a payment whose answer is open can be sent again after a reconnect: the
//   gateway knows it by that name and never charges twice.

import { EventEmitter } from "node:events";
import WebSocket from "ws";

/** The gateway has refused the connection for a reason that does not go away by itself, such as a wrong key. */
export class Refused extends Error {}

/** The gateway could not carry out a request: `error` is the kind, such as `Not Found`. Nothing was begun. */
export class RequestError extends Error {
  constructor({ error, message }) {
    super(message);
    this.error = error;
  }
}

/** The transactionId is another payment's, which is not touched: it may run, or be paid. Nothing was begun by this request. */
export class Duplicate extends Error {}

/** Nobody has said yet what became of a payment. It may be charged: do not take it again before somebody has looked at it. */
export class NotKnown extends Error {}

/** Names of payments that are remembered, of what was asked here and of what was heard. */
const NAMES_MAX = 10_000;

/**
 * Events:
 * - `connected` (socket), `disconnected` (reason), and `stopped` (Error) when it will not connect again by itself;
 * - `terminal` (frame): a terminal came or went;
 * - `result` (frame): a `paymentComplete` for which nobody here waits, such as one of before a restart, or a late success;
 * - `voided` (frame): a success came too late, and the gateway has given the money back.
 *
 * What is told twice, as may happen when a connection breaks, comes once.
 */
export class Desktop extends EventEmitter {
  #options;
  #socket;
  #timers = new Set();
  #failures = 0;
  #isClosed = false;
  #open = new Set(); // Requests without an answer, in order.
  #current; // The one that is out and may hear an error.
  #pongs = []; // What each ping that is out was sent for: a payment, or nothing.
  #names = new Map(); // By transactionId: whether it was used here, and what was heard of it last.

  constructor({ url, apiKey, deviceId, heartbeat, backoff }) {
    super();
    this.#options = {
      url,
      headers: { "x-api-key": apiKey, "x-device-id": deviceId },
      heartbeat: { every: 15_000, wait: 10_000, ...heartbeat },
      backoff: { first: 1_000, most: 30_000, ...backoff },
    };
  }

  /** Connects, and stays connected. Resolves when it is connected for the first time. */
  open() {
    this.#connect();
    return new Promise((resolve, reject) => {
      this.once("connected", resolve);
      this.once("stopped", reject);
    });
  }

  /** Disconnects for good. */
  close() {
    this.#stop(new Error("closed"));
    this.#socket?.close(1000);
  }

  /** The terminals of this desktop's groups. */
  async terminals() {
    const frame = await this.#ask({ action: "getTerminals" });
    return frame.terminals;
  }

  /**
   * Pays, and resolves to the `paymentResponse`: the money was taken if its status is `SUCCESS`. `FAILED` with the errorCode
   * `TERMINAL_UNREACHABLE` means *not known*: look at the terminal, and wait for `result` or `voided`.
   *
   * Rejects with `RequestError` when nothing was begun, with `Duplicate` when the transactionId is another payment's, and with
   * `NotKnown` when it can't find out. A transactionId is for one payment: a second call with it throws.
   */
  async pay(terminalId, paymentRequest) {
    const { transactionId } = paymentRequest;
    if (!transactionId) throw new TypeError("a payment needs a transactionId that no other has");
    const name = this.#name(transactionId);
    if (name.isUsed) throw new TypeError(`the transactionId ${transactionId} was used before: each payment needs its own`);
    name.isUsed = true;
    try {
      const frame = await this.#ask({ action: "payment", terminalId, paymentRequest }, transactionId);
      return frame.paymentResponse;
    } catch (error) {
      // Nothing has this name: it may be asked for again under it.
      if (error instanceof RequestError) name.isUsed = false;
      throw error;
    }
  }

  #ask(message, transactionId) {
    if (this.#isClosed) return Promise.reject(new Error("closed"));
    return new Promise((resolve, reject) => {
      // The text is kept, for a payment is repeated byte for byte.
      this.#open.add({ text: JSON.stringify(message), transactionId, resolve, reject, isOut: false, sendings: 0 });
      this.#next();
    });
  }

  /** Sends what comes next, once the one before has heard all that it may hear at once. */
  #next() {
    if (this.#current || this.#socket?.readyState !== WebSocket.OPEN) return; // Without a connection it waits for the next.
    const request = [...this.#open].find(({ isOut }) => !isOut);
    if (!request) return;
    this.#current = request;
    request.isOut = true;
    request.sendings += 1;
    this.#socket.send(request.text);
    if (request.transactionId) this.#ping(request);
  }

  #ping(request) {
    this.#pongs.push(request);
    this.#socket.send(JSON.stringify({ action: "ping" }));
  }

  #connect() {
    const socket = new WebSocket(this.#options.url, { headers: this.#options.headers });
    this.#socket = socket;
    let reason = "the connection was lost";
    let isAlive = true;
    socket.on("open", () => {
      this.#failures = 0;
      this.#beat(socket, () => isAlive, () => (isAlive = false), (why) => (reason = why));
      // What is still open is asked for again. A payment is known by its transactionId: it is joined, not repeated.
      this.#open.forEach((request) => (request.isOut = false));
      this.#current = undefined;
      this.#pongs = [];
      this.#next();
      this.emit("connected", socket);
    });
    socket.on("message", (data, isBinary) => {
      isAlive = true;
      if (!isBinary) this.#take(JSON.parse(data));
    });
    socket.on("unexpected-response", (request, response) => {
      let body = "";
      response.on("data", (chunk) => (body += chunk));
      response.on("end", () => {
        const { statusCode } = response;
        reason = `${statusCode}: ${sentenceIn(body)}`;
        // A key or a group that is wrong stays wrong; a gateway that is busy or restarting does not.
        if ([400, 401, 403, 404].includes(statusCode)) this.#stop(new Refused(reason));
        socket.terminate();
      });
    });
    socket.on("error", (error) => (reason = error.message));
    socket.on("close", (code, why) => {
      this.#clearTimers();
      this.emit("disconnected", why.length > 0 ? `${code}: ${why}` : reason);
      if (this.#isClosed) return;
      const { first, most } = this.#options.backoff;
      const wait = Math.min(first * 2 ** this.#failures++, most);
      this.#after(wait * (0.8 + 0.4 * Math.random()), () => this.#connect());
    });
  }

  #beat(socket, isAlive, forget, because) {
    const { every, wait } = this.#options.heartbeat;
    this.#after(every, () => {
      forget();
      this.#ping();
      this.#after(wait, () => {
        if (isAlive()) return this.#beat(socket, isAlive, forget, because);
        because(`nothing was heard for ${(every + wait) / 1000} s`);
        socket.terminate();
      });
    });
  }

  #take(frame) {
    switch (frame.action) {
      case "terminalsResponse":
        return this.#current?.transactionId ? undefined : this.#settle(this.#current, ({ resolve }) => resolve(frame));
      case "pong": {
        const request = this.#pongs.shift();
        return request && request === this.#current ? this.#begun() : undefined;
      }
      case "paymentComplete":
        return this.#completed(frame);
      case "terminalStatusUpdate":
        return this.emit("terminal", frame);
      case "paymentVoided":
        return this.#isNews(frame.transactionId, "VOIDED") ? this.emit("voided", frame) : undefined;
      case "forceDisconnect":
        // Another connection has taken this one's place: two that take it from each other in turn help nobody.
        return this.#stop(new Refused(`disconnected: ${frame.reason}`));
      case undefined:
        return this.#failed(frame);
      default: // What a later gateway may say.
    }
  }

  #completed(frame) {
    const { transactionId, status, errorCode } = frame.paymentResponse;
    const request = [...this.#open].find((request) => request.transactionId === transactionId);
    // This says nothing about the payment that has the name: who matches by name alone would take a paid order for a failed one.
    if (errorCode === "DUPLICATE_TRANSACTION_ID") {
      const message = `the transactionId ${transactionId} is another payment's, which is not touched`;
      return this.#settle(request, ({ reject }) => reject(new Duplicate(message)));
    }
    const isNews = this.#isNews(transactionId, [status, errorCode, frame.late].join());
    if (request) return this.#settle(request, ({ resolve }) => resolve(frame));
    if (isNews) this.emit("result", frame);
  }

  /** An error has no action, and does not say which request it is about: the one that is out. */
  #failed(frame) {
    const request = this.#current;
    if (!frame.error || !request) return;
    // On an earlier connection it may have begun. Only that the gateway does not know it proves that it has not.
    const mayRun = request.transactionId && request.sendings > 1 && frame.error !== "Not Found";
    const error = mayRun ? new NotKnown(`it may have begun; asking again failed: ${frame.message}`) : new RequestError(frame);
    this.#settle(request, ({ reject }) => reject(error));
  }

  #settle(request, how) {
    if (!request) return;
    this.#open.delete(request);
    how(request);
    if (request === this.#current) this.#begun();
  }

  /** No error can come any more for the one that is out. */
  #begun() {
    this.#current = undefined;
    this.#next();
  }

  #isNews(transactionId, word) {
    const name = this.#name(transactionId);
    const isNews = name.heard !== word;
    name.heard = word;
    return isNews;
  }

  #name(transactionId) {
    let name = this.#names.get(transactionId);
    if (name) return name;
    name = { isUsed: false, heard: undefined };
    this.#names.set(transactionId, name);
    if (this.#names.size > NAMES_MAX) this.#names.delete(this.#names.keys().next().value);
    return name;
  }

  #stop(error) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#clearTimers();
    for (const { transactionId, sendings, reject } of this.#open) {
      reject(transactionId && sendings > 0 ? new NotKnown(`it was sent, and has no answer: ${error.message}`) : error);
    }
    this.#open.clear();
    this.emit("stopped", error);
  }

  #after(ms, then) {
    const timer = setTimeout(() => {
      this.#timers.delete(timer);
      then();
    }, ms);
    this.#timers.add(timer);
  }

  #clearTimers() {
    this.#timers.forEach(clearTimeout);
    this.#timers.clear();
  }
}

/** What a refusal says, in one line. */
function sentenceIn(body) {
  try {
    const { detail, message, title } = JSON.parse(body);
    return detail ?? message ?? title ?? body;
  } catch {
    return body;
  }
}
