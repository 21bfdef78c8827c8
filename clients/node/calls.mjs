// Makes a call through the library, and notes it for the table: what was on the wire, and what the library made of it.
//
// The wire is seen by Node's own diagnostics channels, so the library is used as it is published.

import { AsyncLocalStorage } from "node:async_hooks";
import diagnostics from "node:diagnostics_channel";
import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";

const rows = [];
const current = new AsyncLocalStorage();
const rowOfRequest = new WeakMap();

diagnostics.subscribe("http.client.request.start", ({ request }) => {
  const row = current.getStore();
  if (row) rowOfRequest.set(request, row);
});
diagnostics.subscribe("http.client.response.finish", ({ request, response }) => {
  const row = rowOfRequest.get(request);
  if (row) Object.assign(row, { http: response.statusCode, headers: response.headers });
});
process.on("exit", () => {
  const file = `${basename(process.argv[1], ".test.mjs")}.rows.json`;
  writeFileSync(join(process.env.TILLGATE_CALLS, file), JSON.stringify(rows));
});

/**
 * Runs `send`, which calls the library once. Resolves to `{ value }` or `{ error }`, and `http` and `headers` of the
 * response, if there was one.
 */
export async function call(name, what, send) {
  const row = { name, what };
  rows.push(row);
  let outcome;
  try {
    outcome = { value: await current.run(row, send) };
  } catch (error) {
    outcome = { error };
  }
  row.gave = inWords(outcome);
  return { ...outcome, http: row.http, headers: row.headers ?? {} };
}

/** The one response in a message, whatever its category: `{ name, body, result, condition, texts }`. */
export function responseIn(message) {
  const [name, body] =
    Object.entries(message?.SaleToPOIResponse ?? {}).find(([, member]) => member?.Response) ?? [];
  if (!body) return undefined;
  const { Result, ErrorCondition, AdditionalResponse } = body.Response;
  const texts = Object.fromEntries(new URLSearchParams(AdditionalResponse ?? ""));
  return { name, body, result: Result, condition: ErrorCondition, texts };
}

/** What a Reject event says, decoded; undefined if this is none. */
export function rejectIn(message) {
  const event = message?.SaleToPOIRequest?.EventNotification;
  return event?.EventToNotify === "Reject" ? new URLSearchParams(event.EventDetails).get("message") : undefined;
}

function inWords({ value, error }) {
  if (error) {
    const { name, statusCode = "", errorCode = "", message, apiError } = error;
    const detail = apiError?.detail ? ` (apiError.detail: ${apiError.detail})` : "";
    return `throws ${name} ${statusCode} ${errorCode}: ${message}${detail}`;
  }
  const reject = rejectIn(value);
  if (reject) return `Reject: ${reject}`;
  const response = responseIn(value);
  if (!response) return JSON.stringify(value);
  const { name, body, result, condition, texts } = response;
  const why = condition ? `/${condition} ${texts.message ?? ""}` : "";
  const repeated = body.RepeatedMessageResponse?.RepeatedResponseMessageBody;
  const inner = repeated ? `, of: ${inWords({ value: { SaleToPOIResponse: repeated } })}` : "";
  return `${name} ${result}${why}${inner}`;
}
