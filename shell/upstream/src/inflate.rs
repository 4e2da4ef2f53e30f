//! Bodies that come compressed although `identity` was asked for, as some CDNs send them.

use std::io::Write;

use bytes::Bytes;
use flate2::write::MultiGzDecoder;

use crate::error::Error;

/// Most compressed bytes read at once: they may stand for a thousand times as many.
const STEP_BYTES: usize = 4 << 10;

/// Reads gzip as it comes.
#[derive(Debug)]
pub(crate) struct Inflate {
    decoder: MultiGzDecoder<Vec<u8>>,
    /// What has come and is not read yet.
    pending: Bytes,
    begun: bool,
    ended: bool,
}

const MALFORMED: Error = Error::Malformed("gzip");

impl Inflate {
    /// Not a part of its caller: its tables of some 40 KiB would be part of the stack of every answer.
    #[cold]
    #[inline(never)]
    pub(crate) fn new() -> Box<Self> {
        Box::new(Self { decoder: MultiGzDecoder::new(Vec::new()), pending: Bytes::new(), begun: false, ended: false })
    }

    /// The content of what has come; empty: more is needed.
    pub(crate) fn next(&mut self) -> Result<Bytes, Error> {
        while !self.pending.is_empty() {
            self.begun = true;
            let step = self.pending.split_to(self.pending.len().min(STEP_BYTES));
            self.decoder.write_all(&step).and_then(|()| self.decoder.flush()).map_err(|_| MALFORMED)?;
            if !self.decoder.get_ref().is_empty() {
                return Ok(self.taken());
            }
        }
        Ok(Bytes::new())
    }

    pub(crate) fn push(&mut self, piece: Bytes) {
        self.pending = piece;
    }

    /// Nothing more comes: the last of the content.
    pub(crate) fn end(&mut self) -> Result<Bytes, Error> {
        if self.begun && !std::mem::replace(&mut self.ended, true) {
            self.decoder.try_finish().map_err(|_| MALFORMED)?;
        }
        Ok(self.taken())
    }

    fn taken(&mut self) -> Bytes {
        std::mem::take(self.decoder.get_mut()).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn read(bytes: &[u8], piece: usize) -> Result<Vec<u8>, Error> {
        let (mut inflate, mut out) = (Inflate::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            inflate.push(Bytes::copy_from_slice(piece));
            loop {
                let content = inflate.next()?;
                if content.is_empty() {
                    break;
                }
                assert!(content.len() <= STEP_BYTES * 1_100, "{} bytes at once", content.len());
                out.extend_from_slice(&content);
            }
        }
        out.extend_from_slice(&inflate.end()?);
        Ok(out)
    }

    #[test]
    fn content_is_the_same_however_it_is_cut() {
        let text = b"data: hello\n\n".repeat(300);
        for piece in [1, 7, 100, 1 << 20] {
            assert_eq!(read(&gzip(&text), piece), Ok(text.clone()));
        }
        assert_eq!(read(&[gzip(b"two "), gzip(b"members")].concat(), 9), Ok(b"two members".to_vec()));
        assert_eq!(read(b"", 1), Ok(Vec::new()));
        let bomb = vec![b'x'; 8 << 20];
        assert_eq!(read(&gzip(&bomb), 1 << 20).map(|out| out.len()), Ok(bomb.len()), "in bounded steps");
    }

    #[test]
    fn what_is_no_gzip_or_not_whole_is_malformed() {
        let whole = gzip(b"hello hello hello");
        for bad in [&b"plain text"[..], &whole[..4], &whole[..whole.len() - 1], &[&whole[..], b"more"].concat()] {
            assert_eq!(read(bad, 3), Err(MALFORMED), "{bad:?}");
        }
    }

    #[test]
    fn a_flushed_piece_comes_out_at_once() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"data: 1\n\n").unwrap();
        encoder.flush().unwrap();
        let mut inflate = Inflate::new();
        inflate.push(Bytes::from(encoder.get_ref().clone()));
        assert_eq!(inflate.next().as_deref(), Ok(&b"data: 1\n\n"[..]));
    }
}
