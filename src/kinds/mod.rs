//! One macro: a line per fault, recovery, probe and report format, in the file of its room.
//!
//! ```text
//! kinds! {
//!     /// What a drill can break.
//!     pub enum FaultKind: Fault {
//!         isolate::Isolate as "isolate",       ◄── the one line; src/fault/isolate.rs is the one file
//!     }
//! }
//! ```
//! The macro declares the module, the variant of the externally tagged enum that documents read (`fault: {isolate: {…}}`), the
//! dispatch to the room's trait, and the entry in `ALL` that feeds `explain` and the JSON schema. Each module holds the type with
//! its doc comment and a `pub const EXAMPLE: &str`, a YAML step that the tests read. Rejected: registries filled at start-up.

/// What `explain` knows about a kind.
#[derive(Clone, Copy)]
pub struct Kind {
    /// As it stands in documents: `isolate`.
    pub name: &'static str,
    /// A YAML step that uses it.
    pub example: &'static str,
    /// The JSON schema of its parameters; the doc comments stand in it.
    pub schema: fn() -> schemars::Schema,
}

/// Declares the kinds of a room: see the room `kinds`.
#[macro_export]
macro_rules! kinds {
    (
        $(#[$doc:meta])*
        pub enum $name:ident: $behaviour:path {
            $($module:ident :: $variant:ident as $text:literal,)+
        }
    ) => {
        $(pub mod $module;)+

        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        pub enum $name {
            $(
                #[serde(rename = $text)]
                $variant($module::$variant),
            )+
        }

        impl $name {
            /// Every kind there is, in the order of their lines.
            pub const ALL: &'static [$crate::kinds::Kind] = &[$(
                $crate::kinds::Kind {
                    name: $text,
                    example: $module::EXAMPLE,
                    schema: || schemars::schema_for!($module::$variant),
                },
            )+];

            /// The kind's name as it stands in documents.
            pub fn name(&self) -> &'static str {
                match self {
                    $($name::$variant(_) => $text,)+
                }
            }

            /// The kind's behaviour.
            pub fn behaviour(&self) -> &dyn $behaviour {
                match self {
                    $($name::$variant(kind) => kind,)+
                }
            }
        }
    };
}
