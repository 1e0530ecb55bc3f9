//! Rows 37 to 71 of the matrix.
