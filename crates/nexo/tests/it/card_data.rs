//! What redaction takes out of messages, and what it leaves.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE};
use bytes::Bytes;
use nexo::{Kept, KeptText, holds_card_data};

use crate::numbers::{Numbers, with_check_digit};

fn kept(text: &str) -> String {
    let kept = Kept::of(&Bytes::copy_from_slice(text.as_bytes()));
    let now = String::from_utf8(kept.bytes().to_vec()).unwrap();
    assert_eq!(kept.is_changed(), now != text, "{text}");
    now
}

fn stays(text: &str) {
    assert_eq!(kept(text), text);
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

#[test]
fn a_message_without_card_data_is_not_copied() {
    let message = Bytes::from_static(br#"{"SaleToPOIRequest":{"a":"1795165200000"}}"#);
    let kept = Kept::of(&message);
    assert_eq!(kept.bytes().as_ptr(), message.as_ptr());
    assert!(!kept.is_changed());
    assert_eq!(format!("{kept:?}"), "Kept { bytes: 42, is_changed: false }");
}

#[test]
fn members_that_are_card_data_by_name_go_whatever_they_hold() {
    for name in [
        "cvc",
        "cvcCode",
        "cvv_code",
        "csc",
        "CVV",
        "cvc2",
        "Cvv2",
        "securityCode",
        "CardSecurityCode",
        "pinBlock",
        "track1",
        "TRACK2",
        "trackData",
        "TrackData",
        "SensitiveCardData",
        r"\u0063vc",
    ] {
        for value in [r#""123""#, "123", r#"{"a":["}",{"b":1}]}"#, r#"["a","b"]"#, r#""a\"b""#] {
            for blank in ["", " ", "\n\t"] {
                assert_eq!(
                    kept(&format!(r#"{{"a":1,"{name}"{blank}:{blank}{value},"b":"c"}}"#)),
                    format!(r#"{{"a":1,"{name}"{blank}:{blank}"[card data removed]","b":"c"}}"#)
                );
            }
        }
        for nothing in ["null", "\"\"", "{}", "[]", "true", "false"] {
            stays(&format!(r#"{{"{name}":{nothing}}}"#));
        }
    }
    stays(r#"{"cvcResult":"1 Matches","trackingNumber":"123"}"#);
}

#[test]
fn keys_of_forms_and_receipt_lines_that_are_card_data_by_name_go() {
    for (text, left) in [
        ("a=b&cvc=123&d=e", "a=b&cvc=%5Bcard%20data%20removed%5D&d=e"),
        ("card.cvc=12%203&d=e", "card.cvc=%5Bcard%20data%20removed%5D&d=e"),
        ("%63vc=123", "%63vc=%5Bcard%20data%20removed%5D"),
        ("name=CVC&value=123&key=cvc", "name=CVC&value=%5Bcard%20data%20removed%5D&key=cvc"),
        (
            "name=Security%20code&value=123&key=x",
            "name=Security%20code&value=%5Bcard%20data%20removed%5D&key=x",
        ),
        ("cvc: 123 given", "cvc: [card data removed] given"),
        ("(securityCode=123", "(securityCode=[card data removed]"),
    ] {
        assert_eq!(
            KeptText::of(text).as_str(),
            left.replace("(securityCode=[card data removed]", "(securityCode=%5Bcard%20data%20removed%5D")
        );
        assert_eq!(kept(&format!(r#"{{"AdditionalResponse":"{text}"}}"#)).matches("removed").count(), 1);
    }
    let inner = STANDARD.encode(r#"{"a":"b","cvc":"123"}"#);
    let left = STANDARD.encode(r#"{"a":"b","cvc":"[card data removed]"}"#);
    assert_eq!(kept(&format!(r#"{{"x":"{inner}"}}"#)), format!(r#"{{"x":"{left}"}}"#));
}

#[test]
fn broken_messages_lose_the_same() {
    for (text, left) in [
        (r#"{"cvc":"123"#, r#"{"cvc":"[card data removed]"#),
        (r#"{"a":x,"cvc" : 123,"b":1}"#, r#"{"a":x,"cvc" : [card data removed],"b":1}"#),
        (r#"{"SensitiveCardData":{"PAN":"x","b":["#, r#"{"SensitiveCardData":[card data removed]"#),
        (r#"{"a":"4111111111111111"#, r#"{"a":"[card number removed]"#),
        (r#"{"a":4111111111111111,,}"#, r#"{"a":[card number removed],,}"#),
        (r#"{"a":"\u00344111111111111 11""#, r#"{"a":"\u00344111111111111 11""#),
        (r#"{"a":"\u0034111111111111111","#, r#"{"a":"[card number removed]","#),
        (r#"{"pspReference":"4111111111111111""#, r#"{"pspReference":"4111111111111111""#),
    ] {
        assert_eq!(kept(text), left);
    }
    let bytes: Vec<u8> = r#"{"a":"4111111111111111"}"#.encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(Kept::of(&bytes.into()).is_changed(), "UTF-16");
    assert!(Kept::of(&Bytes::from_static(b"\xff\xfe 4111111111111111 \xe9")).is_changed(), "no UTF-8");
}

#[test]
fn a_mark_stands_in_the_encoding_of_its_place() {
    for (text, left) in [
        (r#"{"a":4111111111111111}"#, r#"{"a":"[card number removed]"}"#),
        (r#"{"a":4.111111111111111e15}"#, r#"{"a":"[card number removed]"}"#),
        (r#"[4111111111111111.0,1]"#, r#"["[card number removed]",1]"#),
        (r#"{"a":"x 4111 1111 1111 1111."}"#, r#"{"a":"x [card number removed]."}"#),
        (r#"{"a":"\u0034111111111111111"}"#, r#"{"a":"[card number removed]"}"#),
        (r#"{"a":"4111\/1111\/1111\/1111"}"#, r#"{"a":"[card number removed]"}"#),
        (r#"{"a":"m=4111+1111%201111+1111&b=c"}"#, r#"{"a":"m=%5Bcard%20number%20removed%5D&b=c"}"#),
        (r#"{"a":"%34111111111111111"}"#, r#"{"a":"%5Bcard%20number%20removed%5D"}"#),
        (r#"{"a":"{\"b\":4111111111111111}"}"#, r#"{"a":"{\"b\":\"[card number removed]\"}"}"#),
        (r#"{"4111111111111111":1}"#, r#"{"[card number removed]":1}"#),
        (r#""4111111111111111""#, r#""[card number removed]""#),
        ("4111111111111111", r#""[card number removed]""#),
        (r#"{"a":"%B4111111111111111^DOE/JOHN^2512101?"}"#, r#"{"a":"[track data removed]"}"#),
    ] {
        assert_eq!(kept(text), left);
    }
    assert_eq!(KeptText::of("4111111111111111").as_str(), "[card number removed]");
    for text in
        ["4111 - 1111 - 1111 - 1111", "(4111)(1111)(1111)(1111)", "4111%26nbsp%3b1111&nbsp;1111%20%201111"]
    {
        assert!(kept(text).contains("removed") && holds_card_data(text), "{text}");
    }
    assert!(holds_card_data("4111-1111-1111-1111") && !holds_card_data("TILL-04"));
}

#[test]
fn what_is_in_a_reference_stays_and_a_track_goes_all_the_same() {
    for name in [
        "TransactionID",
        "pspReference",
        "tenderReference",
        "POIReconciliationID",
        "POIID",
        "SaleID",
        "ServiceID",
        "iccid",
        "serialNumber",
        "TimeStamp",
        "DeviceID",
        "TerminalID",
        "AcquirerID",
        "MerchantID",
        "ApprovalCode",
    ] {
        stays(&format!(r#"{{"{name}":"4111111111111111","b":["x"]}}"#));
        stays(&format!(r#"{{"{name}":4111111111111111}}"#));
        stays(&format!(r#"{{"a":"x=y&{name}=4111111111111111&z"}}"#));
        stays(&format!(r#"{{"Text":"name=x&value=4111111111111111&key={name}"}}"#));
        let inner = STANDARD.encode(format!(r#"{{"{name}":"4111111111111111"}}"#));
        stays(&format!(r#"{{"a":"{inner}"}}"#));
        assert!(kept(&format!(r#"{{"{name}":";4111111111111111=2512101?"}}"#)).contains("removed"));
    }
}

#[test]
fn line_breaks_in_base64_hide_nothing() {
    let breaks = [
        ("\r\n", "\r\n"),
        ("\n", "\\n"),
        ("\r\n", "\\r\\n"),
        ("\r\n", "\\u000d\\u000A"),
        ("\t", "\\t"),
        (" ", " "),
        ("\r\n", "%0d%0A"),
        ("\r\n ", "\\\\r\\\\n "),
    ];
    for offset in 0..120 {
        let filler =
            |count: usize| "some text of a receipt, ".chars().cycle().take(count).collect::<String>();
        let text = format!("{}4111111111111111{}", filler(offset), filler(150 - offset));
        for columns in [16, 19, 64, 76] {
            let encoded = STANDARD.encode(&text).into_bytes();
            let lines: Vec<&str> =
                encoded.chunks(columns).map(|line| std::str::from_utf8(line).unwrap()).collect();
            for (plain, written) in breaks {
                for (before, after) in [("", ""), ("x=y&message=", "&z"), ("attached V400m-", " and so on")] {
                    for text in [
                        format!("{before}{}{after}", lines.join(plain)),
                        format!("{{\"a\":\"{before}{}{after}\"}}", lines.join(written)),
                    ] {
                        let left = kept(&text);
                        assert_ne!(left, text, "{offset}, {columns}, {written}");
                        // Bare line breaks are not well-formed, and go.
                        assert!(is_json(&left) || !is_json(&text), "{left}");
                        assert_eq!(kept(&left), left, "once more changes nothing");
                    }
                }
            }
        }
    }
    stays("8825408195409505 was refused by the issuer, so ask the shopper for another card");
}

#[test]
fn an_encrypted_message_stays() {
    let mut numbers = Numbers::new(7);
    for length in [16, 48, 160, 1024] {
        for _ in 0..200 {
            let cipher: Vec<u8> = (0..length).map(|_| u8::try_from(numbers.below(256)).unwrap()).collect();
            let (blob, hmac) = (STANDARD.encode(&cipher), STANDARD.encode(&cipher[..16]));
            stays(&format!(
                r#"{{"SaleToPOIRequest":{{"NexoBlob":"{blob}","SecurityTrailer":{{"AdyenCryptoVersion":1,"Hmac":"{hmac}","Nonce":"{hmac}"}}}}}}"#
            ));
        }
    }
    let cipher = STANDARD.encode([&[0x9C; 24], b"4111111111111111".as_slice()].concat());
    stays(&format!(r#"{{"NexoBlob":"{cipher}"}}"#));
    let clear = format!(r#"{{"NexoBlob":"{}"}}"#, STANDARD.encode("card 4111111111111111"));
    assert_ne!(kept(&clear), clear, "no ciphertext");
}

/// How many to try: the whole count unless asked for more or fewer.
fn count(name: &str, usual: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Writes a text into a JSON string in one of many ways.
fn disguised(numbers: &mut Numbers, text: &str) -> String {
    let percent = |text: &str, all: bool| {
        text.bytes().fold(String::new(), |mut out, byte| {
            match all || !byte.is_ascii_alphanumeric() {
                true => write!(out, "%{byte:02x}").unwrap(),
                false => out.push(char::from(byte)),
            }
            out
        })
    };
    let quoted = |text: &str| {
        let text = serde_json::to_string(text).unwrap();
        text[1..text.len() - 1].to_owned()
    };
    match numbers.below(12) {
        0 => quoted(text),
        1 => quoted(&format!("Paid with {text}, thanks")),
        2 => text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
        3 => quoted(text).replace('/', "\\/"),
        4 => format!("message={}&errors=none", percent(text, false)),
        5 => percent(text, true),
        6 => format!("name=Info&value={}&key=info", percent(text, false).replace("%20", "+")),
        7 => STANDARD.encode(text),
        8 => URL_SAFE.encode(format!("message={}", percent(text, false))),
        9 => STANDARD_NO_PAD.encode(format!(r#"{{"additionalData":{{"a":"{}"}}}}"#, quoted(text))),
        10 => quoted(&format!(r#"{{"nested":"{}"}}"#, quoted(text))),
        _ => STANDARD.encode(format!(r#"{{"SaleToAcquirerData":"{}"}}"#, STANDARD.encode(text))),
    }
}

#[test]
fn a_hundred_thousand_card_numbers_and_tracks_leave_nothing_behind() {
    const PER_MESSAGE: usize = 50;
    const FIELDS: [&str; 8] = [
        "AdditionalResponse",
        "SaleToAcquirerData",
        "Text",
        "EventDetails",
        "SaleReferenceID",
        "ProductLabel",
        "message",
        "RejectedMessage",
    ];
    let mut numbers = Numbers::new(1);
    for _ in 0..count("TILLGATE_CARD_NUMBERS", 100_000) / PER_MESSAGE {
        let secrets: Vec<String> = (0..PER_MESSAGE)
            .map(|_| match numbers.below(3) {
                0 => numbers.card(),
                1 => numbers.card_in_groups(),
                _ => numbers.track(),
            })
            .collect();
        let members: Vec<String> = secrets
            .iter()
            .map(|secret| format!(r#""{}":"{}""#, numbers.one_of(&FIELDS), disguised(&mut numbers, secret)))
            .collect();
        let whole = format!(r#"{{"SaleToPOIRequest":{{{}}}}}"#, members.join(","));
        for text in [whole.clone(), whole.replace('{', "{,")] {
            let left = kept(&text);
            assert_eq!(is_json(&left), is_json(&text));
            // A member each that still says what it said, but for the card data.
            for (member, secret) in members.iter().zip(&secrets) {
                assert!(!left.contains(member.as_str()), "{secret} in {member}");
            }
            assert_eq!(opened(&left).matches("removed").count(), PER_MESSAGE, "{left}");
            assert_eq!(kept(&left), left, "once more changes nothing");
        }
    }
}

/// The text and what is in it in Base64.
fn opened(text: &str) -> String {
    let mut all = text.to_owned();
    for part in text.split(|c: char| !c.is_ascii_alphanumeric() && !"+/-_=".contains(c)) {
        let inner = STANDARD
            .decode(part)
            .or_else(|_| URL_SAFE.decode(part))
            .or_else(|_| STANDARD_NO_PAD.decode(part));
        if let Some(inner) = inner
            .ok()
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .filter(|t| t.contains(['{', '=']) || t.contains('['))
        {
            all += &opened(&inner);
        }
    }
    all
}

#[test]
fn a_million_references_serials_and_times_stay_as_they_are() {
    const PER_MESSAGE: usize = 100;
    let mut numbers = Numbers::new(2);
    for _ in 0..count("TILLGATE_REFERENCES", 1_000_000) / PER_MESSAGE {
        let mut text = String::from(r#"{"SaleToPOIResponse":{"#);
        for index in 0..PER_MESSAGE {
            let clock = format!(
                "20{}-{:02}-{:02}T{:02}:{:02}:{:02}.{}",
                20 + numbers.below(20),
                1 + numbers.below(12),
                1 + numbers.below(28),
                numbers.below(24),
                numbers.below(60),
                numbers.below(60),
                numbers.digits(3)
            );
            let (name, value) = match index % 14 {
                0 => ("pspReference", numbers.digits(16)),
                1 => ("TransactionID", format!("BV0q00{}.{}", numbers.digits(13), numbers.digits(16))),
                2 => ("tenderReference", numbers.digits(16)),
                3 => ("iccid", with_check_digit(format!("89{}", numbers.digits(16)))),
                4 => ("serialNumber", numbers.digits(15)),
                5 => ("TransactionID", numbers.card()),
                6 => ("EventDetails", format!("pspReference={}&TimeStamp={clock}Z", numbers.digits(16))),
                7 => ("Text", format!("name=Ref&value={}&key=txRef", numbers.card())),
                // In free text, with nothing that says what they are.
                8 => ("a", format!("S1F2-000{}", numbers.digits(12))),
                9 => ("a", format!("V400m-{}", numbers.digits(9))),
                10 => ("a", with_check_digit(format!("89{}", numbers.digits(17)))),
                11 => ("a", format!("at {clock}{}Z", numbers.digits(6))),
                12 => (
                    "a",
                    format!(
                        "{} {}",
                        clock.replace('T', " "),
                        1_700_000_000_000 + numbers.below(299_999_999_999)
                    ),
                ),
                _ => ("a", format!("{:016x}{:016x}", numbers.below(usize::MAX), numbers.below(usize::MAX))),
            };
            write!(text, r#""{name}":"{value}","#).unwrap();
        }
        text += r#""z":0}}"#;
        let message = Bytes::from(text);
        let kept = Kept::of(&message);
        if kept.is_changed() {
            let left = String::from_utf8_lossy(kept.bytes()).into_owned();
            let before = String::from_utf8_lossy(&message).into_owned();
            let differs = before.split(',').zip(left.split(',')).find(|(a, b)| a != b);
            panic!("{differs:?}");
        }
    }
}
