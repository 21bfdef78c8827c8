// Stand-ins for the official libraries that do not run here. Each sends what that library puts on the wire, and reads
// the answers the way that library reads them, as far as we know from reading it: none of its code is in here. The
// bodies are our own.

import assert from "node:assert/strict";
import https from "node:https";
import { describe, test } from "node:test";

import { demo, NOT_DELIVERED, serviceOf, UNKNOWN_POI, WAIT_MAX_MS } from "./cases.mjs";
import { abort, diagnosis, payment, transactionStatus } from "./messages.mjs";

const POI = "V400m-324688179";
/** All that are connected, sorted; the first one speaks the Actions API. */
const CONNECTED = ["ACT1-000000001", "S1F2-000158215131748", POI];
const MERCHANT = "DEMO_MERCHANT_EU";
const { terminalApi, cloudDevice, management } = demo.apiKeys;

describe("Java 43", () => {
  // One pooled connection; Apache's client may offer an upgrade to TLS on it.
  const agent = new https.Agent({ keepAlive: true, maxSockets: 1 });
  const post = (path, body, key = terminalApi) =>
    send({ path, body, agent, headers: {
      "Accept-Charset": "UTF-8", "Content-Type": "application/json", "x-api-key": key, Upgrade: "TLS/1.2",
      Connection: "Upgrade", ...named("java", "43.0.0"),
    } });
  /** `sync` and the Cloud device API: null for no content and for `ok`, else one of two members. */
  const message = ({ status, text }) => {
    if (status >= 300) throw javaError(text);
    return text === "" || text === "ok" ? null : JSON.parse(text);
  };
  const javaError = (text) => {
    const error = JSON.parse(text);
    assert.equal(typeof error.status, "number");
    assert.equal(typeof error.errorCode, "string");
    return new Error(`${error.message} ErrorCode: ${error.errorCode}`);
  };

  test("/sync gives a response, and null for an abort", async () => {
    const request = diagnosis(POI, true);
    const { SaleToPOIResponse } = message(await post("/sync", request));
    assert.equal(SaleToPOIResponse.MessageHeader.ServiceID, serviceOf(request));
    assert.equal(SaleToPOIResponse.DiagnosisResponse.Response.Result, "Success");
    assert.equal(message(await post("/sync", abortOfNothing())), null);
  });

  test("an unreachable terminal is an event notification in a SaleToPOIRequest", async () => {
    const { SaleToPOIRequest } = message(await post("/sync", payment(UNKNOWN_POI, 10.99)));
    assert.equal(SaleToPOIRequest.EventNotification.EventToNotify, "Reject");
  });

  test("/async is the plain text", async () => {
    const { text } = await post("/async", abortOfNothing());
    assert.equal(text, "ok");
  });

  test("/connectedTerminals lists, and its errors have a message and a code", async () => {
    const list = await post("/connectedTerminals", { merchantAccount: MERCHANT });
    assert.deepEqual(message(list).uniqueTerminalIds, CONNECTED);
    const foreign = await post("/connectedTerminals", { merchantAccount: "NO_SUCH_MERCHANT" });
    assert.throws(() => message(foreign), { message: "Invalid Merchant Account ErrorCode: 901" });
    const missing = await post("/connectedTerminals", {});
    assert.throws(() => message(missing), { message: "Required field 'merchantAccount' is null ErrorCode: 702" });
  });

  test("the Cloud device API: the POIID is overwritten with the deviceId", async () => {
    const request = diagnosis("whatever", false);
    request.SaleToPOIRequest.MessageHeader.POIID = POI;
    const answer = await post(`/v1/merchants/${MERCHANT}/devices/${POI}/sync`, request, cloudDevice);
    assert.equal(message(answer).SaleToPOIResponse.DiagnosisResponse.Response.Result, "Success");
  });
});

describe(".NET 35", () => {
  // Two headers that were meant to be others; HttpClient adds the real ones.
  const post = (path, body, key = terminalApi) =>
    send({ path, body, headers: {
      "x-api-key": key, UserAgent: "pos adyen-dotnet-api-library/35.0.0", ContentType: "application/json",
      "Content-Type": "application/json; charset=utf-8", ...named("dotnet", "35.0.0"),
    } });
  /** The first member that is an object; what is in it is named by the header, and has to be there. */
  const message = ({ status, text }) => {
    assert.equal(status, 200);
    const envelope = Object.values(JSON.parse(text)).find((member) => typeof member === "object" && member !== null);
    const { MessageCategory, MessageType } = envelope.MessageHeader;
    const type = `${MessageCategory}${MessageType}`;
    assert.ok(envelope[type], `no ${type} in ${text}`);
    return { type, payload: envelope[type] };
  };

  test("TerminalApiSyncService: a response is named by category and type", async () => {
    const { type, payload } = message(await post("/sync", diagnosis(POI, false)));
    assert.deepEqual([type, payload.Response.Result], ["DiagnosisResponse", "Success"]);
    const status = message(await post("/sync", transactionStatus(POI, "none")));
    assert.deepEqual([status.type, status.payload.Response.ErrorCondition], ["TransactionStatusResponse", "NotFound"]);
  });

  test("a reject is an EventNotification", async () => {
    const { type, payload } = message(await post("/sync", payment(UNKNOWN_POI, 10.99)));
    assert.deepEqual([type, payload.EventToNotify], ["EventNotification", "Reject"]);
    assert.equal(new URLSearchParams(payload.EventDetails).get("message"), NOT_DELIVERED);
  });

  test("a refusal by the gateway is a response like the terminal's", async () => {
    const { type, payload } = message(await post("/sync", payment(POI, 10.99, "not valid!")));
    assert.deepEqual([type, payload.Response.ErrorCondition], ["PaymentResponse", "MessageFormat"]);
    assert.ok(payload.SaleData && payload.POIData);
  });

  test("TerminalApiAsyncService gives the string", async () => {
    assert.equal((await post("/async", abortOfNothing())).text, "ok");
  });
});

describe("PHP 30", () => {
  // libcurl asks before it sends a longer body.
  const post = (path, body, key = terminalApi) =>
    send({ path, body, headers: {
      "Content-Type": "application/json", "x-api-key": key, Expect: "100-continue", ...named("php", "30.0.2"),
    } });
  /** json_decode: what is no JSON becomes null. An error's members are read without a look whether they are there. */
  const result = ({ status, text }) => {
    const decoded = jsonOr(null, text);
    if ([200, 201, 202, 204].includes(status)) return decoded;
    if (!decoded?.message || !decoded.errorCode) throw new Error(text);
    for (const member of ["status", "errorType"]) assert.ok(member in decoded, `undefined array key "${member}"`);
    throw new Error(`${decoded.errorType}: ${decoded.message} (${decoded.errorCode})`);
  };

  test("runTenderSync: the client's merchantAccount beside the message does no harm", async () => {
    const answer = result(await post("/sync", { merchantAccount: MERCHANT, ...diagnosis(POI, false) }));
    assert.equal(answer.SaleToPOIResponse.DiagnosisResponse.Response.Result, "Success");
  });

  test("runTenderAsync: ok becomes null", async () => {
    const answer = await post("/async", { merchantAccount: MERCHANT, ...abortOfNothing() });
    assert.equal(answer.status, 200);
    assert.equal(result(answer), null);
  });

  test("getConnectedTerminals", async () => {
    const { uniqueTerminalIds } = result(await post("/connectedTerminals", { merchantAccount: MERCHANT }));
    assert.deepEqual(uniqueTerminalIds, CONNECTED);
  });

  test("errors have all that is read of them", async () => {
    const wrong = await post("/sync", diagnosis(POI, false), "wrong");
    assert.throws(() => result(wrong), { message: "security: HTTP Status Response - Unauthorized (000)" });
    const roleless = await post("/sync", diagnosis(POI, false), management);
    assert.throws(() => result(roleless), /^Error: security: .*Terminal API role.* \(010\)$/);
  });
});

describe("Ruby 12", () => {
  const post = (path, body, key = terminalApi) =>
    send({ path, body, headers: {
      "Content-Type": "application/json", "x-api-key": key, Accept: "*/*",
      "Accept-Encoding": "gzip;q=1.0,deflate;q=0.6,identity;q=0.3", ...named("ruby", "12.0.0"),
    } });
  /** `ok` and nothing become an empty hash; an error is a class by the status. */
  const result = ({ status, text }) => {
    const classes = { 400: "FormatError", 401: "AuthenticationError", 403: "PermissionError", 404: "NotFoundError", 422: "ValidationError" };
    const name = status >= 500 ? "ServerError" : classes[status];
    if (name) {
      const { detail, message, errorCode } = JSON.parse(text);
      throw Object.assign(new Error(`${detail ?? message} ${errorCode}`), { name });
    }
    return text === "" || text === "ok" ? {} : JSON.parse(text);
  };

  test("terminal_cloud_api: sync, async, connected_terminals, below one base", async () => {
    const answer = result(await post("/sync", diagnosis(POI, false)));
    assert.equal(answer.SaleToPOIResponse.DiagnosisResponse.Response.Result, "Success");
    assert.deepEqual(result(await post("/sync", abortOfNothing())), {});
    assert.deepEqual(result(await post("/async", abortOfNothing())), {});
    const list = result(await post("/connectedTerminals", { merchantAccount: MERCHANT }));
    assert.deepEqual(list, { uniqueTerminalIds: CONNECTED });
  });

  test("errors are raised by their status, with a text and a code", async () => {
    const wrong = await post("/sync", diagnosis(POI, false), "wrong");
    assert.throws(() => result(wrong), { name: "AuthenticationError", message: "HTTP Status Response - Unauthorized 000" });
    const foreign = await post("/connectedTerminals", { merchantAccount: "NO_SUCH_MERCHANT" });
    assert.throws(() => result(foreign), { name: "PermissionError", message: "Invalid Merchant Account 901" });
    const store = await post("/connectedTerminals", { merchantAccount: MERCHANT, store: "NO_SUCH_STORE" });
    assert.throws(() => result(store), { name: "ValidationError" });
    const missing = await post("/connectedTerminals", {});
    assert.throws(() => result(missing), { name: "ServerError" });
  });
});

describe("Go 21", () => {
  // It has none of these calls, so there is nothing to pay with: what is shown is that its reader copes.
  const post = (path, body, key = terminalApi, method = "POST") =>
    send({ method, path, body, headers: {
      "Content-Type": "application/json", Accept: "application/json", "Cache-Control": "no-cache", "X-Api-Key": key,
      ...named("go", "21.2.2"),
    } });
  const decoded = ({ status, text, headers }) => {
    if (status < 300) {
      assert.match(headers["content-type"], /(application|text)\/json/i, "undefined Response type");
      return JSON.parse(text);
    }
    // Type assertions in Go: another type would be a panic, a missing member is none.
    const error = JSON.parse(text);
    for (const [member, type] of [["message", "string"], ["errorType", "string"], ["status", "number"]]) {
      if (member in error) assert.equal(typeof error[member], type, member);
    }
    return { status: error.status, code: `${error.errorCode}` };
  };

  test("a JSON answer says that it is one", async () => {
    assert.ok(decoded(await post("/sync", diagnosis(POI, false))).SaleToPOIResponse);
  });

  test("errors of both forms can be decoded", async () => {
    assert.deepEqual(decoded(await post("/sync", diagnosis(POI, false), "wrong")), { status: 401, code: "000" });
    const path = `/v1/merchants/${MERCHANT}/connectedDevices`;
    assert.deepEqual(decoded(await post(path, undefined, "wrong", "GET")), { status: 401, code: "00_401" });
  });
});

/** The terminal takes it, has nothing to end and nothing to say, and is not kept busy by it. */
function abortOfNothing() {
  return abort(POI, "none");
}

/** One HTTPS request. With `Expect: 100-continue` the body waits until the server wants it. */
function send({ method = "POST", path, headers, body, agent }) {
  const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
  const length = bytes ? { "Content-Length": bytes.length } : {};
  return new Promise((resolve, reject) => {
    const options = { method, agent, headers: { ...headers, ...length }, signal: AbortSignal.timeout(WAIT_MAX_MS) };
    const request = https.request(new URL(path, demo.tlsBaseUrl), options);
    request.on("error", reject);
    request.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8").on("data", (chunk) => (text += chunk)).on("error", reject);
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    request.on("continue", () => request.end(bytes));
    if (headers.Expect) request.flushHeaders();
    else request.end(bytes);
  });
}

function named(language, version) {
  const name = `adyen-${language}-api-library`;
  return { "User-Agent": `pos ${name}/${version}`, "adyen-library-name": name, "adyen-library-version": version };
}

function jsonOr(otherwise, text) {
  try {
    return JSON.parse(text);
  } catch {
    return otherwise;
  }
}
