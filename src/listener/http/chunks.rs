//! Follows the chunks of a request body (RFC 9112 §7.1) to their end, and refuses what is not written as it has to be: where
//! readers differ in what they forgive, one request hides in another. Pure; never panics.

/// Extensions and trailers of a body may have so many bytes together.
const MOST_EXTRA: u32 = 8192;
/// More digits would not be a size but a way to keep a server busy.
const MOST_DIGITS: u8 = 16;

/// The body is not written in chunks as it has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the chunks of the request body are malformed")]
pub struct BadChunk;

/// Where in a body we are.
#[derive(Debug, Default)]
pub struct Chunks {
    place: Place,
    extra: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the size of a chunk.
    Size { digits: u8, size: u64 },
    /// After the size, in whitespace that may precede an extension.
    Blank { size: u64 },
    /// In an extension.
    Extension { size: u64 },
    /// After the CR of the line with the size.
    SizeEnd { size: u64 },
    /// In the data of a chunk.
    Data { left: u64 },
    /// After the data.
    DataEnd,
    /// After the CR that follows the data.
    DataEndLf,
    /// At the beginning of a line after the last chunk.
    Line,
    /// In the name of a trailer.
    Name,
    /// In the value of a trailer.
    Value,
    /// After the CR of a trailer.
    ValueEnd,
    /// After the CR of the last line.
    LastEnd,
    /// At the end.
    Done,
}

impl Default for Place {
    fn default() -> Self {
        Self::Size { digits: 0, size: 0 }
    }
}

impl Chunks {
    /// Whether the body has come to its end.
    pub fn is_done(&self) -> bool {
        self.place == Place::Done
    }

    /// How many of these bytes belong to the body.
    ///
    /// # Errors
    /// They break the rules.
    pub fn take(&mut self, bytes: &[u8]) -> Result<usize, BadChunk> {
        let mut at = 0;
        while let Some(byte) = bytes.get(at) {
            match self.place {
                Place::Done => break,
                Place::Data { left } => {
                    let here = bytes.len() - at;
                    let most = usize::try_from(left).unwrap_or(usize::MAX);
                    let taken = here.min(most);
                    at += taken;
                    self.place = match left - taken as u64 {
                        0 => Place::DataEnd,
                        left => Place::Data { left },
                    };
                }
                _ => {
                    self.step(*byte)?;
                    at += 1;
                }
            }
        }
        Ok(at)
    }

    fn step(&mut self, byte: u8) -> Result<(), BadChunk> {
        use Place::{
            Blank, Data, DataEnd, DataEndLf, Done, Extension, LastEnd, Line, Name, Size, SizeEnd,
            Value, ValueEnd,
        };
        self.place = match (self.place, byte) {
            (Size { digits, size }, b) if b.is_ascii_hexdigit() => {
                let digit = char::from(b).to_digit(16).ok_or(BadChunk)?;
                if digits == MOST_DIGITS || size >> 59 != 0 {
                    return Err(BadChunk);
                }
                Size {
                    digits: digits + 1,
                    size: size << 4 | u64::from(digit),
                }
            }
            // A line without a size is no last chunk.
            (Size { digits: 0, .. }, _) => return Err(BadChunk),
            (Size { size, .. } | Blank { size }, b' ' | b'\t') => self.extra(Blank { size })?,
            (Size { size, .. } | Blank { size }, b';') => self.extra(Extension { size })?,
            (Size { size, .. } | Blank { size } | Extension { size }, b'\r') => SizeEnd { size },
            (Extension { size }, b) if is_text(b) => self.extra(Extension { size })?,
            (SizeEnd { size: 0 }, b'\n') => Line,
            (SizeEnd { size }, b'\n') => Data { left: size },
            (DataEnd, b'\r') => DataEndLf,
            (DataEndLf, b'\n') => Size { digits: 0, size: 0 },
            (Line, b'\r') => LastEnd,
            (Line | Name, b) if is_token(b) => self.extra(Name)?,
            (Name, b':') => self.extra(Value)?,
            (Value, b'\r') => ValueEnd,
            (Value, b) if is_text(b) => self.extra(Value)?,
            (ValueEnd, b'\n') => Line,
            (LastEnd, b'\n') => Done,
            _ => return Err(BadChunk),
        };
        Ok(())
    }

    fn extra(&mut self, place: Place) -> Result<Place, BadChunk> {
        self.extra += 1;
        (self.extra <= MOST_EXTRA).then_some(place).ok_or(BadChunk)
    }
}

fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn followed(body: &str) -> Result<Option<usize>, BadChunk> {
        let mut chunks = Chunks::default();
        let taken = chunks.take(body.as_bytes())?;
        Ok(chunks.is_done().then_some(taken))
    }

    #[test]
    fn a_body_ends_after_its_last_chunk_and_trailers() {
        for body in [
            "0\r\n\r\n",
            "3\r\nabc\r\n0\r\n\r\n",
            "A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n",
            "3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n",
            "3 ;a\r\nabc\r\n0\r\nX: y\r\nZ:\r\n\r\n",
        ] {
            assert_eq!(
                followed(&format!("{body}GET /")),
                Ok(Some(body.len())),
                "{body:?}"
            );
            for end in 0..body.len() {
                let part = body.get(..end).unwrap();
                assert_eq!(followed(part), Ok(None), "{part:?}");
            }
            let mut chunks = Chunks::default();
            for byte in body.as_bytes() {
                assert_eq!(chunks.take(&[*byte]), Ok(1));
            }
            assert!(chunks.is_done());
        }
    }

    #[test]
    fn what_is_not_written_as_it_has_to_be_is_refused() {
        for body in [
            "\r\n\r\n".to_owned(),
            "3\r\nabc\r\n\r\n\r\n".to_owned(),
            "3\nabc\n0\n\n".to_owned(),
            "3\r\nabc0\r\n\r\n".to_owned(),
            "3\r\nabcd\r\n0\r\n\r\n".to_owned(),
            "3\r\nabc\n0\r\n\r\n".to_owned(),
            "+3\r\nabc\r\n".to_owned(),
            "-1\r\n".to_owned(),
            "0x3\r\nabc\r\n".to_owned(),
            "3_0\r\n".to_owned(),
            " 3\r\nabc\r\n".to_owned(),
            "3 3\r\nabc\r\n".to_owned(),
            "3;a\nb\r\nabc\r\n".to_owned(),
            "3;\0\r\nabc\r\n".to_owned(),
            "3\rx".to_owned(),
            "ffffffffffffffff\r\n".to_owned(),
            "10000000000000003\r\n".to_owned(),
            format!("{}3\r\n", "0".repeat(17)),
            format!("3;{}\r\n", "x".repeat(9000)),
            "0\r\nX y\r\n\r\n".to_owned(),
            "0\r\n: y\r\n\r\n".to_owned(),
            "0\r\n X: y\r\n\r\n".to_owned(),
            "0\r\nX: y\n\r\n".to_owned(),
            "0\r\n\n".to_owned(),
            format!("0\r\nX: {}\r\n", "y".repeat(9000)),
        ] {
            assert_eq!(followed(&body), Err(BadChunk), "{body:?}");
        }
    }
}
