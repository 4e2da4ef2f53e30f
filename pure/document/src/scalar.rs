//! What a plain scalar means: the core schema of YAML 1.2.

use crate::tree::Value;

/// Reads an unquoted scalar. `yes`, `no`, `on` and `off` are text, as YAML 1.2 has them.
pub(crate) fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" => Value::Bool(true),
        "false" | "False" | "FALSE" => Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => Value::Float(f64::NAN),
        _ => number(text).unwrap_or_else(|| Value::Str(text.to_owned())),
    }
}

fn number(text: &str) -> Option<Value> {
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Some(Value::Float(if negative { f64::NEG_INFINITY } else { f64::INFINITY }));
    }
    if all_digits(digits) {
        // What no 64-bit integer holds is still a number, and out of every range this file knows.
        return text.parse().map(Value::Int).ok().or_else(|| text.parse().map(Value::Float).ok());
    }
    is_float(digits).then(|| text.parse().map(Value::Float).ok()).flatten()
}

fn radix(digits: &str, radix: u32) -> Option<Value> {
    // `from_str_radix` takes a sign, which YAML does not allow here.
    let clean = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    clean.then(|| i64::from_str_radix(digits, radix).map(Value::Int).ok()).flatten()
}

/// `1.5`, `.5`, `1.`, with or without an exponent; the standard parser also takes `inf` and `nan`, YAML does not.
fn is_float(digits: &str) -> bool {
    let (mantissa, exponent) = match digits.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (digits, None),
    };
    let exponent_ok = exponent.is_none_or(|text| all_digits(text.strip_prefix(['-', '+']).unwrap_or(text)));
    let mantissa_ok = match mantissa.split_once('.') {
        Some(("", fraction)) => all_digits(fraction),
        Some((whole, fraction)) => all_digits(whole) && (fraction.is_empty() || all_digits(fraction)),
        None => all_digits(mantissa),
    };
    exponent_ok && mantissa_ok
}

fn all_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(word: &str) -> Value {
        Value::Str(word.to_owned())
    }

    #[test]
    fn numbers() {
        for (word, expected) in [
            ("0", Value::Int(0)),
            ("-12", Value::Int(-12)),
            ("+7", Value::Int(7)),
            ("0o17", Value::Int(15)),
            ("0xfF", Value::Int(255)),
            ("1.5", Value::Float(1.5)),
            (".5", Value::Float(0.5)),
            ("1.", Value::Float(1.0)),
            ("1e3", Value::Float(1000.0)),
            ("-2.5E-1", Value::Float(-0.25)),
            ("-.inf", Value::Float(f64::NEG_INFINITY)),
            ("99999999999999999999", Value::Float(1e20)),
        ] {
            assert_eq!(plain(word), expected, "{word}");
        }
        assert!(matches!(plain(".nan"), Value::Float(value) if value.is_nan()));
    }

    #[test]
    fn words() {
        for word in
            ["yes", "no", "on", "off", "NO", "inf", "nan", "1_000", "0x", "0o8", "0x-1", "1.2.3", "e5", ".", "-"]
        {
            assert_eq!(plain(word), text(word), "{word}");
        }
        assert_eq!(plain("TRUE"), Value::Bool(true));
        assert_eq!(plain("~"), Value::Null);
    }
}
