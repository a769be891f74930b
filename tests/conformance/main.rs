//! What drills touch of Kubernetes, said once: each behaviour is a sentence, and its body is generic over "a cluster".
//!
//! ```text
//! behaviours (a file per group) ──► Cluster (client, namespace, image) ◄── the sandbox in virtual time
//!                                                                      ◄── the sandbox served over TLS, in real time
//!                                                                      ◄── a real region (tests/regions)
//! ```
//! A behaviour is what the Kubernetes documentation or API server says, not what the sandbox happens to do; one that differs is a
//! defect of the sandbox. Bodies wait with [`cluster::Cluster::eventually`] and never ask which cluster they are on.
//!
//! How to add one: an `async fn` with the sentence as its name in the group's file, and its name in the list at the file's top. A
//! behaviour that is not in its list is dead code, and does not compile.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what a behaviour sets up must work")]

mod cluster;
mod hollow;
mod real_region;
mod rest;
mod workloads;

/// The behaviours of a group, and a test of each on every cluster that there is.
macro_rules! behaviours {
    ($($name:ident),* $(,)?) => {
        mod sandbox {
            $(
                #[test]
                fn $name() {
                    $crate::cluster::in_sandbox(|cluster| Box::pin(super::$name(cluster)));
                }
            )*
        }
        mod served {
            $(
                #[test]
                #[ignore = "needs minutes of real time; tests/run runs all of them at once"]
                fn $name() {
                    $crate::cluster::served(|cluster| Box::pin(super::$name(cluster)));
                }
            )*
        }
        mod real_region {
            $(
                #[test]
                #[ignore = "needs real regions; tests/regions/regions.py starts them"]
                fn $name() {
                    $crate::real_region::on(|cluster| Box::pin(super::$name(cluster)));
                }
            )*
        }
    };
}

mod applying;
mod budgets;
mod creating;
mod custom;
mod daemon_sets;
mod deleting;
mod deployments;
mod events;
mod garbage;
mod jobs;
mod nodes;
mod patching;
mod pods;
mod reading;
mod replica_sets;
mod scheduling;
mod server;
mod services;
mod stateful_sets;
mod subresources;
mod validating;
mod volumes;
mod watching;
mod writing;
