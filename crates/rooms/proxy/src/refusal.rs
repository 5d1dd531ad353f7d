//! The answers that the edge makes itself, each with a code that says why.

/// Why the edge answers a request itself, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the answer.
    pub status: u16,
    /// The value of `x-sea-refused`.
    pub code: &'static str,
    /// The body: one sentence for people.
    pub why: &'static str,
    /// In how many seconds to ask again; 0 says nothing about it.
    pub retry_after: u32,
}

/// How an answer of the edge's own is written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Form<'a> {
    /// Further lines of its head.
    pub(crate) lines: &'a [u8],
    /// A page of HTML in the place of the sentence.
    pub(crate) page: Option<&'a [u8]>,
    /// The connection ends.
    pub(crate) close: bool,
    /// The body is left away, as for HEAD.
    pub(crate) head_only: bool,
}

/// Declares refusals as constants, and their list.
macro_rules! refusals {
    ($($name:ident = $status:literal $code:literal $why:literal;)*) => {
        impl Refusal {
            $(#[doc = $why] pub const $name: Refusal = Refusal::new($status, $code, $why);)*
            /// Every refusal there is.
            pub const ALL: &'static [Refusal] = &[$(Refusal::$name),*];
        }
    };
}

refusals! {
    ELSEWHERE = 307 "redirect" "What was asked for is found at another place.";
    ADDRESS = 403 "address" "This is not for clients with this address.";
    UNAUTHORIZED = 401 "unauthorized" "This asks for a name and a password.";
    AUTH_BUSY = 503 "auth-busy" "Too many passwords wait to be checked.";
    FORWARD_AUTH = 403 "forward-auth" "The service that is asked first lets this not through.";
    AUTH_DOWN = 503 "auth-down" "The service that is asked first does not answer.";
    MAINTENANCE = 503 "maintenance" "The service is being worked on.";
    HTTPS_ONLY = 308 "https-only" "This host is asked over HTTPS only.";
    REQUEST_LINE = 400 "request-line" "The request line is not `METHOD target HTTP/1.1`.";
    METHOD = 400 "method" "The method is not a token of at most 24 letters.";
    TARGET = 400 "target" "The target holds characters that a URL cannot hold.";
    TARGET_FORM = 400 "target-form" "The target is neither a path nor this host's own URL.";
    DOT_SEGMENTS = 400 "dot-segments" "The path holds `.` or `..` segments, which servers read differently.";
    TWO_ROUTES = 400 "two-routes" "Servers may read the path as one of another route.";
    BARE_LF = 400 "bare-lf" "A line ends with LF alone.";
    BARE_CR = 400 "bare-cr" "A CR stands where none may be.";
    FOLDED = 400 "folded" "A field is folded over two lines.";
    FIELD_NAME = 400 "field-name" "A field's name is empty or holds characters that names cannot hold.";
    FIELD_VALUE = 400 "field-value" "A field's value holds control characters.";
    UNDERSCORE = 400 "underscore" "A field imitates a framing or forwarding field by underscores.";
    HOST_MISSING = 400 "host-missing" "HTTP/1.1 requires a Host field.";
    HOST_TWICE = 400 "host-twice" "There is more than one Host field.";
    HOST_SYNTAX = 400 "host-syntax" "The Host field is no host name or address.";
    PLAIN_HTTP = 400 "plain-http" "This port speaks HTTPS only: ask with https:// instead of http://.";
    TLS_HERE = 400 "tls-here" "This port speaks HTTP without TLS: ask with http:// instead of https://.";
    MISDIRECTED = 421 "misdirected" "This host asks for a client certificate that this connection was not asked for.";
    HOST_MISMATCH = 400 "host-mismatch" "The target names another host than the Host field.";
    LENGTH_SYNTAX = 400 "length-syntax" "Content-Length is not a plain number.";
    LENGTH_TWICE = 400 "length-twice" "There is more than one Content-Length.";
    LENGTH_AND_CHUNKED = 400 "length-and-chunked" "Content-Length and Transfer-Encoding contradict each other.";
    CODING = 501 "coding" "The only transfer coding that is understood is `chunked`, once.";
    CODING_OLD = 400 "coding-old" "HTTP/1.0 has no transfer codings.";
    CONNECTION_NAMES = 400 "connection-names" "The Connection field names a field that no hop may remove.";
    CHUNK = 400 "chunk" "The chunked body is malformed.";
    TRAILER = 400 "trailer" "A trailer field is malformed, or there are too many.";
    BODY_CUT = 400 "body-cut" "The request ended before its body did.";
    CONNECT = 501 "connect" "This is no forward proxy: CONNECT is not offered.";
    LAST_HOP = 200 "last-hop" "The request is to go no further than here.";
    TRACE = 501 "trace" "TRACE is to go no further than here, and is not answered here.";
    EXPECTATION = 417 "expectation" "The only expectation that is understood is `100-continue`.";
    HEAD_SIZE = 431 "head-size" "The head is longer than 32 KiB or has more than 128 fields.";
    VERSION = 505 "version" "Only HTTP/1.1 and HTTP/1.0 are spoken here.";
    CROWDED = 503 "crowded" "The edge has as many connections as it can have, and too many are this client's.";
    SLOW_HEAD = 408 "slow-head" "The head of the request did not arrive in time.";
    SLOW_BODY = 408 "slow-body" "The body of the request did not arrive in time.";
    NO_ROUTE = 404 "no-route" "No service answers at this host and path.";
    NO_FILE = 404 "no-file" "There is no such file.";
    FOLDER = 307 "folder" "This is a folder, which is found with a slash at its end.";
    NO_INSTANCE = 503 "no-instance" "No instance of the service is ready.";
    RATE = 429 "rate" "The client has sent more requests than the service allows in a time.";
    OVERLOADED = 503 "overloaded" "The service has as many requests to do as it can.";
    SHED = 503 "shed" "The service has more to do than it can, and more urgent requests go first.";
    BODY_SIZE = 413 "body-size" "The body of the request is longer than the service allows.";
    HELD_TOO_MANY = 503 "held-too-many" "Too many requests wait for an instance already.";
    BREAKER = 503 "breaker" "The service has stopped to answer in time, and is spared for a moment.";
    NOT_NOW = 503 "not-now" "All instances of the service asked to be spared for a moment.";
    UNREACHABLE = 503 "unreachable" "No instance of the service accepts connections.";
    GONE = 502 "gone" "The instance closed the connection before it answered.";
    BAD_ANSWER = 502 "bad-answer" "The instance's answer is malformed.";
    DEADLINE = 504 "deadline" "The time that the client waits is over before anything could be done.";
    ONLY_IF_CACHED = 504 "only-if-cached" "Nothing is kept that could answer this, and the client wants nothing else.";
    SLOW_ANSWER = 504 "slow-answer" "The instance did not answer in time.";
}

impl Refusal {
    /// No refusal: an authority finds what it looks for, and the connection ends.
    pub(crate) const PROOF: Self = Self::new(200, "", "");

    const fn new(status: u16, code: &'static str, why: &'static str) -> Self {
        Self { status, code, why, retry_after: if status == 503 { 1 } else { 0 } }
    }

    /// The whole answer in bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>, form: &Form<'_>) {
        let Form { lines, page, close, head_only } = *form;
        out.extend_from_slice(b"HTTP/1.1 ");
        push_number(out, u64::from(self.status));
        out.push(b' ');
        out.extend_from_slice(reason(self.status).as_bytes());
        let (kind, length): (&[u8], _) = match page {
            None => (b"plain", self.why.len() + 1),
            Some(page) => (b"html", page.len()),
        };
        out.extend_from_slice(b"\r\ncontent-type: text/");
        out.extend_from_slice(kind);
        out.extend_from_slice(b"; charset=utf-8\r\ncontent-length: ");
        push_number(out, length as u64);
        out.extend_from_slice(b"\r\nx-sea-refused: ");
        out.extend_from_slice(self.code.as_bytes());
        if self.retry_after > 0 {
            out.extend_from_slice(b"\r\nretry-after: ");
            push_number(out, u64::from(self.retry_after));
        }
        if close {
            out.extend_from_slice(b"\r\nconnection: close");
        }
        out.extend_from_slice(b"\r\n");
        out.extend_from_slice(lines);
        out.extend_from_slice(b"\r\n");
        match page {
            _ if head_only => {}
            Some(page) => out.extend_from_slice(page),
            None => {
                out.extend_from_slice(self.why.as_bytes());
                out.push(b'\n');
            }
        }
    }

    /// The answer to a call of gRPC, which is all in its head.
    pub(crate) fn write_grpc(&self, out: &mut Vec<u8>, close: bool) {
        out.extend_from_slice(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/grpc\r\ncontent-length: 0\r\ngrpc-status: ",
        );
        push_number(out, grpc_status(self.status));
        out.extend_from_slice(b"\r\ngrpc-message: ");
        out.extend_from_slice(self.why.as_bytes());
        out.extend_from_slice(b"\r\nx-sea-refused: ");
        out.extend_from_slice(self.code.as_bytes());
        if close {
            out.extend_from_slice(b"\r\nconnection: close");
        }
        out.extend_from_slice(b"\r\n\r\n");
    }
}

/// The status that a caller of gRPC hears in place of one of HTTP.
fn grpc_status(status: u16) -> u64 {
    match status {
        // Unimplemented: there is nobody who knows the method.
        404 | 501 => 12,
        // The deadline is over.
        408 | 504 => 4,
        // A bound was reached.
        413 | 431 => 8,
        // Permission denied; and unauthenticated.
        403 => 7,
        401 => 16,
        // Unavailable: the same call may go well later.
        301 | 302 | 307 | 308 | 421 | 502 | 503 => 14,
        // Internal: the call itself is malformed.
        _ => 13,
    }
}

/// The usual words for a status that the edge makes itself.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        301 => "Moved Permanently",
        302 => "Found",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        408 => "Request Timeout",
        413 => "Content Too Large",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "Refused",
    }
}

/// Appends a number in decimal digits, without a formatter.
pub(crate) fn push_number(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}
