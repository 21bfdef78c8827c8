// What has to hold for each client of the library alike: TerminalCloudAPI, CloudDeviceApi, EncryptedCloudDeviceApi.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";

import { call, rejectIn, responseIn } from "./calls.mjs";
import { abort, diagnosis, payment, reversal, serviceId, transactionStatus } from "./messages.mjs";

/** What `tillgate demo` has written about itself. */
export const demo = JSON.parse(readFileSync(process.env.TILLGATE_READY_FILE, "utf8"));

export const NOT_DELIVERED =
  "Failed to send message to POI. There may be a network issue or it may not have the websocket connected.";

/** Nobody has this one. */
export const UNKNOWN_POI = "V400m-999999999";

/** By the last three digits of the amount. */
const DECLINES = [
  [1.24, "Refusal", "NOT_ENOUGH_BALANCE", "210 Not enough balance"],
  [1.25, "Refusal", "BLOCK_CARD", "199 Card blocked"],
  [1.26, "Refusal", "CARD_EXPIRED", "228 Card expired"],
  [1.27, "Refusal", "INVALID_AMOUNT", "214 Invalid amount"],
  [1.28, "InvalidCard", "INVALID_CARD", "214 Invalid card"],
  [1.34, "WrongPIN", "INVALID_PIN", "129 Invalid PIN"],
];

/** Nothing in these tests takes longer, on a machine that has other things to do. */
export const WAIT_MAX_MS = 20_000;

/** Until `probe` resolves to something, which is asked for again and again: nobody tells a POS when a card is awaited. */
export async function until(what, probe) {
  const deadline = Date.now() + WAIT_MAX_MS;
  while (Date.now() < deadline) {
    const found = await probe();
    if (found) return found;
    await delay(100);
  }
  return assert.fail(`no ${what} within ${WAIT_MAX_MS} ms`);
}

/** HTTP 200, a JSON body, and in it this outcome. Returns the response. */
export function assertResponse({ value, error, http, headers }, result, condition) {
  assert.ifError(error);
  assert.equal(http, 200);
  assert.equal(headers["content-type"], "application/json");
  const response = responseIn(value);
  assert.ok(response, `expected a response, got ${JSON.stringify(value)}`);
  assert.deepEqual([response.result, response.condition], [result, condition], JSON.stringify(response.texts));
  return response;
}

export function assertReject({ value, error, http }, text, request) {
  assert.ifError(error);
  assert.equal(http, 200);
  assert.equal(rejectIn(value), text);
  const { MessageHeader, EventNotification } = value.SaleToPOIRequest;
  const { SaleID, POIID, ServiceID } = request.SaleToPOIRequest.MessageHeader;
  assert.deepEqual([MessageHeader.SaleID, MessageHeader.POIID, MessageHeader.ServiceID], [SaleID, POIID, ServiceID]);
  const rejected = Buffer.from(EventNotification.RejectedMessage, "base64").toString();
  assert.equal(JSON.parse(rejected).SaleToPOIRequest.MessageHeader.ServiceID, ServiceID);
  return rejected;
}

/** The library has thrown what it makes of an HTTP error. */
export function assertThrown({ error, http }, status, errorCode) {
  assert.ok(error, "expected an error");
  assert.equal(error.name, "HttpClientException", error.message);
  assert.deepEqual([http, error.statusCode, error.errorCode], [status, status, errorCode]);
  return error;
}

/** The two characters, which arrive as `sent` when the library has looked at them. */
export function assertOk({ value, error, http, headers }, sent) {
  assert.ifError(error);
  assert.equal(http, 200);
  assert.equal(headers["content-type"], "text/plain");
  assert.deepEqual(JSON.parse(JSON.stringify(value)), sent);
}

/**
 * Payments and all that belongs to them, at a connected terminal that nobody else uses.
 *
 * `dialect`: `name`; `poi`; `sync` and `async`, which send a request; `impatient(ms)`, a `sync` with another time-out;
 * `okOfSync` and `okOfAsync`, what `ok` becomes.
 */
export function paymentCases(dialect) {
  const { name, poi, sync, async } = dialect;
  const syncCall = (what, request, send = sync) => call(`${name}.sync`, what, () => send(request));
  const statusOf = (service) => sync(transactionStatus(poi, service)).then(responseIn);
  const ended = (service) => until("end of the payment", async () => {
    const status = await statusOf(service);
    return status?.condition !== "InProgress" && status;
  });

  describe(name, () => {
    const first = payment(poi, 10.99);
    let paid;

    test("a payment is approved", async () => {
      const answer = await syncCall("Payment 10.99", first);
      const { name, body } = assertResponse(answer, "Success", undefined);
      assert.equal(name, "PaymentResponse");
      assert.equal(body.PaymentResult.AmountsResp.AuthorizedAmount, 10.99);
      assert.equal(body.SaleData.SaleTransactionID.TransactionID, idOf(first));
      assert.equal(answer.value.SaleToPOIResponse.MessageHeader.ServiceID, serviceOf(first));
      assert.equal(answer.headers["tillgate-repeated"], undefined);
      paid = body.POIData.POITransactionID;
    });

    test("TransactionStatus finds it", async () => {
      const answer = await syncCall("TransactionStatus, found", transactionStatus(poi, serviceOf(first)));
      const { body } = assertResponse(answer, "Success", undefined);
      const { MessageHeader, RepeatedResponseMessageBody } = body.RepeatedMessageResponse;
      assert.equal(MessageHeader.ServiceID, serviceOf(first));
      assert.deepEqual(RepeatedResponseMessageBody.PaymentResponse.POIData.POITransactionID, paid);
    });

    if (dialect.repeats) {
      test("the same payment again is answered again, and not made again", async () => {
        const answer = await syncCall("Payment, same ServiceID and body", first);
        const { body } = assertResponse(answer, "Success", undefined);
        assert.equal(answer.headers["tillgate-repeated"], "true");
        assert.deepEqual(body.POIData.POITransactionID, paid);
      });
    }

    test("another payment under the same ServiceID is refused", async () => {
      const answer = await syncCall("Payment, same ServiceID, other amount", payment(poi, 11.99, serviceOf(first)));
      assertResponse(answer, "Failure", "NotAllowed");
    });

    test("a reversal gives it back", async () => {
      const answer = await syncCall("Reversal", reversal(poi, paid));
      assert.equal(assertResponse(answer, "Success", undefined).body.ReversedAmount, 10.99);
    });

    test("a reversal of what was never paid is refused", async () => {
      const unknown = { TransactionID: "nothing.of.the.kind", TimeStamp: "2026-11-20T09:15:00.000Z" };
      const answer = await syncCall("Reversal, unknown transaction", reversal(poi, unknown));
      assertResponse(answer, "Failure", "NotFound");
    });

    for (const [amount, condition, message, refusalReason] of DECLINES) {
      test(`a payment of ${amount} is declined with ${message}`, async () => {
        const answer = await syncCall(`Payment ${amount}`, payment(poi, amount));
        const { texts } = assertResponse(answer, "Failure", condition);
        assert.deepEqual([texts.message, texts.refusalReason], [message, refusalReason]);
      });
    }

    test("while a payment runs: busy, in progress, abort", async () => {
      // The answer to an async call comes when the terminal has the request, so that what follows finds it there.
      const running = payment(poi, 12.99);
      const taken = await call(`${name}.async`, "Payment 12.99, aborted", () => async(running));
      assertOk(taken, dialect.okOfAsync);
      assertResponse(await syncCall("Payment, terminal busy", payment(poi, 13.99)), "Failure", "Busy");
      assertResponse(await syncCall("Diagnosis, terminal busy", diagnosis(poi, false)), "Failure", "Busy");
      const status = await syncCall("TransactionStatus, in progress", transactionStatus(poi, serviceOf(running)));
      assertResponse(status, "Failure", "InProgress");
      assertOk(await syncCall("Abort", abort(poi, serviceOf(running))), dialect.okOfSync);
      const { condition, texts } = paymentIn(await ended(serviceOf(running)));
      assert.deepEqual([condition, texts.message], ["Aborted", "104 Merchant cancelled."]);
    });

    test("an aborted payment ends in its own answer", async () => {
      const running = payment(poi, 12.99);
      let over = false;
      const answer = syncCall("Payment 12.99, aborted", running).finally(() => (over = true));
      // Time to reach the terminal. If it takes longer today: one that was not sent yet is aborted as well, and an abort
      // that overtakes its payment finds nothing to end.
      await delay(300);
      await until("end of the payment", async () => {
        if (!over) await sync(abort(poi, serviceOf(running)));
        return over;
      });
      assertResponse(await answer, "Failure", "Aborted");
    });

    test("TransactionStatus of a payment that nobody sent finds nothing, and closes its ServiceID", async () => {
      const never = payment(poi, 14.99);
      const status = await syncCall("TransactionStatus, not found", transactionStatus(poi, serviceOf(never)));
      assertResponse(status, "Failure", "NotFound");
      assertResponse(await syncCall("Payment, ServiceID closed by that", never), "Failure", "NotAllowed");
    });

    test("a POS that gives up hears from TransactionStatus that it was paid, once", async () => {
      const hasty = payment(poi, 15.99);
      const lost = await syncCall("Payment, client time-out after 1 s", hasty, dialect.impatient(1000));
      assert.equal(lost.error?.name, "ApiException");
      await ended(serviceOf(hasty));
      const answer = await syncCall("TransactionStatus after that", transactionStatus(poi, serviceOf(hasty)));
      const repeated = assertResponse(answer, "Success", undefined).body.RepeatedMessageResponse;
      const { PaymentResponse } = repeated.RepeatedResponseMessageBody;
      assert.equal(PaymentResponse.Response.Result, "Success");
      assert.equal(PaymentResponse.SaleData.SaleTransactionID.TransactionID, idOf(hasty));
      // One reversal takes back all there is: a second charge would leave something.
      const { POITransactionID } = PaymentResponse.POIData;
      assertResponse(await syncCall("Reversal of it", reversal(poi, POITransactionID)), "Success", undefined);
      const second = await syncCall("Reversal of it, again", reversal(poi, POITransactionID));
      assertResponse(second, "Failure", "NotAllowed");
    });

    test("Diagnosis answers with and without a look at the host", async () => {
      const without = await syncCall("Diagnosis, HostDiagnosisFlag false", diagnosis(poi, false));
      assert.equal(assertResponse(without, "Success", undefined).body.HostStatus, undefined);
      const withHost = await syncCall("Diagnosis, HostDiagnosisFlag true", diagnosis(poi, true));
      const [host] = assertResponse(withHost, "Success", undefined).body.HostStatus;
      assert.equal(host.IsReachableFlag, true);
    });

    test("a ServiceID of twelve characters is refused with a reason", async () => {
      const answer = await syncCall("ServiceID of 12 characters", payment(poi, 16.99, `${serviceId()}12`));
      assert.match(assertResponse(answer, "Failure", "MessageFormat").texts.message, /ServiceID/);
    });

    test("async: a payment is taken on, and paid", async () => {
      const request = payment(poi, 17.99);
      assertOk(await call(`${name}.async`, "Payment 17.99", () => async(request)), dialect.okOfAsync);
      assert.equal(paymentIn(await ended(serviceOf(request))).result, "Success");
    });

    test("async: an abort is taken on, and the payment ends with it", async () => {
      const request = payment(poi, 18.99);
      assertOk(await call(`${name}.async`, "Payment 18.99, aborted", () => async(request)), dialect.okOfAsync);
      const called = await call(`${name}.async`, "Abort", () => async(abort(poi, serviceOf(request))));
      assertOk(called, dialect.okOfAsync);
      assert.equal(paymentIn(await ended(serviceOf(request))).condition, "Aborted");
    });
  });
}

export const serviceOf = (request) => request.SaleToPOIRequest.MessageHeader.ServiceID;

/** The payment's response in the one to a TransactionStatus. */
const paymentIn = ({ body }) =>
  responseIn({ SaleToPOIResponse: body.RepeatedMessageResponse.RepeatedResponseMessageBody });

const idOf = (request) => request.SaleToPOIRequest.PaymentRequest.SaleData.SaleTransactionID.TransactionID;
