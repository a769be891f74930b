//! The Kubernetes API of a region over HTTP. (being written)
