//! What is configured: projects, environments and services, resolved once.
