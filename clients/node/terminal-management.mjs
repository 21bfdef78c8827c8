// POS Terminal Management API, with the code that docs/clients.md has for it.

import assert from "node:assert/strict";
import { describe, test } from "node:test";

import { call } from "./calls.mjs";
import { assertThrown, demo } from "./cases.mjs";
import { terminalManagement } from "./fleet.mjs";

const COMPANY = demo.companyAccount;
const [MERCHANT, WITHOUT_STORES] = demo.merchantAccounts;

/** In a store and boarded; in a store and not; in the inventory of a merchant account. */
const [BOARDED, READY, SPARE] = ["V400m-324688179", "P400Plus-275008565", "AMS1-000168223606144"];
const NOWHERE = "V400m-999999999";
const NAME = "TerminalManagementAPI";

const connect = (key, path) => terminalManagement(demo.tlsBaseUrl + (path ?? "/postfmapi/terminal/v1"), key);
const api = connect(demo.apiKeys.terminalManagement);

/** What the library makes of an answer, as plain objects; members that it knows and that did not come are left out. */
const plain = (value) => JSON.parse(JSON.stringify(value));

async function ask(operation, what, request, client = api) {
  const answer = await call(`${NAME}.${operation}`, what, () => client[operation](request));
  return answer.error ? answer : { ...answer, value: plain(answer.value) };
}

async function succeeds(...asked) {
  const { value, error, http } = await ask(...asked);
  assert.ifError(error);
  assert.equal(http, 200);
  return value;
}

async function isRefused(status, code, text, ...asked) {
  const error = assertThrown(await ask(...asked), status, code);
  if (text) assert.ok(error.message.includes(text), error.message);
}

describe(NAME, () => {
  test("findTerminal", async () => {
    const found = { companyAccount: COMPANY, merchantAccount: MERCHANT, store: "STORE_AMS", terminal: BOARDED };
    const versioned = await succeeds("findTerminal", "boarded", { terminal: BOARDED });
    // The library passes on what comes: below /v1 the text.
    assert.deepEqual(versioned, { ...found, merchantInventory: "false" });
    const unversioned = connect(demo.apiKeys.terminalManagement, "/postfmapi/terminal");
    const real = await succeeds("findTerminal", "without a version", { terminal: BOARDED }, unversioned);
    assert.deepEqual(real, { ...found, merchantInventory: false });
  });

  test("getTerminalDetails", async () => {
    const details = await succeeds("getTerminalDetails", "boarded", { terminal: BOARDED });
    assert.deepEqual([details.deviceModel, details.serialNumber], ["V400m", "324-688-179"]);
    assert.equal(details.terminalStatus, "OnlineToday");
    assert.equal(details.storeDetails.store, "STORE_AMS");
    assert.match(details.permanentTerminalId, /^\d{8}$/);
  });

  test("getTerminalsUnderAccount", async () => {
    const everything = await succeeds("getTerminalsUnderAccount", "company", { companyAccount: COMPANY });
    const { stores } = everything.merchantAccounts.find(({ merchantAccount }) => merchantAccount === MERCHANT);
    assert.ok(stores.find(({ store }) => store === "STORE_AMS").inStoreTerminals.includes(BOARDED));
    const request = { companyAccount: COMPANY, merchantAccount: MERCHANT, store: "STORE_PAR" };
    const one = await succeeds("getTerminalsUnderAccount", "store", request);
    assert.deepEqual(one.merchantAccounts.map(({ stores }) => stores.map(({ store }) => store)), [["STORE_PAR"]]);
    assert.ok(one.merchantAccounts[0].stores[0].inStoreTerminals.includes(READY));
  });

  test("getStoresUnderAccount", async () => {
    const { stores } = await succeeds("getStoresUnderAccount", "company", { companyAccount: COMPANY });
    assert.deepEqual(stores.map(({ store }) => store), demo.stores);
    const none = { companyAccount: COMPANY, merchantAccount: WITHOUT_STORES };
    assert.deepEqual(await succeeds("getStoresUnderAccount", "no stores", none), { stores: [] });
  });

  test("assignTerminals", async () => {
    const assign = async (what, target) => {
      const request = { companyAccount: COMPANY, terminals: [SPARE], ...target };
      return (await succeeds("assignTerminals", what, request)).results;
    };
    const where = () => succeeds("findTerminal", "assigned", { terminal: SPARE });
    const before = await where();
    assert.deepEqual(await assign("company inventory", {}), { [SPARE]: "Done" });
    assert.deepEqual(await where(), { companyAccount: COMPANY, terminal: SPARE });
    assert.deepEqual(await assign("store", { merchantAccount: MERCHANT, store: "STORE_PAR" }), { [SPARE]: "Done" });
    assert.equal((await where()).store, "STORE_PAR");
    const { merchantAccount, merchantInventory } = before;
    const back = await assign("back", { merchantAccount, merchantInventory: merchantInventory === "true" });
    assert.deepEqual(back, { [SPARE]: "Done" });
    assert.deepEqual(await where(), before);
  });

  test("what is refused", async () => {
    const terminal = { terminal: NOWHERE };
    await isRefused(422, "000", "Terminal not found", "findTerminal", "unknown", terminal);
    await isRefused(422, "000", "Terminal not found", "getTerminalDetails", "unknown", terminal);
    const both = { companyAccount: COMPANY, terminals: [SPARE, NOWHERE] };
    await isRefused(422, "000", `Terminals not found: ${NOWHERE}`, "assignTerminals", "one unknown", both);
    await isRefused(400, "702", "companyAccount", "getStoresUnderAccount", "no company", { merchantAccount: MERCHANT });
    const found = { terminal: BOARDED };
    await isRefused(401, "000", undefined, "findTerminal", "wrong key", found, connect("tg_key_wrong"));
    await isRefused(403, "010", undefined, "findTerminal", "other role", found, connect(demo.apiKeys.cloudDevice));
    // To another company this terminal does not exist.
    await isRefused(422, "000", "Terminal not found", "findTerminal", "foreign", found, connect(demo.apiKeys.otherCompany));
  });
});
