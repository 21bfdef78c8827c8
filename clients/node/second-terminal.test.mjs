// Files with the same terminal run one after the other: it takes one payment at a time.
import "./cloud-device.mjs";
import "./encrypted.mjs";
