//! Why an endpoint gave no picture.

use std::time::Duration;

/// What went wrong, for callers that act on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndpointErrorKind {
    /// No connection could be opened: nothing was sent.
    Unreachable,
    /// It answered 429 or 503: the work had not begun.
    Busy {
        /// The status.
        status: u16,
        /// What it asked for.
        retry_after: Option<Duration>,
    },
    /// It failed so often that it is left alone for a while.
    LeftAlone {
        /// Until when.
        retry_after: Duration,
    },
    /// It did not answer in time; it may still be at work.
    TimedOut,
    /// The connection broke off; it may still be at work.
    BrokenOff,
    /// It answered with another status of 500 and above.
    Failed {
        /// The status.
        status: u16,
    },
    /// It does not accept the hub's key.
    Credentials {
        /// 401 or 403.
        status: u16,
    },
    /// It refused this request.
    Refused {
        /// The status.
        status: u16,
        /// Its own words, shortened, without the hub's key.
        message: String,
    },
    /// What it sent is not the picture that was asked for.
    BadAnswer {
        /// What is wrong with it.
        detail: String,
    },
    /// The job was cancelled.
    Cancelled,
}

impl EndpointErrorKind {
    /// How it is counted.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Busy { .. } => "busy",
            Self::LeftAlone { .. } => "left_alone",
            Self::TimedOut => "timeout",
            Self::BrokenOff => "broken_off",
            Self::Failed { .. } => "failed",
            Self::Credentials { .. } => "credentials",
            Self::Refused { .. } => "refused",
            Self::BadAnswer { .. } => "bad_answer",
            Self::Cancelled => "cancelled",
        }
    }
}

/// An error with the endpoint's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("endpoint {endpoint}: {kind}")]
pub struct EndpointError {
    /// Name in the configuration.
    pub endpoint: String,
    /// The kind of failure.
    pub kind: EndpointErrorKind,
    /// Whether sending the request again cannot make a second picture, or is declared harmless.
    pub may_repeat: bool,
}

impl EndpointErrorKind {
    /// Whether it is certain that no work was begun.
    pub fn is_before_work(&self) -> bool {
        matches!(
            self,
            Self::Unreachable | Self::Busy { .. } | Self::LeftAlone { .. }
        )
    }

    /// Whether work may or may not have been done.
    pub fn is_ambiguous(&self) -> bool {
        matches!(self, Self::TimedOut | Self::BrokenOff | Self::Failed { .. })
    }

    /// Whether it speaks against the endpoint, not against the request or the load.
    pub fn is_endpoints_fault(&self) -> bool {
        match self {
            Self::Busy { status, .. } => *status != 429,
            Self::Refused { .. } | Self::LeftAlone { .. } | Self::Cancelled => false,
            _ => true,
        }
    }

    /// How long to wait before the endpoint is asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            Self::LeftAlone { retry_after } => Some(*retry_after),
            _ => None,
        }
    }
}

impl std::fmt::Display for EndpointErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no connection"),
            Self::Busy { status, .. } => write!(f, "busy (status {status})"),
            Self::LeftAlone { retry_after } => write!(
                f,
                "it failed repeatedly and is tried again in {} s",
                retry_after.as_secs_f64().ceil()
            ),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::BrokenOff => f.write_str("the connection broke off"),
            Self::Failed { status } => write!(f, "status {status}"),
            Self::Credentials { status } => {
                write!(f, "it does not accept the hub's key (status {status})")
            }
            Self::Refused { status, message } => {
                write!(f, "it refused the request (status {status}): {message}")
            }
            Self::BadAnswer { detail } => write!(f, "unusable answer: {detail}"),
            Self::Cancelled => f.write_str("cancelled"),
        }
    }
}
