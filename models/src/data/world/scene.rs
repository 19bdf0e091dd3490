//! What a scene is: a table top seen from above, with a few objects, each of a shape, colour, size and place.
//!
//! A scene is plain data. The story of this world names its parts and changes it; its picture and its captions show
//! it as it is.

/// An enum of things that have one English word (or phrase) each, with the list of all of them.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($item:ident $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = $word] $item,)* }

        impl $name {
            /// Every value, in the order of the enum.
            pub const ALL: &[Self] = &[$(Self::$item,)*];

            /// How a story says it.
            pub fn word(self) -> &'static str {
                match self { $(Self::$item => $word,)* }
            }
        }
    };
}

words! {
    /// What an object is. No two objects of a scene have the same shape, so "the ball" is always one of them.
    Shape {
        Ball "ball", Cube "cube", Star "star", Ring "ring", Heart "heart", Moon "moon", Cone "cone", Cross "cross",
    }
}

words! {
    /// The colour of an object. Two objects may share one.
    Colour {
        Red "red", Orange "orange", Yellow "yellow", Green "green",
        Blue "blue", Purple "purple", Black "black", White "white",
    }
}

words! {
    /// How large an object is.
    Size { Tiny "tiny", Small "small", Big "big", }
}

words! {
    /// Where an object is: one of the nine fields of the table, row by row from the top. A field holds at most one
    /// object.
    Place {
        TopLeft "in the top left", Top "at the top", TopRight "in the top right",
        Left "on the left", Middle "in the middle", Right "on the right",
        BottomLeft "in the bottom left", Bottom "at the bottom", BottomRight "in the bottom right",
    }
}

impl Place {
    /// 0 at the top, 1 or 2.
    pub fn row(self) -> usize {
        self as usize / 3
    }

    /// 0 on the left, 1 or 2.
    pub fn column(self) -> usize {
        self as usize % 3
    }
}

/// One object on the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// What it is.
    pub shape: Shape,
    /// Its colour; painting changes it.
    pub colour: Colour,
    /// How large it is.
    pub size: Size,
    /// Where it is; moving changes it.
    pub place: Place,
}

/// The objects on the table, in the order in which they are first named.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scene {
    /// Two or three objects (one to three where a picture is made) of different shapes in different places.
    pub objects: Vec<Object>,
}

impl Scene {
    /// The shapes that no object has.
    pub fn unused_shapes(&self) -> Vec<Shape> {
        without(Shape::ALL, |s| self.objects.iter().any(|o| o.shape == s))
    }

    /// The fields of the table on which nothing stands.
    pub fn free_places(&self) -> Vec<Place> {
        without(Place::ALL, |p| self.objects.iter().any(|o| o.place == p))
    }
}

/// The items of `all` that are not `taken`, in their order.
pub(super) fn without<T: Copy>(all: &[T], taken: impl Fn(T) -> bool) -> Vec<T> {
    all.iter().copied().filter(|&item| !taken(item)).collect()
}
