//! `Prefer: wait=N` (RFC 7240): a POS that wants to wait for less than the gateway would.

use std::time::Duration;

use axum::http::HeaderMap;
use relay::exchange::WAIT_MAX;

/// How long the POS wants to wait. Only the first preference of that name counts; a value that is not 1 to 150 is none, for
/// a preference is no reason to refuse a payment.
pub(super) fn wait(headers: &HeaderMap) -> Duration {
    let lines = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    let seconds = lines
        .flat_map(preferences)
        .filter_map(|preference| preference.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, value)| value.trim().trim_matches('"').parse::<u64>().ok())
        .filter(|seconds| (1..=WAIT_MAX.as_secs()).contains(seconds));
    seconds.map_or(WAIT_MAX, Duration::from_secs)
}

/// Splits a line at commas, and at semicolons too: strictly, what follows one belongs to the preference before it, but
/// `respond-async; wait=20` can mean only one thing. Neither splits inside of quotes.
fn preferences(line: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    let mut escaped = false;
    line.split(move |c| {
        let is_literal = std::mem::take(&mut escaped);
        match c {
            '\\' if quoted && !is_literal => escaped = true,
            '"' if !is_literal => quoted = !quoted,
            _ => {}
        }
        !quoted && (c == ',' || c == ';')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefer(lines: &[&'static str]) -> Duration {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("Prefer", line.parse().unwrap());
        }
        wait(&headers)
    }

    #[test]
    fn a_pos_may_ask_for_a_shorter_wait() {
        for (lines, seconds) in [
            (&["wait=20"][..], 20),
            (&["respond-async, wait=7"], 7),
            (&["respond-async; wait=7"], 7),
            (&["Wait = \"9\""], 9),
            (&["return=minimal", "wait=1"], 1),
            (&["foo=\"a, wait=5\", wait=6"], 6),
            (&["foo=\"a\\\", wait=5\";wait=6;bar"], 6),
            (&["wait=150"], 150),
        ] {
            assert_eq!(prefer(lines), Duration::from_secs(seconds), "{lines:?}");
        }
    }

    #[test]
    fn a_wait_out_of_range_is_no_preference() {
        for value in ["wait=0", "wait=151", "wait=-1", "wait=1.5", "wait=soon", "waiting=5", "wait", ""] {
            assert_eq!(prefer(&[value]), WAIT_MAX, "{value:?}");
        }
    }

    #[test]
    fn of_two_waits_the_first_counts() {
        assert_eq!(prefer(&["wait=5, wait=9"]), Duration::from_secs(5));
        assert_eq!(prefer(&["wait=soon", "wait=9"]), WAIT_MAX);
    }
}
