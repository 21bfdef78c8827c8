// What browser.html does in a real browser, against a running `tillgate demo`: TILLGATE_READY_FILE is its ready file. What a
// gateway does only when something is wrong comes from a stand-in.

import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test as define } from "node:test";
import { setTimeout as wait } from "node:timers/promises";

import WebSocket, { WebSocketServer } from "ws";

const PAGE = new URL("browser.html", import.meta.url).href;
const CHROMIUM = process.env.CHROMIUM ?? "chromium";
const { baseUrl, apiKeys } = JSON.parse(readFileSync(process.env.TILLGATE_READY_FILE, "utf8"));
const url = `${baseUrl.replace(/^http/, "ws")}/v1`;

/** Not the terminal of pos.test.mjs, which may run at the same time. */
const TERMINAL = "V400m-324688179";

/** Whatever hangs is ended: what a test waits for comes before this, or never. */
const WAIT_MAX_MS = 30_000;
const skip = spawnSync(CHROMIUM, ["--version"]).status === 0 ? false : `there is no ${CHROMIUM}`;
const HOOK = { timeout: 60_000 };
const test = (name, run) => define(name, { ...HOOK, skip }, run);

let chromium, tab;
before(async () => {
  if (!skip) [chromium, tab] = await launch();
}, HOOK);
after(() => chromium?.close(), HOOK);

/** What `look` gives once it gives something. */
async function until(what, look) {
  const end = Date.now() + WAIT_MAX_MS;
  for (;;) {
    const found = await look();
    if (found) return found;
    if (Date.now() > end) throw new Error(`${what} did not come within ${WAIT_MAX_MS / 1000} s`);
    await wait(20);
  }
}

/** Chromium without a window, and a tab of it to give commands to. */
async function launch() {
  const profile = mkdtempSync(join(tmpdir(), "tillgate-browser-"));
  // Root, as in a container, can't have the sandbox; the only page that is shown is ours.
  const options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
  // Nothing of its own goes to the network.
  options.push("--disable-background-networking", "--disable-component-update", "--disable-sync");
  options.push("--remote-debugging-port=0", `--user-data-dir=${profile}`);
  const child = spawn(CHROMIUM, [...options, "about:blank"], { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.on("data", (text) => (said += text));
  const close = async () => {
    child.kill("SIGKILL");
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    // A process of its own that outlives it holds this open.
    child.stderr.destroy();
    rmSync(profile, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  };
  try {
    const address = await until("Chromium's address", () => /listening on (ws:\S+)/.exec(said)?.[1]);
    const signal = AbortSignal.timeout(WAIT_MAX_MS);
    const list = () => fetch(`http://${new URL(address).host}/json/list`, { signal }).then((answer) => answer.json());
    const page = await until("a tab", async () => (await list()).find(({ type }) => type === "page"));
    const tab = await Tab.open(page.webSocketDebuggerUrl);
    return [{ close: () => Promise.all([tab.close(), close()]) }, tab];
  } catch (error) {
    await close();
    throw new Error(`${CHROMIUM} does not work: ${error.message}\n${said}`);
  }
}

/** A tab, over the Chrome DevTools Protocol. */
class Tab {
  #socket;
  #count = 0;
  #calls = new Map();
  errors = [];

  static async open(address) {
    const tab = new Tab();
    tab.#socket = new WebSocket(address, { handshakeTimeout: WAIT_MAX_MS });
    tab.#socket.on("message", (data) => tab.#take(JSON.parse(data)));
    await once(tab.#socket, "open");
    tab.#socket.on("close", () => tab.#calls.forEach(({ reject }) => reject(new Error("the tab is closed"))));
    await Promise.all([tab.call("Page.enable"), tab.call("Runtime.enable")]);
    return tab;
  }

  #take({ id, method, params, result, error }) {
    if (method === "Runtime.exceptionThrown") this.errors.push(params.exceptionDetails);
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    if (error) call?.reject(new Error(error.message));
    else call?.resolve(result);
  }

  call(method, params = {}) {
    const id = ++this.#count;
    this.#socket.send(JSON.stringify({ id, method, params }));
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => reject(new Error(`${method} is not answered`)), WAIT_MAX_MS);
      const settle = (how) => (what) => (clearTimeout(late), how(what));
      this.#calls.set(id, { resolve: settle(resolve), reject: settle(reject) });
    });
  }

  /** The value of this expression in the page. */
  async value(expression) {
    const { result, exceptionDetails } = await this.call("Runtime.evaluate", { expression, returnByValue: true });
    assert.equal(exceptionDetails, undefined, expression);
    return result.value;
  }

  /** Returns once the text of this element is as it should be. */
  async shows(id, expected) {
    return until(`${expected} in #${id}`, async () => {
      const text = await this.value(`document.getElementById("${id}")?.innerText`);
      return expected.test(text ?? "") && text;
    });
  }

  /** The page anew, as wide as this, with the form sent. */
  async connects({ width = 1280, key = apiKeys.actionsDesktop, to = url, device }) {
    await this.call("Emulation.setDeviceMetricsOverride", { width, height: 900, deviceScaleFactor: 1, mobile: width < 600 });
    await this.call("Page.navigate", { url: PAGE });
    await until("the page", () => this.value(`location.href === ${JSON.stringify(PAGE)} && document.readyState === "complete"`));
    await this.enters({ url: to, key, device });
  }

  async enters(fields) {
    for (const [id, text] of Object.entries(fields)) await this.value(`$("${id}").value = ${JSON.stringify(text)}`);
    await this.value(`$("connect").requestSubmit()`);
  }

  async pays(terminal, amount) {
    await this.value(`$("terminal").value = "${terminal}"; $("amount").value = "${amount}"; $("pay").requestSubmit()`);
  }

  close() {
    this.#socket.close();
  }
}

/** Stands in for a gateway: each of its connections with what it has heard. */
class StandIn {
  connections = [];

  static async open() {
    const it = new StandIn();
    it.server = new WebSocketServer({ port: 0, host: "127.0.0.1", handleProtocols: () => "tillgate.actions.v1" });
    it.server.on("connection", (socket) => {
      const connection = { socket, payments: [] };
      socket.on("message", (data) => {
        const frame = JSON.parse(data);
        if (frame.action === "ping") return socket.send(JSON.stringify({ action: "pong" }));
        if (frame.action === "payment") return connection.payments.push(String(data));
        const terminals = [{ deviceId: "TERM-001", status: "online", metadata: {} }];
        socket.send(JSON.stringify({ action: "terminalsResponse", terminals }));
      });
      it.connections.push(connection);
    });
    await once(it.server, "listening");
    it.url = `ws://127.0.0.1:${it.server.address().port}/v1`;
    return it;
  }

  /** Once there are so many connections, and the last one has heard so many payments. */
  async has(connections, payments) {
    return until(`connection ${connections} with ${payments} payments`, () => {
      const last = this.connections.at(-1);
      return this.connections.length === connections && last.payments.length === payments && last;
    });
  }

  close() {
    this.server.clients.forEach((socket) => socket.terminate());
    this.server.close();
  }
}

for (const width of [1280, 390]) {
  test(`a page of ${width} pixels lists terminals, pays, and says why a payment was declined`, async () => {
    await tab.connects({ width, device: `browser-${width}` });
    await tab.shows("state", /^connected$/);
    const list = await tab.shows("terminals", /./);
    for (const shown of [/TERM-001\s+online/, /TERM-002\s+\w+/, /V400m-324688179\s+online/]) assert.match(list, shown);
    await tab.pays(TERMINAL, "12.50");
    await tab.shows("payments", /^12\.50 EUR on V400m-324688179\s+SUCCESS\s+authorization code \S+/);
    await tab.pays(TERMINAL, "11.24");
    await tab.shows("payments", /^11\.24 EUR on V400m-324688179\s+FAILED\s+REFUSAL: NOT_ENOUGH_BALANCE/);
    assert.ok((await tab.value("document.documentElement.scrollWidth")) <= width, "nothing sticks out");
    assert.deepEqual(tab.errors, []);
  });
}

test("a page whose connection breaks in mid-payment hears how it ended", async () => {
  await tab.connects({ device: "browser-breaks" });
  await tab.shows("terminals", /online/);
  await tab.pays(TERMINAL, "15.00");
  await tab.value("socket.close()");
  await tab.shows("payments", /^15\.00 EUR on V400m-324688179\s+SUCCESS/);
  await tab.shows("state", /^connected$/);
});

test("a page with a wrong key says what may be wrong, and shows the form", async () => {
  await tab.connects({ key: "tg_key_wrong" });
  await tab.shows("state", /^not let in: is the key right.* Again in \d+ s\.$/);
  assert.equal(await tab.value(`$("gateway").open && $("go").disabled`), true);
});

test("a page that is told that another one has its place stays away", async () => {
  const gateway = await StandIn.open();
  try {
    await tab.connects({ to: gateway.url, key: "k1" });
    const { socket } = await gateway.has(1, 0);
    await tab.shows("terminals", /online/);
    socket.send(JSON.stringify({ action: "forceDisconnect", reason: "REPLACED_BY_NEW_CONNECTION" }));
    socket.close(4409);
    await tab.shows("state", /^disconnected: REPLACED_BY_NEW_CONNECTION$/);
    // A person may open it again, and then it comes back by itself as before.
    await tab.enters({});
    const second = await gateway.has(2, 0);
    await tab.shows("state", /^connected$/);
    second.socket.close(1001);
    await gateway.has(3, 0);
  } finally {
    gateway.close();
  }
});

test("a payment without an answer is asked for again with its own key, and with no other", async () => {
  const gateway = await StandIn.open();
  try {
    await tab.connects({ to: gateway.url, key: "k1" });
    await tab.shows("terminals", /online/);
    await tab.pays("TERM-001", "1.00");
    const first = await gateway.has(1, 1);
    await tab.enters({ key: "k2" });
    await tab.shows("payments", /^1\.00 EUR on TERM-001\s+in progress\s+asked for with another address or key/);
    await gateway.has(2, 0);
    await tab.shows("state", /^connected$/);
    await tab.pays("TERM-001", "2.00");
    const other = await gateway.has(2, 1);
    assert.match(other.payments[0], /"2\.00"/);
    await tab.enters({ key: "k1" });
    const again = await gateway.has(3, 1);
    assert.deepEqual(again.payments, first.payments);
  } finally {
    gateway.close();
  }
});
