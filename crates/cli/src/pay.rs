//! `tillgate pay`: a payment, as a POS asks for it.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use nexo::{
    Amount, AmountsReq, ErrorCondition, MessageCategory, PaymentRequest, PaymentResponse, PaymentTransaction,
    PoiId, Response, ResultCode, SaleData, SaleId, ServiceId, TransactionIdentification,
};

use crate::connection::{CallError, Connection};
use crate::sale::{self, Answer};
use crate::signals::Signals;
use crate::{clock, paint};

/// Longer than the 150 s after which the gateway answers in any case.
const WAIT: Duration = Duration::from_secs(160);

/// By then a refusal is here, and a person begins to wonder.
const SAID_AFTER: Duration = Duration::from_millis(700);

/// Currencies whose major unit is also the smallest one (ISO 4217).
const WITHOUT_DECIMALS: [&str; 15] =
    ["BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "XAF", "XOF", "XPF"];

/// Take a payment, as a POS does.
///
/// Asks the terminal to take the payment, waits for its answer, and says what became of it. On a virtual terminal the last
/// three digits of the amount choose the outcome: 1.24 is declined, 10.99 is approved. Ctrl-C ends the wait, not the payment.
///
/// Exit status: 0 charged, 3 not charged, 4 not known, 1 anything else.
#[derive(Debug, Args)]
pub(crate) struct Pay {
    #[command(flatten)]
    connection: Connection,
    /// The terminal [default: the demo's first one]
    #[arg(long, value_name = "POIID")]
    poi_id: Option<PoiId>,
    /// How much, in major units, such as 10.99
    #[arg(long, value_name = "AMOUNT", allow_negative_numbers = true, value_parser = amount)]
    amount: Amount,
    /// Three letters, such as EUR
    #[arg(long, value_name = "CODE", default_value = "EUR", value_parser = currency)]
    currency: String,
    /// What this till is called
    #[arg(long, value_name = "NAME", default_value = "tillgate-pay")]
    sale_id: SaleId,
    /// Print the answer itself
    #[arg(long)]
    json: bool,
}

/// What became of the payment.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Charged { amount: String, card: Option<String>, reference: Option<String> },
    NotCharged { why: String },
    NotKnown { why: String },
}

impl Pay {
    pub(crate) async fn run(self) -> anyhow::Result<ExitCode> {
        let mut signals = Signals::listen()?;
        let gateway = self.connection.open()?;
        let poi = gateway.terminal(self.poi_id)?;
        let header = sale::header(MessageCategory::PAYMENT, &self.sale_id, &poi)?;
        let service = header.service_id.clone().context("a request has a ServiceID")?;
        let request = PaymentRequest {
            sale_data: SaleData::new(TransactionIdentification {
                transaction_id: format!("pay-{service}"),
                time_stamp: clock::now(),
            }),
            payment_transaction: PaymentTransaction {
                amounts_req: AmountsReq {
                    currency: self.currency.clone(),
                    requested_amount: self.amount,
                    cash_back_amount: None,
                    tip_amount: None,
                },
                original_poi_transaction: None,
            },
            payment_data: None,
        };
        let asked = shown(self.amount, &self.currency);
        // Before it is sent: whoever has to ask later needs the ServiceID.
        eprintln!("{}", paint::stderr(&format!("{poi}: {asked}, ServiceID {service}"), paint::DIM));
        let answer = tokio::select! {
            answer = patient(gateway.post("/sync", nexo::request(&header, &request).to_vec(), WAIT)) => answer,
            () = signals.next() => {
                let text = format!("the payment goes on. Ask for ServiceID {service} with TransactionStatus.");
                match self.json {
                    true => eprintln!("{}: {text}", paint::stderr("Not known", paint::YELLOW)),
                    false => println!("{}: {text}", paint::stdout("Not known", paint::YELLOW)),
                }
                return Ok(ExitCode::from(4));
            }
        };
        let outcome = match answer {
            Ok(body) => {
                if self.json {
                    println!("{}", String::from_utf8_lossy(&body));
                }
                sale::read(body)
                    .map_or_else(|error| Outcome::NotKnown { why: error.to_string() }, |a| read(&a))
            }
            Err(CallError::NotKnown(error)) => Outcome::NotKnown { why: format!("{error:#}") },
            Err(CallError::NotTaken(error)) => return Err(error.context("not charged")),
        };
        if !self.json {
            print(&outcome, &poi, &service);
        }
        Ok(ExitCode::from(match outcome {
            Outcome::Charged { .. } => 0,
            Outcome::NotCharged { .. } => 3,
            Outcome::NotKnown { .. } => 4,
        }))
    }
}

/// Says that it waits, once there is no refusal at once.
async fn patient<T>(asking: impl Future<Output = T>) -> T {
    let mut asking = std::pin::pin!(asking);
    tokio::select! {
        biased;
        answer = asking.as_mut() => return answer,
        () = tokio::time::sleep(SAID_AFTER) => {}
    }
    let text = "waiting for the answer; the terminal may be waiting for the card …";
    eprintln!("{}", paint::stderr(text, paint::DIM));
    asking.await
}

fn read(answer: &Answer) -> Outcome {
    match answer {
        Answer::Response(response) => read_response(response),
        Answer::Rejected(text) if text.starts_with("Failed to send message") => Outcome::NotCharged {
            why: "The terminal is not connected, or there is none of that name under this key.".to_owned(),
        },
        // What is not known to be harmless is not called so.
        Answer::Rejected(text) => Outcome::NotKnown { why: text.clone() },
    }
}

fn read_response(response: &Response) -> Outcome {
    let Ok(payment) = response.payload::<PaymentResponse>() else {
        return Outcome::NotKnown { why: "The terminal's answer can't be read.".to_owned() };
    };
    let outcome = payment.response;
    if outcome.result == ResultCode::Failure {
        let reason = sale::reason(outcome.additional_response.as_deref());
        let condition = outcome.error_condition.unwrap_or(ErrorCondition::ABORTED);
        let why = reason.map_or_else(|| condition.to_string(), |reason| format!("{condition}: {reason}"));
        return Outcome::NotCharged { why };
    }
    let result = payment.payment_result.unwrap_or_default();
    let amounts = result.amounts_resp.map(|amounts| {
        shown(amounts.authorized_amount, &amounts.currency.unwrap_or_default()).trim_end().to_owned()
    });
    let card = result.payment_instrument_data.and_then(|instrument| instrument.card_data).map(|card| {
        let parts = [card.payment_brand, card.masked_pan];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    });
    let reference = payment.poi_data.map(|data| data.poi_transaction_id.transaction_id);
    Outcome::Charged { amount: amounts.unwrap_or_default(), card: card.filter(|c| !c.is_empty()), reference }
}

fn print(outcome: &Outcome, poi: &PoiId, service: &ServiceId) {
    let line = |name: &str, value: &str| println!("  {name:<11} {value}");
    match outcome {
        Outcome::Charged { amount, card, reference } => {
            println!("{} {amount}", paint::stdout("Charged", paint::GREEN));
            line("Terminal", poi.as_str());
            for (name, value) in [("Card", card), ("Transaction", reference)] {
                if let Some(value) = value {
                    line(name, value);
                }
            }
            line("ServiceID", service.as_str());
        }
        Outcome::NotCharged { why } => {
            println!("{}", paint::stdout("Not charged", paint::RED));
            line("Why", why);
            line("Terminal", poi.as_str());
            line("ServiceID", service.as_str());
        }
        Outcome::NotKnown { why } => {
            let next = format!(
                "ask with TransactionStatus (ServiceID {service}), then look at the terminal's receipt"
            );
            println!("{}: {next}", paint::stdout("Not known", paint::YELLOW));
            line("Why", why);
            line("Terminal", poi.as_str());
            line("ServiceID", service.as_str());
        }
    }
}

/// With its decimals, as a receipt shows it.
pub(crate) fn shown(amount: Amount, currency: &str) -> String {
    if amount.value().scale() < 2 && !WITHOUT_DECIMALS.contains(&currency) {
        format!("{:.2} {currency}", amount.value())
    } else {
        format!("{amount} {currency}")
    }
}

fn amount(text: &str) -> Result<Amount, String> {
    let fits = |amount: &Amount| {
        let value = amount.value().normalize();
        !value.is_zero() && value.is_sign_positive() && value.scale() <= 2
    };
    let amount = Amount::parse(text).ok().filter(fits);
    amount.ok_or_else(|| "expected more than 0, with at most two decimals, such as 10.99".to_owned())
}

fn currency(text: &str) -> Result<String, String> {
    let upper = text.to_ascii_uppercase();
    let fits = upper.len() == 3 && upper.bytes().all(|byte| byte.is_ascii_uppercase());
    if fits { Ok(upper) } else { Err("expected three letters such as EUR".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(body: &str) -> Outcome {
        let header = r#""MessageHeader":{"ProtocolVersion":"3.0","MessageClass":"Service","MessageCategory":"Payment","MessageType":"Response","ServiceID":"1","SaleID":"T","POIID":"V400m-1"}"#;
        let message = format!(r#"{{"SaleToPOIResponse":{{{header},"PaymentResponse":{body}}}}}"#);
        read(&sale::read(message.into_bytes()).unwrap())
    }

    #[test]
    fn a_success_is_charged() {
        let body = r#"{"Response":{"Result":"Success"},"POIData":{"POITransactionID":{"TransactionID":"tx1","TimeStamp":"t"}},"PaymentResult":{"AmountsResp":{"Currency":"EUR","AuthorizedAmount":10.90},"PaymentInstrumentData":{"PaymentInstrumentType":"Card","CardData":{"PaymentBrand":"mc","MaskedPan":"541333 **** 9999"}}}}"#;
        let charged = Outcome::Charged {
            amount: "10.90 EUR".to_owned(),
            card: Some("mc 541333 **** 9999".to_owned()),
            reference: Some("tx1".to_owned()),
        };
        assert_eq!(outcome(body), charged);
    }

    #[test]
    fn a_failure_is_not_charged_and_says_why() {
        let body = r#"{"Response":{"Result":"Failure","ErrorCondition":"Refusal","AdditionalResponse":"refusalReason=210%20Not%20enough%20balance"}}"#;
        assert_eq!(outcome(body), Outcome::NotCharged { why: "Refusal: 210 Not enough balance".to_owned() });
        let body = r#"{"Response":{"Result":"Failure","ErrorCondition":"Busy"}}"#;
        assert_eq!(outcome(body), Outcome::NotCharged { why: "Busy".to_owned() });
    }

    #[test]
    fn silence_is_not_known_and_absence_is_not_charged() {
        let silent = Answer::Rejected("Did not receive a response from the POI.".to_owned());
        assert!(matches!(read(&silent), Outcome::NotKnown { .. }));
        let absent = Answer::Rejected("Failed to send message to POI. There may be".to_owned());
        assert!(matches!(read(&absent), Outcome::NotCharged { .. }));
    }

    #[test]
    fn an_amount_is_more_than_nothing_and_has_two_decimals_at_most() {
        for text in ["10.99", "0.01", "5", "10.900", "1e2"] {
            assert!(amount(text).is_ok(), "{text}");
        }
        for text in ["0", "0.00", "-0", "-5", "10.999", "10,99", "ten", ""] {
            assert!(amount(text).is_err(), "{text}");
        }
    }

    #[test]
    fn an_amount_is_shown_with_the_decimals_of_its_currency() {
        let shown = |text, currency| shown(Amount::parse(text).unwrap(), currency);
        assert_eq!(shown("5", "EUR"), "5.00 EUR");
        assert_eq!(shown("10.9", "USD"), "10.90 USD");
        assert_eq!(shown("10.99", "EUR"), "10.99 EUR");
        assert_eq!(shown("500", "JPY"), "500 JPY");
    }

    #[test]
    fn a_currency_is_three_letters() {
        assert_eq!(currency("eur").unwrap(), "EUR");
        assert!(currency("EURO").is_err() && currency("€").is_err());
    }
}
