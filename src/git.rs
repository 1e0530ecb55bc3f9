//! What the checkout says about itself.
