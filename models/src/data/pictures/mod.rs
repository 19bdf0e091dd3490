//! Pictures and what people say of them: raw data for contrastive learning of images and text.

pub mod augment;
pub mod decode;
pub mod preprocess;

pub use augment::Augment;
pub use preprocess::Preprocess;

/// A picture as a program sees it: H rows of W pixels, from the top left, each of red, green and blue from 0 to 255.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// W: pixels of a row.
    pub width: usize,
    /// H: rows.
    pub height: usize,
    /// 3·W·H numbers: red, green and blue of each pixel.
    pub rgb: Vec<u8>,
}
