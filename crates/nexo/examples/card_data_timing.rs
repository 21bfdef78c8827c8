//! What redaction costs a message that holds no card data: `cargo run --release -p nexo --example card_data_timing`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use nexo::Kept;

const REQUEST: &str = include_str!("payment_request.json");
const ANSWER: &str = include_str!("payment_response.json");

/// The machine may be busy with other things: the quickest of many short rounds is the least disturbed one.
const ROUNDS: usize = 3000;
const PER_ROUND: u32 = 100;

#[expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
fn main() {
    for (name, text) in [("request", REQUEST), ("answer", ANSWER)] {
        let message = Bytes::from_static(text.trim_ascii().as_bytes());
        assert!(!Kept::of(&message).is_changed(), "{name} must hold no card data");
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let start = Instant::now();
            for _ in 0..PER_ROUND {
                black_box(Kept::of(black_box(&message)));
            }
            best = best.min(start.elapsed() / PER_ROUND);
        }
        println!("{name}: {} bytes in {} ns", message.len(), best.as_nanos());
    }
}
