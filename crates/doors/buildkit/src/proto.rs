//! The messages of the wire, as far as they are used here; field numbers are those of the published `.proto` files.
//!
//! Fields that nobody here reads or writes are left out: protobuf passes over them.

pub(crate) mod control;
pub(crate) mod errors;
pub(crate) mod files;
pub(crate) mod gateway;
pub(crate) mod ops;
pub(crate) mod sessions;

/// A moment: `google.protobuf.Timestamp`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Moment {
    /// Seconds since 1970.
    #[prost(int64, tag = "1")]
    pub seconds: i64,
    /// Nanoseconds of that second.
    #[prost(int32, tag = "2")]
    pub nanos: i32,
}

impl From<base::Timestamp> for Moment {
    fn from(time: base::Timestamp) -> Self {
        let nanos = i32::try_from(time.0.rem_euclid(1_000_000_000)).unwrap_or(0);
        Self { seconds: time.secs(), nanos }
    }
}

/// Bytes of a stream; `BytesMessage` of several packages.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub(crate) struct Chunk {
    /// The bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub data: bytes::Bytes,
}

/// A message without a field, or one of which nothing is read.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub(crate) struct Empty {}

#[cfg(test)]
mod tests;
