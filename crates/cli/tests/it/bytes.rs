//! A message travels byte for byte, both ways, and so it is kept.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use futures_util::{StreamExt as _, stream};
use nexo::Request;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::dice::Dice;
use crate::gateway_process::{GatewayProcess, POI};
use crate::odd_json::Header;
use crate::wire_terminal::WireTerminal;

const MESSAGES: usize = 1_000;

/// Requests that are under way at once: under the eight that a terminal may have.
const AT_ONCE: usize = 6;

/// How many of the payments are asked for after the restart.
const ASKED_FOR: usize = 100;

const CATEGORIES: [&str; 6] = ["Payment", "Payment", "Reversal", "StoredValue", "BalanceInquiry", "Print"];

#[tokio::test]
async fn odd_messages_travel_byte_for_byte_and_so_does_their_repetition_after_a_restart() {
    let seed = Dice::seed();
    let mut gateway = GatewayProcess::start().await;
    let pos = gateway.pos(POI);
    let code = gateway.boarding_code(POI).await;
    let link = WireTerminal::board(&gateway.base_url(), POI, &code, "j_1").await.welcomed(1, "p_1").await;

    // What came to the terminal, and what it answered, by ServiceID.
    let exchanged = Arc::new(Mutex::new(HashMap::new()));
    let (came, mut dice) = (exchanged.clone(), Dice(!seed));
    tokio::spawn(link.serve(move |request| {
        let parsed = Request::parse(request.to_owned().into()).expect("a request");
        let service = parsed.service_id().as_str().to_owned();
        let response = header(parsed.header().category.as_str(), &service).odd_response(&mut dice);
        came.lock().expect("no panic").insert(service, (request.to_owned(), response.clone()));
        response
    }));

    let mut dice = Dice(seed);
    let requests = (0..MESSAGES).map(|number| {
        let category = CATEGORIES[number % CATEGORIES.len()];
        let service = format!("m{number}");
        let mut request = header(category, &service).odd_request(&mut dice);
        if number % 100 == 99 {
            // Nearly as long as a body may be.
            let filler = format!("{{ \"filler\" :\"{}\",", "é".repeat(50_000));
            request = request.replacen('{', &filler, 1);
        }
        (service, request)
    });
    let requests: Vec<_> = requests.collect();
    let calls = requests.iter().map(async |(service, request)| {
        // White space around a message is not part of it.
        let answer = pos.send(&format!("\r\n\t {request} \n")).await;
        let (status, answer) = answer.expect("an answer");
        assert_eq!(status, 200, "{service} of seed {seed}");
        let (came, answered) =
            exchanged.lock().expect("no panic").get(service).cloned().unwrap_or_else(|| {
                panic!("{service} of seed {seed} did not arrive: {}", String::from_utf8_lossy(&answer));
            });
        assert_eq!(came, *request, "{service} of seed {seed}, to the terminal");
        assert_eq!(String::from_utf8_lossy(&answer), answered, "{service} of seed {seed}, to the POS");
    });
    let done = stream::iter(calls).buffer_unordered(AT_ONCE).count().await;
    assert_eq!(done, MESSAGES);

    gateway.kill();
    gateway.start_again().await;
    let payments =
        requests.iter().enumerate().filter(|(number, _)| CATEGORIES[number % CATEGORIES.len()] == "Payment");
    for (_, (service, _)) in payments.take(ASKED_FOR) {
        let (_, answered) = exchanged.lock().expect("no panic")[service].clone();
        let (status, answer) = pos.send(&pos.status_request(service)).await.expect("an answer");
        assert_eq!(status, 200);
        assert_repeats(&String::from_utf8_lossy(&answer), &answered, &format!("{service} of seed {seed}"));
    }
}

/// Whether a TransactionStatusResponse holds all of a response, each part with its very bytes.
fn assert_repeats(answer: &str, response: &str, what: &str) {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Status {
        repeated_message_response: Repeated,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Repeated {
        message_header: Box<RawValue>,
        repeated_response_message_body: Members,
    }
    let mut wanted = members_of(response);
    let answer = members_of(answer);
    let status = answer.get("TransactionStatusResponse").expect("a status").get();
    let Status { repeated_message_response: found } =
        serde_json::from_str(status).unwrap_or_else(|error| panic!("{what}: {error} in {status}"));
    let header = wanted.remove("MessageHeader").expect("a header");
    assert_eq!(found.message_header.get(), header.get(), "{what}, header");
    let found = found.repeated_response_message_body;
    assert!(found.keys().eq(wanted.keys()), "{what}, members");
    for (name, value) in wanted {
        assert_eq!(found[&name].get(), value.get(), "{what}, {name}");
    }
}

/// The members of an object, each value as it is written.
type Members = BTreeMap<String, Box<RawValue>>;

/// What is in `SaleToPOIResponse`.
fn members_of(response: &str) -> Members {
    #[derive(Deserialize)]
    struct Outer {
        #[serde(rename = "SaleToPOIResponse")]
        message: Members,
    }
    serde_json::from_str::<Outer>(response).unwrap_or_else(|error| panic!("{error} in {response}")).message
}

fn header(category: &str, service: &str) -> Header {
    Header {
        category: category.into(),
        service_id: service.into(),
        sale_id: "TILL-04".into(),
        poi_id: POI.into(),
    }
}
