// TerminalCloudAPI: /sync and /async.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { call } from "./calls.mjs";
import {
  assertReject, assertResponse, assertThrown, demo, NOT_DELIVERED, paymentCases, serviceOf, UNKNOWN_POI,
  WAIT_MAX_MS,
} from "./cases.mjs";
import { diagnosis, payment, transactionStatus } from "./messages.mjs";
import { pay } from "./pay.mjs";
import { connect } from "./tillgate.mjs";

const POI = "V400m-324688179";
const ABSENT = "P400Plus-275008565";
const NAME = "TerminalCloudAPI";

const url = demo.tlsBaseUrl;
const { terminalApi, management, cloudDevice, otherMerchant, otherCompany } = demo.apiKeys;
const connected = (key, timeout) => connect(url, key, timeout).terminal;
const terminal = connected(terminalApi);

paymentCases({
  name: NAME,
  poi: POI,
  sync: (request) => terminal.sync(request),
  async: (request) => terminal.async(request),
  impatient: (ms) => (request) => connected(terminalApi, ms).sync(request),
  repeats: true,
  okOfSync: {},
  okOfAsync: "ok",
});

describe(`${NAME}, when it does not work`, () => {
  for (const kind of ["sync", "async"]) {
    const name = `${NAME}.${kind}`;
    const send = (what, request, api = terminal) => call(name, what, () => api[kind](request));

    for (const [what, poi] of [["terminal not connected", ABSENT], ["unknown POIID", UNKNOWN_POI]]) {
      test(`${kind}: ${what}`, async () => {
        const request = payment(poi, 10.99);
        assertReject(await send(`Payment, ${what}`, request), NOT_DELIVERED, request);
        const status = await call(`${NAME}.sync`, `TransactionStatus after that`, () =>
          terminal.sync(transactionStatus(poi, serviceOf(request))));
        assertResponse(status, "Failure", "NotFound");
      });
    }

    test(`${kind}: another company's key finds no terminal`, async () => {
      const request = payment(POI, 10.99);
      const answer = await send("Payment, key of another company", request, connected(otherCompany));
      assertReject(answer, NOT_DELIVERED, request);
    });

    test(`${kind}: a wrong key is 401`, async () => {
      const { message, apiError } = assertThrown(
        await send("Diagnosis, wrong key", diagnosis(POI, false), connected("wrong")), 401, "000");
      assert.equal(message, "HTTP Exception: 401. Unauthorized: HTTP Status Response - Unauthorized");
      assert.equal(apiError.errorType, "security");
    });

    test(`${kind}: a key without the role is 403, and the text names the role`, async () => {
      const answer = await send("Diagnosis, key without the role", diagnosis(POI, false), connected(management));
      assert.match(assertThrown(answer, 403, "010").message, /Terminal API role/);
    });

    test(`${kind}: a key for another merchant account is 403`, async () => {
      const answer = await send("Diagnosis, key for another merchant account", diagnosis(POI, false), connected(otherMerchant));
      assertThrown(answer, 403, "010");
    });
  }

  test("the key of the Cloud device API opens the classic calls too", async () => {
    const answer = await call(`${NAME}.sync`, "Diagnosis, key of the Cloud device API", () =>
      connected(cloudDevice).sync(diagnosis(POI, false)));
    assertResponse(answer, "Success", undefined);
  });
});

describe("only over HTTPS, and only with a CA that is trusted", () => {
  test("the library has no plain HTTP", async () => {
    const plain = connect(demo.baseUrl, terminalApi).terminal;
    const { error } = await call(`${NAME}.sync`, "Diagnosis, over http://", () => plain.sync(diagnosis(POI, false)));
    assert.match(error.message, /Protocol "http:" not supported/);
  });

  test("without NODE_EXTRA_CA_CERTS the library does not talk to the gateway", async () => {
    const { stdout } = await withoutCa(`
      import { connect } from "./tillgate.mjs";
      const request = ${JSON.stringify(diagnosis(POI, false))};
      await connect(${JSON.stringify(url)}, "no-key-is-shown-to-a-stranger").terminal.sync(request)
        .then(() => console.log("answered"), (error) => console.log(error.message));`);
    assert.match(stdout, /unable to verify the first certificate|self.signed certificate|local issuer certificate/);
  });
});

describe("pay.mjs, as docs/clients.md has it", () => {
  test("returns the response of a payment", async () => {
    const { Response } = await pay(terminal, payment(POI, 19.99));
    assert.equal(Response.Result, "Success");
  });

  test("returns the response of a payment whose answer did not come in time", async () => {
    const { Response } = await pay(connected(terminalApi, 1000), payment(POI, 20.99), 100);
    assert.equal(Response.Result, "Success");
  });

  test("returns nothing for a payment that did not reach its terminal", async () => {
    assert.equal(await pay(terminal, payment(ABSENT, 10.99)), undefined);
  });

  test("throws if the gateway did not take the request", async () => {
    await assert.rejects(pay(connected("wrong"), payment(POI, 10.99)), { name: "HttpClientException", statusCode: 401 });
  });

  // Each at once, and as what it is. Port 1 is nobody's, and names under .invalid never resolve.
  for (const [what, wrong, text] of [
    ["nobody listens", "https://127.0.0.1:1", /ECONNREFUSED/],
    ["nobody listens at any address of the name", "https://localhost:1", /ECONNREFUSED|no connection/],
    ["the name is not known", "https://gateway.invalid", /getaddrinfo/],
    ["the URL is plain HTTP", demo.baseUrl, /not supported/],
    ["HTTPS is asked of plain HTTP", demo.baseUrl.replace("http:", "https:"), /wrong version number|packet length too long/],
  ]) {
    test(`throws at once if nothing was sent: ${what}`, async () => {
      const started = Date.now();
      const error = await pay(connect(wrong, terminalApi).terminal, payment(POI, 10.99)).then(assert.fail, (e) => e);
      assert.match(error.message, /^nothing was sent: /);
      assert.match(error.message, text);
      assert.ok(Date.now() - started < WAIT_MAX_MS);
    });
  }

  test("throws at once if the CA is not trusted", async () => {
    const { stdout } = await withoutCa(`
      import { connect } from "./tillgate.mjs";
      import { pay } from "./pay.mjs";
      await pay(connect(${JSON.stringify(url)}, "no-key-is-shown-to-a-stranger").terminal, ${JSON.stringify(payment(POI, 10.99))})
        .then(() => console.log("answered"), (error) => console.log(error.message));`);
    assert.match(stdout, /^nothing was sent: .*certificate/);
  });
});

/** Runs a script as a POS that was not told which CA to trust. */
async function withoutCa(script) {
  const { NODE_EXTRA_CA_CERTS, ...env } = process.env;
  assert.ok(NODE_EXTRA_CA_CERTS && env.NODE_TLS_REJECT_UNAUTHORIZED === undefined);
  const options = ["--input-type=module", "--eval", script];
  const cwd = dirname(fileURLToPath(import.meta.url));
  return promisify(execFile)(process.execPath, options, { cwd, env, timeout: WAIT_MAX_MS });
}
