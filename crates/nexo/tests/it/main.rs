//! The crate as others use it.

#[cfg(test)]
mod card_data;
#[cfg(test)]
mod numbers;
