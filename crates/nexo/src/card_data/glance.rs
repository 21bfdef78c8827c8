//! A first look at a message, cheap enough for every one: may it hold card data at all?
//!
//! It is never wrong in saying no. Where it says yes, which it may do too often, the message is read properly.

use super::base64_text::{self, RUN_MIN, begins_like_text, is_base64};
use super::digits::{Chain, Escapes, SEPARATORS_MAX, Token, hex, token};
use super::issuer::DIGITS_MIN;
use super::track::may_follow_number;

/// Texts in Base64 that are longer are read properly without a look into them.
const DECODED_MAX: usize = 4096;

/// The rest of `\uXXXX`, and three bytes more to find out where a group of Base64 begins.
const ESCAPE_MAX: usize = 8;

/// How many texts in Base64 within one another are looked into.
const NESTED_MAX: usize = 2;

/// How much Base64 is looked into for each byte of the message; a message with more is read properly.
const DECODED_PER_BYTE: usize = 4;

/// Whether a message has to be read properly.
pub(super) fn may_hold_card_data(text: &[u8]) -> bool {
    glance(text, NESTED_MAX, &mut (DECODED_PER_BYTE * text.len()))
}

fn glance(text: &[u8], nested: usize, looks: &mut usize) -> bool {
    has_hidden_letters(text)
        || has_entity(text)
        || has_name(text)
        || has_number(text)
        || has_base64(text, nested, looks)
}

/// Escapes of characters that need none, digits and letters of ASCII above all; zeros, as in UTF-16; and card numbers
/// that begin as an escape would.
fn has_hidden_letters(text: &[u8]) -> bool {
    memchr::memchr3_iter(b'\\', b'%', 0, text).any(|at| match text[at] {
        b'\\' => {
            text.get(at + 1) == Some(&b'u') && {
                let code = hex(text, at + 2, 4);
                code.is_some_and(|code| (0x20..0x7F).contains(&code) || code >= 0xFF10)
                    || (at + 2..at + 6).any(|at| has_number_at(text, at))
            }
        }
        // Also what digits of other scripts begin with.
        b'%' => match hex(text, at + 1, 2) {
            Some(0xD9 | 0xDB | 0xEF) => true,
            code => {
                code.and_then(char::from_u32).is_some_and(|char| char.is_ascii_alphanumeric())
                    || has_number_at(text, at + 1)
                    || has_number_at(text, at + 2)
            }
        },
        _ => true,
    }) || memchr::memchr_iter(b'^', text).any(|at| at > 0 && text[at - 1].is_ascii_digit())
}

/// A no-break space as pages write it: it takes so much room that the digits beside it are not dense enough to be seen.
fn has_entity(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"nbsp").is_some()
}

/// Whether a card number stands here without any escapes.
fn has_number_at(text: &[u8], at: usize) -> bool {
    let may_be = text.get(at..at + DIGITS_MIN).is_some_and(|head| {
        head[0].is_ascii_digit() && head.iter().filter(|b| b.is_ascii_digit()).count() > DIGITS_MIN / 2
    });
    let mut is_found = false;
    if may_be {
        Chain::new().read(text, at, Escapes::None, |_| is_found = true);
    }
    is_found
}

/// A name under which card data stands: three of its letters are looked for, and the rest where these are.
fn has_name(text: &[u8]) -> bool {
    let (Some(second), Some(third)) = (text.get(1..), text.get(2..)) else { return false };
    let whole = third.len() / BLOCK * BLOCK;
    let mut blocks = text.as_chunks().0.iter().zip(second.as_chunks().0).zip(third.as_chunks().0).enumerate();
    blocks.any(|(index, ((a, b), c))| {
        has_letters(a, b, c) && (index * BLOCK..(index + 1) * BLOCK).any(|at| is_name(text, at))
    }) || (whole..third.len()).any(|at| is_name(text, at))
}

/// Bytes that are looked at together: a compiler makes a few instructions of a loop over them.
const BLOCK: usize = 32;

/// Whether three letters in a row are `cvc`, `cvv` or `csc`, or of `track`, `block`, `security` or `sensitive`.
fn has_letters(a: &[u8; BLOCK], b: &[u8; BLOCK], c: &[u8; BLOCK]) -> bool {
    let mut found = false;
    for at in 0..BLOCK {
        let (a, b, c) = (a[at] | 0x20, b[at] | 0x20, c[at] | 0x20);
        found |= (a == b'c') & (b == b'v') & ((c == b'c') | (c == b'v'));
        found |= (a == b'c') & (b == b's') & (c == b'c');
        found |= ((a == b'a') | (a == b'o')) & (b == b'c') & (c == b'k');
        found |= (a == b'i') & (b == b't') & (c == b'y');
        found |= (a == b't') & (b == b'i') & (c == b'v');
    }
    found
}

/// Whether one of the names has the three letters that are looked for here.
fn is_name(text: &[u8], at: usize) -> bool {
    let is = |back: usize, word: &[u8]| {
        let start = at.checked_sub(back);
        start
            .and_then(|start| text.get(start..start + word.len()))
            .is_some_and(|w| w.eq_ignore_ascii_case(word))
    };
    match text[at + 1] | 0x20 {
        b'v' => (is(0, b"cvc") || is(0, b"cvv")) && is_word(text, at, at + 3),
        b's' => is(0, b"csc") && is_word(text, at, at + 3),
        b'c' => is(2, b"track") || is(2, b"block"),
        b't' => is(5, b"security"),
        b'i' => is(5, b"sensitive"),
        _ => false,
    }
}

/// Whether what stands here may be a word of its own, rather than part of a longer one such as `cvcResult`.
fn is_word(text: &[u8], start: usize, end: usize) -> bool {
    let is_letter = |at: usize| text.get(at).is_some_and(u8::is_ascii_alphabetic);
    let is_escaped = |length: usize, lead: u8| start.checked_sub(length).is_some_and(|at| text[at] == lead);
    let begins = start == 0
        || !text[start - 1].is_ascii_alphanumeric()
        || text[start].is_ascii_uppercase()
        || is_escaped(2, b'\\')
        || is_escaped(3, b'%')
        || is_escaped(6, b'\\');
    let is_code = |at: usize| text.get(at..at + 4).is_some_and(|w| w.eq_ignore_ascii_case(b"code"));
    begins && (!is_letter(end) || is_code(end))
}

/// A card number or a track. Only where two blocks hold so many digits that 13 of them may be in a row, with what may
/// stand between them, the text is read.
fn has_number(text: &[u8]) -> bool {
    // A row that is longer than a block has escapes or characters of several bytes in it, most of which count too.
    const DIGITS_OF_TWO: u8 = 13;
    let (blocks, rest) = text.as_chunks::<BLOCK>();
    let mut counts =
        blocks.iter().map(|block| digits_in(block)).chain([digits_in(rest)]).chain([0]).enumerate();
    let mut done = 0;
    let mut row_end = 0;
    let Some((_, mut here)) = counts.next() else { return false };
    for (index, next) in counts {
        let start = (index - 1) * BLOCK;
        if here + next >= DIGITS_OF_TWO && start + BLOCK > done {
            match read_numbers(text, done.max(whole_from(text, start)), start + BLOCK, &mut row_end) {
                None => return true,
                Some(end) => done = end,
            }
        }
        here = next;
    }
    false
}

/// Digits, bytes of characters beyond ASCII, which may be digits or stand between them, and what begins an escape.
fn digits_in(block: &[u8]) -> u8 {
    let is_digit = |byte: &u8| u8::from(byte.wrapping_sub(b'0') < 10) | byte >> 7 | u8::from(*byte == b'\\');
    block.iter().map(is_digit).fold(0, u8::wrapping_add)
}

/// The start of the escape or character that goes on at `at`.
fn whole_from(text: &[u8], at: usize) -> usize {
    let is_lead = |back: usize| match text[at - back] {
        b'%' => back <= 2,
        b'\\' => back == 1 || text[at - back + 1] == b'u',
        0xC0.. => back <= 3,
        _ => false,
    };
    at - (1..=at.min(5)).find(|back| is_lead(*back)).unwrap_or(0)
}

/// Reads the rows of digits that begin before `end`. Returns where to go on; nothing if one may be card data. Up to
/// `row_end` the digits are counted already: a long row may be many chains, and is counted once.
fn read_numbers(text: &[u8], mut at: usize, end: usize, row_end: &mut usize) -> Option<usize> {
    let mut chain = Chain::new();
    // Escaped digits have been looked for before.
    let begins = |byte: &u8| byte.is_ascii_digit() || *byte >= 0x80;
    while let Some(skipped) = text.get(at..end.min(text.len())).and_then(|t| t.iter().position(begins)) {
        at = whole_from(text, at + skipped).max(at);
        if at >= *row_end {
            let (count, next) = count_digits(text, at);
            if count < DIGITS_MIN {
                at = next;
                continue;
            }
            *row_end = next;
        }
        let mut is_found = false;
        // The same row again, and now with its digits in hand.
        at = chain.read(text, at, Escapes::Any, |_| is_found = true);
        if is_found || chain.ended_in.is_some_and(|end| may_follow_number(text, end)) {
            return None;
        }
    }
    Some(at)
}

/// How many digits stand in the row that begins here, and where it is over. A clock's colon ends none here.
fn count_digits(text: &[u8], mut at: usize) -> (usize, usize) {
    let mut count = 0;
    let mut separators = SEPARATORS_MAX;
    while let Some(&byte) = text.get(at) {
        if byte.wrapping_sub(b'0') < 10 {
            count += 1;
            separators = 0;
            at += 1;
            continue;
        }
        let (token, length) = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'"' | b'{' | b'}' | b'=' | b'&' => (Token::Other, 1),
            _ => token(text, at, Escapes::Any),
        };
        at += length;
        match token {
            Token::Digit(_) => {
                count += 1;
                separators = 0;
            }
            Token::Separator | Token::Colon if separators < SEPARATORS_MAX => separators += 1,
            _ => break,
        }
    }
    (count, at)
}

/// A text in Base64 that may hold card data.
fn has_base64(text: &[u8], nested: usize, looks: &mut usize) -> bool {
    let mut start = 0;
    // Backwards through the fewest bytes that matter: one that is no Base64 moves them all behind it.
    while let Some(window) = text.get(start..start + RUN_MIN) {
        if let Some(at) = window.iter().rposition(|b| !is_base64(*b)) {
            start += at + 1;
            continue;
        }
        let length = RUN_MIN + text[start + RUN_MIN..].iter().take_while(|b| is_base64(**b)).count();
        let run = &text[start..start + length];
        // Behind an escape the run may begin with the rest of it, or in the middle of the Base64.
        let is_escaped = start > 0 && matches!(text[start - 1], b'%' | b'\\');
        // It may go on behind a break, written in whatever way; in a form, a plus is a blank.
        let after = text.get(start + length);
        let goes_on = after.is_some_and(|b| b.is_ascii_whitespace() || matches!(b, b'%' | b'\\'));
        for from in 0..=if is_escaped { ESCAPE_MAX } else { 0 } {
            let Some(run) = run.get(from..) else { break };
            if has_base64_run(run, goes_on, nested, looks) {
                return true;
            }
        }
        start += length + 1;
    }
    false
}

fn has_base64_run(run: &[u8], goes_on: bool, nested: usize, looks: &mut usize) -> bool {
    let mut is_found = false;
    let has_plus = run.contains(&b'+');
    base64_text::starts_in(run, 0, |at| {
        let run = &run[at..];
        let head = &run[..run.len().min(base64_text::HEAD)];
        let line = head.split(|b| *b == b'+').next().unwrap_or_default();
        // Only the first line says whether it begins as a text, for nobody has put the lines together here.
        let is_broken = (goes_on || has_plus) && line.len() >= RUN_MIN && begins_like_text(line);
        is_found = is_found || is_broken || begins_like_text(run) && may_hold(run, nested, looks);
    });
    is_found
}

fn may_hold(part: &[u8], nested: usize, looks: &mut usize) -> bool {
    let Some(nested) = nested.checked_sub(1) else { return true };
    let Some(left) = looks.checked_sub(part.len()) else { return true };
    *looks = left;
    let mut decoded = [0; DECODED_MAX];
    if part.len() > DECODED_MAX / 3 * 4 {
        return true;
    }
    glance(base64_text::decode_into(part, &mut decoded), nested, looks)
}
