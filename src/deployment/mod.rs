//! One attempt to make a release current: its phases from the plan to the conclusion.
