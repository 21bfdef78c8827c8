// The library's TerminalManagementAPI, as it is published, over HTTPS: each operation, and each refusal.

import "./terminal-management.mjs";
