//! Times as people read them.

use jiff::Timestamp;

/// Now, RFC 3339 in UTC with seconds: `2026-11-20T09:15:02Z`.
pub(crate) fn now() -> String {
    format!("{:.0}", Timestamp::now())
}

/// The time of day, UTC: `09:15:02Z`.
pub(crate) fn time_of_day() -> String {
    now().split_once('T').map(|(_, time)| time.to_owned()).unwrap_or_default()
}

/// An RFC 3339 time without its fraction of a second.
pub(crate) fn whole_seconds(text: &str) -> String {
    text.parse::<Timestamp>().map_or_else(|_| text.to_owned(), |at| format!("{at:.0}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_shown_without_its_fraction() {
        assert_eq!(whole_seconds("2026-11-20T09:15:02.118Z"), "2026-11-20T09:15:02Z");
        assert_eq!(whole_seconds("soon"), "soon");
        assert_eq!(time_of_day().len(), 9);
    }
}
