//! Opens a file, through zstandard where its name says so.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::TraceError;

/// A text to be read, and the name it has in errors.
pub(crate) struct Source {
    pub(crate) name: String,
    pub(crate) text: Box<dyn Read>,
}

impl Source {
    /// Opens a file of the data directory by its path below it.
    pub(crate) fn in_data(data_dir: Option<&Path>, wanted: &str) -> Result<Self, TraceError> {
        let dir = data_dir.ok_or_else(|| TraceError::NoData { wanted: wanted.to_owned() })?;
        let path = dir.join(wanted);
        if !path.is_file() {
            return Err(TraceError::NotInData { path: path.display().to_string(), wanted: wanted.to_owned() });
        }
        Self::open(&path)
    }

    /// Opens any file.
    pub(crate) fn open(path: &Path) -> Result<Self, TraceError> {
        let name = path.display().to_string();
        let file = std::fs::File::open(path)
            .map_err(|e| TraceError::Unreadable { path: name.clone(), what: e.to_string() })?;
        Ok(Self::new(name, file))
    }

    /// Reads `bytes` as the file of this name.
    pub(crate) fn new(name: impl Into<String>, bytes: impl Read + 'static) -> Self {
        let name = name.into();
        let bytes = BufReader::with_capacity(1 << 16, bytes);
        let text: Box<dyn Read> = if name.ends_with(".zst") { Box::new(Frames::new(bytes)) } else { Box::new(bytes) };
        Self { name, text }
    }
}

/// What a failed read of `name` means.
pub(crate) fn broken(name: &str, error: &io::Error) -> TraceError {
    let what = error.to_string();
    if name.ends_with(".zst") {
        TraceError::Archive { file: name.to_owned(), what }
    } else {
        TraceError::Unreadable { path: name.to_owned(), what }
    }
}

/// The frames of an archive, one after the other: tools that compress in parallel or append write several.
struct Frames<R> {
    source: R,
    decoder: FrameDecoder,
    inside: bool,
    any: bool,
}

impl<R: BufRead> Frames<R> {
    fn new(source: R) -> Self {
        Self { source, decoder: FrameDecoder::new(), inside: false, any: false }
    }

    /// Enters the next frame; false at the end of the archive.
    fn enter(&mut self) -> io::Result<bool> {
        if self.source.fill_buf()?.is_empty() {
            return if self.any { Ok(false) } else { Err(io::Error::other("it is empty")) };
        }
        self.any = true;
        match self.decoder.reset(&mut self.source) {
            Ok(()) => self.inside = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                let skipped = io::copy(&mut self.source.by_ref().take(u64::from(length)), &mut io::sink())?;
                if skipped < u64::from(length) {
                    return Err(io::Error::other("a frame to be skipped ends early"));
                }
            }
            Err(e) => return Err(io::Error::other(e)),
        }
        Ok(true)
    }

    /// Leaves a frame that has been read to its end.
    fn leave(&mut self) -> io::Result<()> {
        self.inside = false;
        match (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum()) {
            (Some(stated), Some(found)) if stated != found => Err(io::Error::other("its checksum does not match")),
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.inside {
                if !self.enter()? {
                    return Ok(0);
                }
                continue;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                self.decoder
                    .decode_blocks(&mut self.source, BlockDecodingStrategy::UptoBlocks(1))
                    .map_err(io::Error::other)?;
            }
            let n = self.decoder.read(buffer)?;
            if n > 0 {
                return Ok(n);
            }
            self.leave()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    fn packed(text: &str) -> Vec<u8> {
        compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
    }

    fn read(bytes: Vec<u8>) -> Result<String, TraceError> {
        let mut source = Source::new("a.zst", io::Cursor::new(bytes));
        let mut text = String::new();
        source.text.read_to_string(&mut text).map(|_| text).map_err(|e| broken("a.zst", &e))
    }

    #[test]
    fn frames_follow_each_other_and_some_are_skipped() {
        let mut bytes = packed("one ");
        bytes.extend([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);
        bytes.extend(packed("two"));
        assert_eq!(read(bytes).unwrap(), "one two");
        assert_eq!(read(packed("")).unwrap(), "");
    }

    #[test]
    fn a_cut_or_altered_archive_is_an_error() {
        let whole = packed(&"some text that repeats ".repeat(50));
        for cut in 0..whole.len() {
            let error = read(whole[..cut].to_vec()).unwrap_err().to_string();
            assert!(error.starts_with("a.zst is not a whole zstandard archive: "), "{cut}: {error}");
        }
        let empty = "a.zst is not a whole zstandard archive: it is empty; fetch or compress it anew";
        assert_eq!(read(Vec::new()).unwrap_err().to_string(), empty);
        assert!(read(b"arrival_s,input_tokens".to_vec()).is_err());
        let mut altered = whole;
        let last = altered.len() - 1;
        altered[last] ^= 1;
        assert!(read(altered).unwrap_err().to_string().contains("checksum"));
    }

    #[test]
    fn what_is_not_there_is_named() {
        let error = |dir: Option<&Path>| Source::in_data(dir, "traces/x.csv.zst").err().unwrap().to_string();
        let none = "no data directory is given to look for traces/x.csv.zst in; set RHUMB_DATA_DIR or pass `--data DIR` (`rhumb sim data` says what is needed)";
        assert_eq!(error(None), none);
        let missing = "/nowhere/traces/x.csv.zst is not there; set RHUMB_DATA_DIR or pass `--data DIR` with the \
                       directory that has traces/x.csv.zst";
        assert_eq!(error(Some(Path::new("/nowhere"))), missing);
        let own = Source::open(Path::new("/nowhere/own.csv")).err().unwrap().to_string();
        assert!(own.starts_with("/nowhere/own.csv cannot be read: "), "{own}");
    }
}
