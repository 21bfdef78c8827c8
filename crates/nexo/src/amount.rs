//! Money on the wire: a decimal number of major units, never a float.

use std::{fmt, str::FromStr};

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use serde_json::value::RawValue;

use crate::{DecodeError, error::describe};

/// An amount in major units of its currency, such as `10.99`, with the digits it was written with.
///
/// Read from the text of the JSON number: plain (`10.90`), with an exponent (`1e2`), or long (`10.9900000000000002`, as
/// written by who kept it in a float). Up to 28 digits are kept; digits after the point beyond these are rounded.
/// Written as a JSON number in the plain form, with its scale. Reading needs serde_json's own reader over text.
/// Source: nexo Sale to POI protocol 3.0, `AmountsReq`; Terminal API: decimal numbers in major units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(Decimal);

impl Amount {
    /// Reads a JSON number.
    ///
    /// # Errors
    /// [`DecodeError::Value`] when it is no JSON number or out of range, which is about ±7.9 × 10^28.
    pub fn parse(text: &str) -> Result<Self, DecodeError> {
        let error = || DecodeError::Value {
            member: "amount",
            expected: "a decimal number of at most 28 digits",
            came: describe(text),
        };
        let plain = plain_form(text).ok_or_else(error)?;
        Decimal::from_str(&plain).map(Self).map_err(|_| error())
    }

    /// The amount as a decimal number of major units.
    pub fn value(&self) -> Decimal {
        self.0
    }

    /// The last three digits of the amount in minor units of two decimals: 24 for `10.24`, 124 for `1.24` and `11.24`.
    ///
    /// Test terminals choose their answer by it. Without regard to the sign; what is smaller than a minor unit is
    /// rounded.
    pub fn last_three_digits(&self) -> u16 {
        let below_ten = self.0.abs().round_dp(2) % Decimal::TEN;
        u16::try_from((below_ten * Decimal::ONE_HUNDRED).trunc()).unwrap_or(0)
    }
}

impl From<Decimal> for Amount {
    fn from(value: Decimal) -> Self {
        Self(value)
    }
}

impl FromStr for Amount {
    type Err = DecodeError;

    fn from_str(text: &str) -> Result<Self, DecodeError> {
        Self::parse(text)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for Amount {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        RawValue::from_string(self.0.to_string()).map_err(ser::Error::custom)?.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = Box::<RawValue>::deserialize(deserializer)?;
        Self::parse(number.get()).map_err(|_| de::Error::custom("invalid amount, expected a decimal number"))
    }
}

/// The number without exponent, if `text` is a JSON number whose plain form is short enough to be an amount at all.
fn plain_form(text: &str) -> Option<String> {
    const LENGTH_MAX: usize = 400;
    const EXPONENT_MAX: usize = 60;

    let (sign, unsigned) = text.strip_prefix('-').map_or(("", text), |unsigned| ("-", unsigned));
    let (mantissa, exponent) =
        unsigned.split_once(['e', 'E']).map_or((unsigned, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(w, f)| (w, Some(f)));
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
    if text.len() > LENGTH_MAX || !is_digits(whole) || has_leading_zero || !fraction.is_none_or(is_digits) {
        return None;
    }
    let Some(exponent) = exponent else {
        return Some(text.to_owned());
    };
    let exponent: i32 = exponent.parse().ok()?;
    let shift = usize::try_from(exponent.unsigned_abs()).ok().filter(|shift| *shift <= EXPONENT_MAX)?;
    let (zeros, fraction) = ("0".repeat(shift), fraction.unwrap_or_default());
    // Zeros on the side to which the point moves, so that there is always a digit to move it over.
    let (digits, point, scale) = if exponent < 0 {
        (format!("{zeros}{whole}{fraction}"), whole.len(), fraction.len() + shift)
    } else {
        (format!("{whole}{fraction}{zeros}"), whole.len() + shift, fraction.len().saturating_sub(shift))
    };
    let (whole, fraction) = (&digits[..point], &digits[point..point + scale]);
    Some(if fraction.is_empty() { format!("{sign}{whole}") } else { format!("{sign}{whole}.{fraction}") })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(text: &str) -> String {
        serde_json::to_string(&serde_json::from_str::<Amount>(text).unwrap()).unwrap()
    }

    #[test]
    fn a_plain_amount_keeps_its_digits() {
        for text in
            ["10.99", "10.00", "10.990", "0", "0.01", "-3.50", "1000000", "79228162514264337593543950335"]
        {
            assert_eq!(written(text), text);
        }
    }

    #[test]
    fn an_exponent_is_written_out() {
        for (text, plain) in [
            ("1e2", "100"),
            ("1E+2", "100"),
            ("1.25e1", "12.5"),
            ("1.25e2", "125"),
            ("1.25e4", "12500"),
            ("1099e-2", "10.99"),
            ("1e-2", "0.01"),
            ("10.99e0", "10.99"),
            ("-5e-1", "-0.5"),
        ] {
            assert_eq!(written(text), plain, "{text}");
        }
    }

    #[test]
    fn a_long_decimal_is_the_amount_it_stands_for() {
        let long = Amount::parse("10.9900000000000002131628207280300557613372802734375").unwrap();
        assert_eq!(long.last_three_digits(), 99);
        assert_eq!(long.value().round_dp(10), Amount::parse("10.99").unwrap().value());
        assert_eq!(Amount::parse("10.98999999999999").unwrap().last_three_digits(), 99);
    }

    #[test]
    fn what_is_no_json_number_or_out_of_range_is_refused() {
        for text in [
            "",
            "-",
            "+1",
            ".5",
            "5.",
            "01",
            "1e",
            "1e999",
            "1e99999999999",
            "0x1",
            "1_0",
            "1,5",
            " 1",
            "NaN",
            "\"1\"",
            "null",
            "79228162514264337593543950336",
            "1e29",
        ] {
            assert!(Amount::parse(text).is_err(), "{text:?}");
        }
        assert!(Amount::parse(&"9".repeat(10_000)).is_err());
        assert!(serde_json::from_str::<Amount>("1e400").is_err());
        assert!(serde_json::from_str::<Amount>(r#""10.99""#).is_err());
    }

    #[test]
    fn the_last_three_digits_are_those_of_the_minor_units() {
        for (text, digits) in [
            ("10.24", 24),
            ("1.24", 124),
            ("11.24", 124),
            ("101.34", 134),
            ("9.999", 0),
            ("5", 500),
            ("0.5", 50),
            ("-1.24", 124),
            ("79228162514264337593543950335", 500),
        ] {
            assert_eq!(Amount::parse(text).unwrap().last_three_digits(), digits, "{text}");
        }
    }

    proptest! {
        #[test]
        fn cents_are_read_and_written_exactly(cents in 0u64..100_000_000_000) {
            let text = format!("{}.{:02}", cents / 100, cents % 100);
            prop_assert_eq!(written(&text), text.clone());
            prop_assert_eq!(u64::from(Amount::parse(&text).unwrap().last_three_digits()), cents % 1000);
            prop_assert_eq!(Amount::parse(&format!("{cents}e-2")).unwrap(), Amount::parse(&text).unwrap());
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9.eE]{0,80}|.*") {
            if let Ok(amount) = Amount::parse(&text) {
                prop_assert!(serde_json::from_str::<f64>(&text).is_ok());
                prop_assert_eq!(Amount::parse(&amount.to_string()).unwrap(), amount);
                amount.last_three_digits();
            }
        }
    }
}
