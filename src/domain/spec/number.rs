//! Checks whether a written number can be represented exactly.
//!
//! An integer is stored in 64 bits, signed or unsigned. Any other number is stored as a double, and
//! written in the shortest form that reads back as the same double. If that form is a different
//! number from the original, reading would silently change the number.

/// Whether a decimal number (`-12`, `0.5`, `1e3`) would be stored as a different number.
#[must_use]
pub fn changes(literal: &str) -> bool {
    let literal = literal.strip_prefix('+').unwrap_or(literal);
    if !literal.contains(['.', 'e', 'E']) {
        return literal.parse::<i64>().is_err() && literal.parse::<u64>().is_err();
    }
    let kept = literal.parse::<f64>().ok().filter(|kept| kept.is_finite());
    let Some(kept) = kept else { return true };
    Decimal::of(literal) != Decimal::of(&format!("{kept:e}"))
}

/// The message about a number that would change.
#[must_use]
pub fn advice(literal: &str) -> String {
    let kind = if literal.contains(['.', 'e', 'E']) { "a double" } else { "64 bits" };
    format!(
        "{literal} would be changed, since numbers are kept in {kind}; write it as text in quotes"
    )
}

/// A normalized decimal number: sign, digits without leading and trailing zeros, exponent.
#[derive(PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    fn of(literal: &str) -> Option<Self> {
        let (negative, rest) = match literal.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, literal),
        };
        let (mantissa, exponent) = rest.split_once(['e', 'E']).unwrap_or((rest, "0"));
        let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{part}");
        let digits = digits.trim_start_matches('0');
        let short = digits.trim_end_matches('0');
        if short.is_empty() {
            return Some(Self { negative, digits: String::new(), exponent: 0 });
        }
        let length = |text: &str| i64::try_from(text.len()).ok();
        let exponent = exponent.parse::<i64>().ok()?.checked_sub(length(part)?)?;
        let exponent = exponent.checked_add(length(digits)? - length(short)?)?;
        Some(Self { negative, digits: short.to_owned(), exponent })
    }
}

#[cfg(test)]
mod tests {
    use super::changes;

    #[test]
    fn what_is_kept_and_what_would_change() {
        for kept in [
            "0",
            "-0",
            "7",
            "-7",
            "+7",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "0.5",
            "-0.5",
            "0.50",
            "1.0",
            "100.0",
            "1e3",
            "1E+3",
            "1e-7",
            "0.1",
            "123456.789",
            "1e300",
            "1.7976931348623157e308",
            "5e-324",
            "0.0",
            "0e99",
            "-0.0",
            "9007199254740993",
            "00.5",
            ".5",
            "5.",
        ] {
            assert!(!changes(kept), "{kept}");
        }
        for changed in [
            "18446744073709551616",
            "-9223372036854775809",
            "20180814033133082000",
            "3.14159265358979323846",
            "0.10000000000000000001",
            "9007199254740993.0",
            "9007199254740993e0",
            "1e309",
            "-1e309",
            "1e-400",
            "1e99999999999999999999",
            "4.9e-324",
        ] {
            assert!(changes(changed), "{changed}");
        }
    }
}
