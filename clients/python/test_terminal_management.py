"""Adyen's Python library, as published, against a running `tillgate demo`: the POS Terminal Management API.

`cargo xtask test --only python` runs this. By hand: install requirements.txt, start `tillgate demo --ready-file demo.json`, and
`TILLGATE_READY_FILE=demo.json python -m unittest --verbose`.
"""

import json
import os
import unittest
import warnings

with open(os.environ["TILLGATE_READY_FILE"], encoding="utf-8") as file:
    DEMO = json.load(file)

# Read when the first connection is made: the demo's CA is trusted, and nothing is switched off.
os.environ["SSL_CERT_FILE"] = DEMO["caFile"]

import Adyen  # noqa: E402
from Adyen.exceptions import (  # noqa: E402
    AdyenAPIAuthenticationError,
    AdyenAPIInvalidPermission,
    AdyenAPIUnprocessableEntity,
    AdyenAPIValidationError,
)

COMPANY = DEMO["companyAccount"]
MERCHANT, WITHOUT_STORES = DEMO["merchantAccounts"]

# In a store and boarded; in a store and not; in the inventory of a merchant account. Nobody else's test moves them.
BOARDED, READY, SPARE = "V400m-324688179", "P400Plus-275008565", "AMS1-000168223606144"
NOWHERE = "V400m-999999999"


def terminal_api(key="terminalManagement", path="/postfmapi/terminal/v1"):
    """The library's class for this API, told another URL."""
    adyen = Adyen.Adyen(xapikey=DEMO["apiKeys"].get(key, key), platform="test")
    adyen.terminal.baseUrl = DEMO["tlsBaseUrl"] + path
    return adyen.terminal


class Calls(unittest.TestCase):
    """Each operation once with success, and once with each refusal that it has."""

    @classmethod
    def setUpClass(cls):
        warnings.simplefilter("ignore", DeprecationWarning)
        cls.api = terminal_api()

    def refused(self, error, status, code, call, request, text=None):
        with self.assertRaises(error) as raised:
            call(request)
        self.assertEqual((raised.exception.status_code, raised.exception.error_code), (status, code))
        if text:
            self.assertIn(text, raised.exception.message["message"])

    def test_find_terminal(self):
        found = self.api.find_terminal({"terminal": BOARDED})
        self.assertEqual(found.status_code, 200)
        self.assertEqual(
            found.message,
            {
                "companyAccount": COMPANY,
                "merchantAccount": MERCHANT,
                "merchantInventory": "false",
                "store": "STORE_AMS",
                "terminal": BOARDED,
            },
        )

    def test_booleans_are_booleans_without_a_version_in_the_path(self):
        found = terminal_api(path="/postfmapi/terminal").find_terminal({"terminal": BOARDED})
        self.assertIs(found.message["merchantInventory"], False)

    def test_get_terminal_details(self):
        details = self.api.get_terminal_details({"terminal": BOARDED}).message
        self.assertEqual(details["deviceModel"], "V400m")
        self.assertEqual(details["serialNumber"], "324-688-179")
        self.assertEqual(details["terminalStatus"], "OnlineToday")
        self.assertEqual(details["storeDetails"]["store"], "STORE_AMS")
        self.assertRegex(details["permanentTerminalId"], r"^\d{8}$")
        self.assertRegex(details["lastActivityDateTime"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$")
        self.assertTrue(details["firmwareVersion"])

    def test_get_terminals_under_account(self):
        everything = self.api.get_terminals_under_account({"companyAccount": COMPANY}).message
        self.assertEqual(everything["companyAccount"], COMPANY)
        accounts = {account["merchantAccount"]: account for account in everything["merchantAccounts"]}
        stores = {store["store"]: store["inStoreTerminals"] for store in accounts[MERCHANT]["stores"]}
        self.assertIn(BOARDED, stores["STORE_AMS"])
        self.assertIn(READY, stores["STORE_PAR"])

        request = {"companyAccount": COMPANY, "merchantAccount": MERCHANT, "store": "STORE_PAR"}
        one = self.api.get_terminals_under_account(request).message
        (account,) = one["merchantAccounts"]
        self.assertEqual([store["store"] for store in account["stores"]], ["STORE_PAR"])

    def test_get_stores_under_account(self):
        stores = self.api.get_stores_under_account({"companyAccount": COMPANY}).message["stores"]
        self.assertEqual([store["store"] for store in stores], DEMO["stores"])
        self.assertEqual({store["merchantAccountCode"] for store in stores}, {MERCHANT})
        self.assertEqual({store["status"] for store in stores}, {"Active"})
        none = {"companyAccount": COMPANY, "merchantAccount": WITHOUT_STORES}
        self.assertEqual(self.api.get_stores_under_account(none).message, {"stores": []})

    def test_assign_terminals(self):
        def assign(**target):
            request = {"companyAccount": COMPANY, "terminals": [SPARE], **target}
            return self.api.assign_terminals(request).message["results"]

        before = self.api.find_terminal({"terminal": SPARE}).message
        self.assertEqual(assign(), {SPARE: "Done"})
        self.assertEqual(
            self.api.find_terminal({"terminal": SPARE}).message, {"companyAccount": COMPANY, "terminal": SPARE}
        )
        self.assertEqual(assign(merchantAccount=MERCHANT, store="STORE_PAR"), {SPARE: "Done"})
        self.assertEqual(self.api.find_terminal({"terminal": SPARE}).message["store"], "STORE_PAR")
        in_inventory = before["merchantInventory"] == "true"
        back = assign(merchantAccount=before["merchantAccount"], merchantInventory=in_inventory)
        self.assertEqual(back, {SPARE: "Done"})
        self.assertEqual(self.api.find_terminal({"terminal": SPARE}).message, before)

    def test_refusals(self):
        api = self.api
        missing = (AdyenAPIUnprocessableEntity, 422, "000")
        self.refused(*missing, api.find_terminal, {"terminal": NOWHERE}, "Terminal not found")
        self.refused(*missing, api.get_terminal_details, {"terminal": NOWHERE}, "Terminal not found")
        both = {"companyAccount": COMPANY, "terminals": [SPARE, NOWHERE]}
        self.refused(*missing, api.assign_terminals, both, f"Terminals not found: {NOWHERE}")
        unreadable = (AdyenAPIValidationError, 400, "702")
        self.refused(*unreadable, api.find_terminal, {"terminal": BOARDED, "terminl": 1}, "terminl")
        self.refused(*unreadable, api.get_stores_under_account, {"merchantAccount": MERCHANT}, "companyAccount")

    def test_keys(self):
        request = {"terminal": BOARDED}
        wrong = terminal_api("tg_key_wrong").find_terminal
        self.refused(AdyenAPIAuthenticationError, 401, "000", wrong, request)
        other_role = terminal_api("cloudDevice").find_terminal
        self.refused(AdyenAPIInvalidPermission, 403, "010", other_role, request)
        # To another company this terminal does not exist.
        foreign = terminal_api("otherCompany").find_terminal
        self.refused(AdyenAPIUnprocessableEntity, 422, "000", foreign, request, "Terminal not found")


if __name__ == "__main__":
    unittest.main()
