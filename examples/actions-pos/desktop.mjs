// A desktop (POS) of the Actions API: one WebSocket that is kept open, requests, and what comes back.
//
// - It pings every 30 s. When no pong comes within 10 s the connection is dead, whatever the operating system thinks.
// - It connects again by itself, after 1 s, 2 s, 4 s … at most 30 s, and a little more or less, so that the tills of a shop
//   do not all come at once.
// - It says who it is (`x-device-id`): then a result that it missed is sent to it when it is back.
// - A payment has a transactionId of its own. So a payment whose answer is open can be sent again after a reconnect: the
//   gateway knows it by that name and never charges twice.

import { EventEmitter } from "node:events";
import WebSocket from "ws";

/** The gateway has refused the connection for a reason that does not go away by itself, such as a wrong key. */
export class Refused extends Error {}

/** The gateway could not carry out a request: `error` is the kind, such as `Not Found`. */
export class RequestError extends Error {
  constructor({ error, message }) {
    super(message);
    this.error = error;
  }
}

/**
 * Events:
 * - `connected` (socket), `disconnected` (reason), and `stopped` (Error) when it will not connect again by itself;
 * - `terminal` (frame): a terminal came or went;
 * - `result` (frame): a `paymentComplete` for which nobody here waits, such as one of before a restart, or a late success;
 * - `voided` (frame): a success came too late, and the gateway has given the money back.
 */
export class Desktop extends EventEmitter {
  #options;
  #socket;
  #timers = new Set();
  #failures = 0;
  #isClosed = false;
  #list; // Who waits for the list of terminals.
  #payments = new Map(); // By transactionId: who waits for which payment.
  #latest; // What was asked last and has no answer yet: an error is about that.

  constructor({ url, apiKey, deviceId, heartbeat, backoff }) {
    super();
    this.#options = {
      url,
      headers: { "x-api-key": apiKey, "x-device-id": deviceId },
      heartbeat: { every: 30_000, wait: 10_000, ...heartbeat },
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
    const frame = await new Promise((resolve, reject) => {
      this.#list = { resolve, reject, message: { action: "getTerminals" } };
      this.#ask(this.#list);
    });
    return frame.terminals;
  }

  /**
   * Pays, and resolves to the `paymentResponse`: the money was taken if its status is `SUCCESS`. `FAILED` with the errorCode
   * `TERMINAL_UNREACHABLE` means *not known*: look at the terminal, and wait for `result` or `voided`.
   */
  async pay(terminalId, paymentRequest) {
    const { transactionId } = paymentRequest;
    if (!transactionId) throw new TypeError("a payment needs a transactionId that no other has");
    const frame = await new Promise((resolve, reject) => {
      const payment = { resolve, reject, message: { action: "payment", terminalId, paymentRequest } };
      this.#payments.set(transactionId, payment);
      this.#ask(payment);
    });
    return frame.paymentResponse;
  }

  #ask(request) {
    this.#latest = request;
    // Without a connection it goes out with the next one.
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(request.message));
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
      for (const request of [this.#list, ...this.#payments.values()]) {
        if (request) this.#ask(request);
      }
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
        reason = `${statusCode}: ${body}`;
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
      socket.send(JSON.stringify({ action: "ping" }));
      this.#after(wait, () => {
        if (isAlive()) return this.#beat(socket, isAlive, forget, because);
        because(`nothing was heard for ${(every + wait) / 1000} s`);
        socket.terminate();
      });
    });
  }

  #take(frame) {
    switch (frame.action) {
      case "terminalsResponse": {
        const list = this.#list;
        this.#list = undefined;
        this.#answered(list);
        return list?.resolve(frame);
      }
      case "paymentComplete": {
        const { transactionId } = frame.paymentResponse;
        const payment = this.#payments.get(transactionId);
        if (!payment) return this.emit("result", frame);
        this.#payments.delete(transactionId);
        this.#answered(payment);
        return payment.resolve(frame);
      }
      case "terminalStatusUpdate":
        return this.emit("terminal", frame);
      case "paymentVoided":
        return this.emit("voided", frame);
      case "forceDisconnect":
        // Another connection has taken this one's place: two that take it from each other in turn help nobody.
        return this.#stop(new Refused(`disconnected: ${frame.reason}`));
      case undefined:
        return this.#failed(frame);
      default: // `pong`, and what a later gateway may say.
    }
  }

  /** An error has no action, and does not say which request it is about: the one that was asked last. */
  #failed(frame) {
    const request = this.#latest;
    if (!frame.error || !request) return;
    this.#latest = undefined;
    if (request === this.#list) this.#list = undefined;
    this.#payments.delete(request.message.paymentRequest?.transactionId);
    request.reject(new RequestError(frame));
  }

  #answered(request) {
    if (this.#latest === request) this.#latest = undefined;
  }

  #stop(error) {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#clearTimers();
    for (const request of [this.#list, ...this.#payments.values()]) request?.reject(error);
    this.#list = undefined;
    this.#payments.clear();
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
