//! Messages as no sane program writes them, and still JSON: members in any order and of unknown names, white space and
//! escapes where nobody expects them, numbers that no float can hold. Whoever re-writes one of them changes it.

use std::fmt::Write as _;

use crate::dice::Dice;

/// What a message says to whoever carries it.
#[derive(Clone, Debug)]
pub(crate) struct Header {
    pub(crate) category: String,
    pub(crate) service_id: String,
    pub(crate) sale_id: String,
    pub(crate) poi_id: String,
}

impl Header {
    /// `{"SaleToPOIRequest":{…}}` with this header and anything as its body.
    pub(crate) fn odd_request(&self, dice: &mut Dice) -> String {
        self.message(dice, "Request")
    }

    /// `{"SaleToPOIResponse":{…}}` that answers such a request.
    pub(crate) fn odd_response(&self, dice: &mut Dice) -> String {
        self.message(dice, "Response")
    }

    fn message(&self, dice: &mut Dice, message_type: &str) -> String {
        let header = [
            ("MessageClass", "Service"),
            ("MessageCategory", &self.category),
            ("MessageType", message_type),
            ("ServiceID", &self.service_id),
            ("SaleID", &self.sale_id),
            ("POIID", &self.poi_id),
        ];
        let mut header: Vec<_> =
            header.iter().map(|(name, text)| (string(dice, name), string(dice, text))).collect();
        if dice.one_in(2) {
            header.push((string(dice, "ProtocolVersion"), string(dice, "3.0")));
        }
        strangers(dice, &mut header);
        let header = object(dice, header);
        let body = object_of_anything(dice, 4);
        let mut members = vec![
            (string(dice, "MessageHeader"), header),
            (string(dice, &format!("{}{message_type}", self.category)), body),
        ];
        strangers(dice, &mut members);
        let message = object(dice, members);
        let mut outer = vec![(string(dice, &format!("SaleToPOI{message_type}")), message)];
        strangers(dice, &mut outer);
        object(dice, outer)
    }
}

/// Members that no specification knows, each name once.
fn strangers(dice: &mut Dice, members: &mut Vec<(String, String)>) {
    for number in 0..dice.roll(3) {
        let name = format!("{}{number}", dice.pick(&["x-", "Grüße ", "💶", "a\"b\\c/", "\u{7f}\t"]));
        members.push((string(dice, &name), value(dice, 2)));
    }
}

fn value(dice: &mut Dice, depth: u64) -> String {
    match dice.roll(if depth == 0 { 6 } else { 8 }) {
        0 => dice.pick(&["true", "false", "null", "{}", "[]", "\"\""]).into(),
        1 | 2 => number(dice),
        3 => format!("\"{}\"", dice.pick(&["\\ud800", "\\uDFFF\\ud83d", "\\u0000", "\\/\\b\\f\\n\\r\\t"])),
        4 | 5 => {
            let text = dice.pick(&[
                "",
                "10.99 €",
                "name=TOTAL&value=%e2%82%ac",
                "漢字 ߷ 👩‍👩‍👧",
                "</script>",
                "\u{2028}\u{feff}",
            ]);
            string(dice, text)
        }
        6 => object_of_anything(dice, depth - 1),
        _ => {
            let items: Vec<_> = (0..dice.roll(5)).map(|_| value(dice, depth - 1)).collect();
            bracketed(dice, '[', &items, ']')
        }
    }
}

fn object_of_anything(dice: &mut Dice, depth: u64) -> String {
    let members = (0..dice.roll(6)).map(|_| {
        // The same name twice is nobody's business this far inside.
        let name = dice.pick(&["", "Amount", "amount", "Response", "é", "\\", "__proto__", "a.b.c"]);
        (string(dice, name), value(dice, depth))
    });
    let members = members.collect();
    object(dice, members)
}

fn number(dice: &mut Dice) -> String {
    let digits: String = (0..=dice.roll(40)).map(|_| dice.roll(10).to_string()).collect();
    match dice.roll(5) {
        0 => dice
            .pick(&["1e2", "1E+2", "1e-2", "-0", "-0.0", "0e0", "10.990", "1.0", "1e400", "5e-324"])
            .into(),
        1 => format!("1{digits}"),
        2 => format!("0.{digits}"),
        3 => format!("-1{digits}.{digits}E{}", dice.roll(99)),
        _ => dice.roll(1_000_000).to_string(),
    }
}

/// A text with escapes that it doesn't need.
fn string(dice: &mut Dice, text: &str) -> String {
    let mut json = String::from("\"");
    let every = dice.pick(&["never", "some", "some", "all"]);
    for character in text.chars() {
        let escaped = every == "all" || every == "some" && dice.one_in(6);
        match character {
            '"' | '\\' if !escaped => json.extend(['\\', character]),
            _ if escaped || character < ' ' => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    let hex = if dice.one_in(2) { format!("{unit:04x}") } else { format!("{unit:04X}") };
                    write!(json, "\\u{hex}").expect("a String takes everything");
                }
            }
            _ => json.push(character),
        }
    }
    json + "\""
}

/// These members in any order.
fn object(dice: &mut Dice, mut members: Vec<(String, String)>) -> String {
    let mut shuffled = Vec::new();
    while !members.is_empty() {
        let sides = u64::try_from(members.len()).expect("a short list");
        let (name, value) = members.swap_remove(usize::try_from(dice.roll(sides)).expect("an index"));
        shuffled.push([name, space(dice), ":".into(), space(dice), value].concat());
    }
    bracketed(dice, '{', &shuffled, '}')
}

fn bracketed(dice: &mut Dice, open: char, items: &[String], close: char) -> String {
    let mut json = format!("{open}{}", space(dice));
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            json.push(',');
            json += &space(dice);
        }
        json += item;
        json += &space(dice);
    }
    json.push(close);
    json
}

fn space(dice: &mut Dice) -> String {
    if dice.one_in(3) {
        (0..dice.roll(4)).map(|_| dice.pick(&[" ", "\t", "\n", "\r\n"])).collect()
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_odd_message_is_read_with_the_header_that_was_meant() {
        let mut dice = Dice(7);
        let header = Header {
            category: "Payment".into(),
            service_id: "7f3A91".into(),
            sale_id: "TILL-04".into(),
            poi_id: "V400m-324688179".into(),
        };
        let mut seen = BTreeSet::new();
        for number in 0..2_000 {
            let json = header.odd_request(&mut dice);
            let request = nexo::Request::parse(json.clone().into())
                .unwrap_or_else(|e| panic!("{number}: {e} in {json}"));
            assert_eq!(request.header().poi_id.as_str(), header.poi_id);
            assert_eq!(request.header().sale_id.as_str(), header.sale_id);
            let json = header.odd_response(&mut dice);
            let response = nexo::Response::parse(json.clone().into())
                .unwrap_or_else(|e| panic!("{number}: {e} in {json}"));
            assert_eq!(response.header().poi_id.as_str(), header.poi_id);
            for oddity in ["\\u", "1e2", "\\ud800", ".990", "1e400", "\n", "\t", "💶"] {
                seen.extend(json.contains(oddity).then_some(oddity));
            }
        }
        assert_eq!(seen.len(), 8, "only {seen:?} came up");
    }
}
