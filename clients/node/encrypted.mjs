// EncryptedCloudDeviceApi: the same calls, with a payload that only POS and terminal can read.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { call } from "./calls.mjs";
import { assertReject, assertResponse, assertThrown, demo, NOT_DELIVERED, paymentCases, UNKNOWN_POI } from "./cases.mjs";
import { diagnosis, payment } from "./messages.mjs";
import { callEncrypted } from "./devices.mjs";
import { connectEncrypted } from "./tillgate.mjs";

const POI = "S1F2-000158215131748";
const ABSENT = "P400Plus-275008565";
const MERCHANT = "DEMO_MERCHANT_EU";
const NAME = "EncryptedCloudDeviceApi";

const { encryptionKey } = demo.terminals.find(({ poiId }) => poiId === POI);
const connected = (key, timeout) => connectEncrypted(demo.tlsBaseUrl, key, encryptionKey, timeout);
const devices = connected(demo.apiKeys.cloudDevice);

paymentCases({
  name: NAME,
  poi: POI,
  sync: (request) => devices.sync(MERCHANT, POI, request),
  async: (request) => devices.async(MERCHANT, POI, request),
  impatient: (ms) => (request) => connected(demo.apiKeys.cloudDevice, ms).sync(MERCHANT, POI, request),
  // Each encryption has a nonce of its own, so that no two requests are the same.
  repeats: false,
  okOfSync: "ok",
  okOfAsync: { Result: "ok" },
});

test("devices.mjs, as docs/clients.md has it: an encrypted call", async () => {
  const answer = await callEncrypted(devices, MERCHANT, POI, diagnosis(POI, false));
  assert.equal(answer.SaleToPOIResponse.DiagnosisResponse.Response.Result, "Success");
});

describe(`${NAME}, when it does not work`, () => {
  for (const [what, poi] of [["terminal not connected", ABSENT], ["unknown POIID", UNKNOWN_POI]]) {
    test(`sync: ${what}: the gateway's own answer is in the clear, and a failure`, async () => {
      const answer = await call(`${NAME}.sync`, `Payment, ${what}`, () =>
        devices.sync(MERCHANT, poi, payment(poi, 10.99)));
      assertResponse(answer, "Failure", "UnreachableHost");
    });

    test(`async: ${what}`, async () => {
      const request = payment(poi, 10.99);
      const answer = await call(`${NAME}.async`, `Payment, ${what}`, () => devices.async(MERCHANT, poi, request));
      const rejected = assertReject(answer, NOT_DELIVERED, request);
      assert.ok(!rejected.includes("PaymentRequest"), "the rejected message is the encrypted one");
    });
  }

  test("a wrong key is 401", async () => {
    const answer = await call(`${NAME}.sync`, "Diagnosis, wrong key", () =>
      connected("wrong").sync(MERCHANT, POI, diagnosis(POI, false)));
    assertThrown(answer, 401, "00_401");
  });

  test("a message that was encrypted with another passphrase is never a success", async () => {
    const stranger = connectEncrypted(demo.tlsBaseUrl, demo.apiKeys.cloudDevice, {
      ...encryptionKey, passphrase: "Another-passphrase-1",
    });
    const answer = await call(`${NAME}.sync`, "Payment, wrong passphrase", () =>
      stranger.sync(MERCHANT, POI, payment(POI, 10.99)));
    assert.notEqual(answer.value?.SaleToPOIResponse?.PaymentResponse?.Response.Result, "Success");
  });
});
