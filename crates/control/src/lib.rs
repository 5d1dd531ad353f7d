//! The loops: reconcile what is wanted with what runs, and roll releases out and back.
