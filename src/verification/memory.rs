//! What has been seen of each instance from one look to the next.
