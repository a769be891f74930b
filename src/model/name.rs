//! Identifiers as types of their own, so that a region is never passed for a role.
//!
//! They are plain text inside and serialise as it; what a valid name is, the documents' checks say. The text is shared: every sample and
//! every row bears names, and only few of them differ.

use std::fmt;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(pub Arc<str>);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.into())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text.into())
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )+};
}

names! {
    /// A name with no narrower type: a document, a service, a store, an alert, a guard.
    Name,
    /// A region of the environment: `east`.
    Region,
    /// Where a probe sends from: `outside`, or the name of a region.
    Vantage,
    /// A step of a scenario.
    StepId,
    /// A probe of a scenario.
    ProbeId,
    /// What a person is in a drill: `duty-manager`.
    Role,
    /// One run: a digest in a rehearsal, a UUIDv7 live.
    RunId,
    /// The uid that an API server gave an object.
    Uid,
    /// A SHA-256 digest, 64 lower-case hexadecimal digits.
    Sha256,
}
