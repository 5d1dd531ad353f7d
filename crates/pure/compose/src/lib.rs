//! Compose files into the resolved model, and from there into spec.
