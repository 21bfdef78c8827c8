// CloudDeviceAPI: /v1/merchants/{merchantAccount}/…, in the clear.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { call } from "./calls.mjs";
import { assertReject, assertResponse, assertThrown, demo, NOT_DELIVERED, paymentCases, UNKNOWN_POI } from "./cases.mjs";
import { diagnosis, payment } from "./messages.mjs";
import { callEach } from "./devices.mjs";
import { connect } from "./tillgate.mjs";

const POI = "S1F2-000158215131748";
const ABSENT = "P400Plus-275008565";
const MERCHANT = "DEMO_MERCHANT_EU";
const NAME = "CloudDeviceApi";

/** The boarded ones, each of which the demo plays. */
const CONNECTED = demo.terminals.filter(({ boarded }) => boarded).map(({ poiId }) => poiId).sort();

const { cloudDevice, terminalApi, otherMerchant, otherCompany } = demo.apiKeys;
const connected = (key, timeout) => connect(demo.tlsBaseUrl, key, timeout).cloudDevice;
const devices = connected(cloudDevice);

paymentCases({
  name: NAME,
  poi: POI,
  sync: (request) => devices.sync(MERCHANT, POI, request),
  async: (request) => devices.async(MERCHANT, POI, request),
  impatient: (ms) => (request) => connected(cloudDevice, ms).sync(MERCHANT, POI, request),
  repeats: true,
  okOfSync: "ok",
  okOfAsync: { Result: "ok" },
});

describe(`${NAME}, when it does not work`, () => {
  for (const [what, poi] of [["terminal not connected", ABSENT], ["unknown POIID", UNKNOWN_POI]]) {
    test(`sync: ${what}`, async () => {
      const answer = await call(`${NAME}.sync`, `Payment, ${what}`, () =>
        devices.sync(MERCHANT, poi, payment(poi, 10.99)));
      const { texts } = assertResponse(answer, "Failure", "UnreachableHost");
      assert.equal(texts.message, "Terminal is not reachable");
    });

    test(`async: ${what}`, async () => {
      const request = payment(poi, 10.99);
      const answer = await call(`${NAME}.async`, `Payment, ${what}`, () => devices.async(MERCHANT, poi, request));
      assertReject(answer, NOT_DELIVERED, request);
    });
  }

  // The four calls, each with the same faults.
  const CALLS = {
    sync: (api, merchant, poi) => api.sync(merchant, poi, diagnosis(POI, false)),
    async: (api, merchant, poi) => api.async(merchant, poi, diagnosis(POI, false)),
    getConnectedDevices: (api, merchant) => api.getConnectedDevices(merchant),
    getDeviceStatus: (api, merchant, poi) => api.getDeviceStatus(merchant, poi),
  };
  for (const [operation, send] of Object.entries(CALLS)) {
    const attempt = (what, key, merchant = MERCHANT, poi = POI) =>
      call(`${NAME}.${operation}`, what, () => send(connected(key), merchant, poi));

    test(`${operation}: a wrong key is 401`, async () => {
      assertThrown(await attempt("wrong key", "wrong"), 401, "00_401");
    });

    test(`${operation}: a key without the role is 403, and the detail names the role`, async () => {
      const { apiError } = assertThrown(await attempt("key without the role", terminalApi), 403, "00_403");
      assert.match(apiError.detail, /Cloud device API role/i);
    });

    test(`${operation}: a key for another merchant account is 403`, async () => {
      assertThrown(await attempt("key for another merchant account", otherMerchant), 403, "00_403");
    });

    test(`${operation}: another company's merchant account is like one that nobody has`, async () => {
      const others = await attempt("key of another company", otherCompany);
      const nobodys = await attempt("unknown merchant account", otherCompany, "NO_SUCH_MERCHANT");
      assertThrown(others, 403, "00_403");
      assert.equal(told(others, MERCHANT), told(nobodys, "NO_SUCH_MERCHANT"));
    });
  }

  for (const operation of ["sync", "async"]) {
    test(`${operation}: a deviceId that is not the message's POIID is 422, and the detail names both`, async () => {
      const answer = await call(`${NAME}.${operation}`, "deviceId is not POIID", () =>
        devices[operation](MERCHANT, ABSENT, diagnosis(POI, false)));
      const { apiError } = assertThrown(answer, 422, "00_422");
      assert.ok(apiError.detail.includes(POI) && apiError.detail.includes(ABSENT), apiError.detail);
    });
  }
});

describe(`${NAME}, who is connected`, () => {
  const list = (what, store) =>
    call(`${NAME}.getConnectedDevices`, what, () => devices.getConnectedDevices(MERCHANT, store));
  const status = (what, poi) =>
    call(`${NAME}.getDeviceStatus`, what, () => devices.getDeviceStatus(MERCHANT, poi));

  test("all of the merchant account and its stores", async () => {
    const { value, http } = await list("all");
    assert.equal(http, 200);
    assert.deepEqual(value, { uniqueDeviceIds: CONNECTED });
  });

  test("those of one store", async () => {
    const { store } = demo.terminals.find(({ poiId }) => poiId === POI);
    assert.deepEqual((await list("one store", store)).value, { uniqueDeviceIds: [POI] });
  });

  test("a connected device is ONLINE, another one OFFLINE", async () => {
    assert.deepEqual((await status("connected", POI)).value, { deviceId: POI, status: "ONLINE" });
    assert.deepEqual((await status("not connected", ABSENT)).value, { deviceId: ABSENT, status: "OFFLINE" });
  });
});

test("devices.mjs, as docs/clients.md has it: each call once", async () => {
  const { answer, ...rest } = await callEach(devices, MERCHANT, POI, diagnosis(POI, false), diagnosis(POI, false));
  assert.equal(answer.SaleToPOIResponse.DiagnosisResponse.Response.Result, "Success");
  assert.deepEqual(rest, { Result: "ok", uniqueDeviceIds: CONNECTED, status: "ONLINE" });
});

/** What a caller learns by an error, apart from what it has said itself and the number of this very answer. */
function told({ error }, merchant) {
  const { requestId, ...rest } = error.apiError;
  assert.ok(requestId);
  return JSON.stringify(rest).replaceAll(merchant, "…");
}
