//! When a certificate ends: the one field of X.509 (RFC 5280, section 4.1) that a probe asks for and rustls does not tell.
//!
//! A verified certificate is well-formed, so that a walk over its first fields suffices. Rejected: a crate that reads the other fields too.

use chrono::NaiveDateTime;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT`, which the first version of certificates lacks.
const VERSION: u8 = 0xa0;

/// `notAfter` of a certificate in DER, in Unix seconds; `None` where it is no such certificate.
pub fn end(certificate: &[u8]) -> Option<i64> {
    let (_, certificate, _) = field(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, mut fields, _) = field(certificate).filter(|(tag, ..)| *tag == SEQUENCE)?;
    if let Some((VERSION, _, rest)) = field(fields) {
        fields = rest;
    }
    // The serial number, the signature's algorithm, the issuer.
    for _ in 0..3 {
        fields = field(fields)?.2;
    }
    let (_, validity, _) = field(fields).filter(|(tag, ..)| *tag == SEQUENCE)?;
    let (_, _, after_its_beginning) = field(validity)?;
    let (tag, text, _) = field(after_its_beginning)?;
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let text = match tag {
        // Years from 50 on are of the twentieth century (section 4.1.2.5.1).
        UTC_TIME if text.get(..2)? < "50" => format!("20{text}"),
        UTC_TIME => format!("19{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    NaiveDateTime::parse_from_str(&text, "%Y%m%d%H%M%S").ok().map(|end| end.and_utc().timestamp())
}

/// The first field: its tag, its content, and what follows it (X.690, section 8.1).
fn field(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(long & 0x0f))?;
            (length.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    fn ending_in(year: i32) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.example".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(1970, 1, 1), date_time_ymd(year, 1, 1));
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_either_form_of_its_time() {
        for (year, unix) in [(1999, 915_148_800), (2049, 2_493_072_000), (2050, 2_524_608_000)] {
            assert_eq!(end(&ending_in(year)), Some(unix), "{year}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        let whole = ending_in(2049);
        for length in 0..150 {
            assert_eq!(end(&whole[..length]), None, "{length}");
        }
        for byte in 0..150 {
            for other in [0, 0x30, 0x7f, 0x84, 0xff] {
                let mut bytes = whole.clone();
                bytes[byte] = other;
                // It must not panic.
                let _ = end(&bytes);
            }
        }
    }
}
