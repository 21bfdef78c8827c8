// Requests as a POS writes them. A ServiceID is new for every request, unless a test says otherwise.

import { randomBytes } from "node:crypto";

export const SALE_ID = "TILL-NODE";

/** Ten characters, letters and digits: the longest that is allowed. */
export const serviceId = () => randomBytes(5).toString("hex");

export function payment(poi, amount, service = serviceId()) {
  const TransactionID = `order-${service}`;
  return request("Payment", poi, service, {
    PaymentRequest: {
      SaleData: { SaleTransactionID: { TransactionID, TimeStamp: new Date().toISOString() } },
      PaymentTransaction: { AmountsReq: { Currency: "EUR", RequestedAmount: amount } },
    },
  });
}

export const transactionStatus = (poi, of) =>
  request("TransactionStatus", poi, serviceId(), {
    TransactionStatusRequest: {
      MessageReference: { MessageCategory: "Payment", SaleID: SALE_ID, ServiceID: of },
    },
  });

export const abort = (poi, of) =>
  request("Abort", poi, serviceId(), {
    AbortRequest: {
      AbortReason: "MerchantAbort",
      MessageReference: { MessageCategory: "Payment", SaleID: SALE_ID, ServiceID: of },
    },
  });

export const reversal = (poi, POITransactionID) =>
  request("Reversal", poi, serviceId(), {
    ReversalRequest: { ReversalReason: "MerchantCancel", OriginalPOITransaction: { POITransactionID } },
  });

export const diagnosis = (poi, HostDiagnosisFlag) =>
  request("Diagnosis", poi, serviceId(), { DiagnosisRequest: { HostDiagnosisFlag } });

function request(MessageCategory, POIID, ServiceID, body) {
  const MessageHeader = {
    ProtocolVersion: "3.0",
    MessageClass: "Service",
    MessageCategory,
    MessageType: "Request",
    ServiceID,
    SaleID: SALE_ID,
    POIID,
  };
  return { SaleToPOIRequest: { MessageHeader, ...body } };
}
